#include "engine/translator/code_memory.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace vireo::engine::translator {
namespace {

/// mov eax, number; ret.
void write_answer(std::uint8_t* to, std::uint32_t number) {
  to[0] = 0xb8;
  std::memcpy(to + 1, &number, 4);
  to[5] = 0xc3;
}

/// SAFETY: code that write_answer() wrote.
unsigned call(const std::uint8_t* code) { return std::bit_cast<unsigned (*)()>(code)(); }

/// "rw-s" and the like, of the mapping that holds the address.
std::string permissions(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0, end = 0;
    char dash = 0;
    std::string result;
    std::istringstream(line) >> std::hex >> begin >> dash >> end >> result;
    const auto place = std::bit_cast<std::uint64_t>(address);
    if (place >= begin && place < end) return result;
  }
  return "none";
}

TEST(CodeMemory, WhatIsWrittenInOneMappingRunsInTheOther) {
  CodeMemory memory = CodeMemory::create().value();
  std::uint8_t* writable = memory.writable();
  write_answer(writable, 42);
  EXPECT_EQ(call(memory.executable(writable)), 42u);
  write_answer(writable, 43);
  EXPECT_EQ(call(memory.executable(writable)), 43u);
}

TEST(CodeMemory, NothingIsWritableAndExecutable) {
  CodeMemory memory = CodeMemory::create().value();
  EXPECT_EQ(permissions(memory.writable()), "rw-s");
  EXPECT_EQ(permissions(memory.executable(memory.writable())), "r-xs");
}

TEST(CodeMemory, AnAddressLeadsBackFromOneMappingToTheOther) {
  CodeMemory memory = CodeMemory::create().value();
  std::uint8_t* place = memory.writable() + 100;
  EXPECT_EQ(memory.writable(memory.executable(place)), place);
  EXPECT_TRUE(memory.contains(memory.executable(place)));
  EXPECT_FALSE(memory.contains(place));
  EXPECT_TRUE(memory.contains(memory.executable(memory.writable() + CodeMemory::kSize - 1)));
  EXPECT_FALSE(memory.contains(memory.executable(memory.writable() + CodeMemory::kSize)));
}

TEST(CodeMemory, CodeStartsAligned) {
  CodeMemory memory = CodeMemory::create().value();
  memory.commit(1);
  EXPECT_EQ(memory.used(), 32u);
  memory.commit(32);
  EXPECT_EQ(memory.used(), 64u);
  EXPECT_EQ(memory.room(), CodeMemory::kPartSize - 64);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(memory.executable(memory.writable())) % 32, 0u);
}

TEST(CodeMemory, ItNeverPromisesMoreRoomThanThereIs) {
  CodeMemory memory = CodeMemory::create().value();
  memory.commit(CodeMemory::kPartSize - 5);
  EXPECT_EQ(memory.room(), 0u);
}

TEST(CodeMemory, ClearKeepsWhatIsToBeKept) {
  CodeMemory memory = CodeMemory::create().value();
  std::uint8_t* kept = memory.writable();
  write_answer(kept, 7);
  memory.commit(6);
  memory.keep();
  memory.commit(1000);
  memory.clear();
  EXPECT_EQ(memory.used(), 32u);
  EXPECT_EQ(memory.writable(), kept + 32);
  EXPECT_EQ(call(memory.executable(kept)), 7u);
}

TEST(CodeMemory, WhatIsGivenBackIsWrittenAgain) {
  constexpr std::size_t kSize = 4096;
  CodeMemory memory = CodeMemory::create(kSize).value();
  memory.commit(64);
  memory.keep();
  const std::uint8_t* const kept = memory.writable();
  memory.commit(1024);
  std::uint8_t* const second = memory.writable();
  memory.commit(2048);
  EXPECT_EQ(memory.room(), kSize - 64 - 1024 - 2048);
  // There is enough at the top: what is free below has to wait.
  memory.give_back(CodeMemory::Part::kOften, memory.executable(second), 900);
  EXPECT_EQ(memory.room(), 960u);
  EXPECT_EQ(memory.used(), 64u + 2048);
  memory.commit(500);
  std::uint8_t* const third = memory.writable() - 512;
  memory.give_back(CodeMemory::Part::kOften, memory.executable(second), 900);
  EXPECT_EQ(memory.writable(), kept);
  EXPECT_EQ(memory.room(), 1024u);
  memory.commit(1000);
  EXPECT_EQ(memory.room(), 0u);
  memory.give_back(CodeMemory::Part::kOften, memory.executable(third), 900);
  EXPECT_EQ(memory.room(), 2048u);
  memory.give_back(CodeMemory::Part::kOften, memory.executable(kept), 900);
  EXPECT_EQ(memory.writable(), kept + 1024);
  EXPECT_EQ(memory.room(), kSize - 64 - 1024);
  memory.give_back(CodeMemory::Part::kOften, nullptr, 900);
  EXPECT_EQ(memory.writable(), kept);
  EXPECT_EQ(memory.room(), kSize - 64);
  EXPECT_EQ(memory.room(CodeMemory::Part::kSeldom), kSize);
}

TEST(CodeMemory, MovedItIsTheSameMemory) {
  CodeMemory first = CodeMemory::create().value();
  write_answer(first.writable(), 9);
  first.commit(6);
  const std::uint8_t* code = first.executable(first.writable() - 32);
  const CodeMemory second = std::move(first);
  EXPECT_EQ(second.used(), 32u);
  EXPECT_EQ(call(code), 9u);
}

}  // namespace
}  // namespace vireo::engine::translator
