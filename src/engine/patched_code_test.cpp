// Programs that write into code which they have run, as those do that make code.
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "engine/interpreter/interpreter.h"
#include "engine/software/vcpu_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine {
namespace {

using test::append;
using test::Bytes;
using Make = test::VcpuWorld::Make;

const std::vector<Make> kEngines{
    [](auto& memory) { return make_interpreter(memory); },
    [](auto& memory) { return make_translator(memory, {.warm_after = 1}); },
    [](auto& memory) { return make_translator(memory, {.warm_after = 7}); },
};

constexpr std::uint64_t kFunction = test::VcpuWorld::kCode + 0x100;
constexpr std::uint32_t kRounds = 60;

/// What a round writes into the function before it calls it, and what the function answers.
struct Patch {
  const char* name;
  Bytes function;
  unsigned offset;       ///< of the four bytes that are written
  std::uint32_t factor;  ///< times what is left of the rounds
  std::uint32_t mask;    ///< of what is written
  std::function<std::uint64_t(std::uint32_t round, std::uint32_t number)> answer;
  std::uint32_t bits = 0;  ///< that are always written
};

std::uint64_t extend(std::uint32_t number) {
  return static_cast<std::uint64_t>(static_cast<std::int32_t>(number));
}

Bytes sled() {
  Bytes result{0x31, 0xc0, 0xe9, 0, 0, 0, 0};  // xor eax, eax; jmp behind it
  for (int i = 0; i < 40; ++i) result.insert(result.end(), {0xff, 0xc0});  // inc eax
  result.push_back(0xc3);
  return result;
}

/// An instruction of which the operation is written too, with 3 behind it.
std::uint64_t computed(std::uint32_t a, std::uint8_t modrm) {
  switch (modrm) {
    case 0xc0:
      return a + 3;
    case 0xc8:
      return a | 3;
    case 0xe0:
      return a & 3;
    default:
      return a - 3;
  }
}

const std::vector<Patch> kPatches{
    {"mov eax, number; and what is done with it",
     {0xb8, 5, 0, 0, 0, 0x83, 0xc0, 3, 0xc3},
     3,
     0x28000001,
     0x2800ffff,
     [](auto, auto number) {
       return computed((number & 0xffff) << 16 | 5, static_cast<std::uint8_t>(number >> 24 | 0xc0));
     },
     0xc0830000},
    {"mov eax, number",
     {0xb8, 0, 0, 0, 0, 0xc3},
     1,
     0x01010102,
     ~0u,
     [](auto, auto number) { return std::uint64_t{number}; }},
    {"mov rax, number",
     {0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0xc3},
     3,
     0x05050501,
     ~0u,
     [](auto, auto number) { return extend(number); }},
    {"mov rax, long number",
     {0x48, 0xb8, 0, 0, 0, 0, 1, 2, 3, 4, 0xc3},
     2,
     0x01010102,
     ~0u,
     [](auto, auto number) { return 0x0403020100000000 + number; }},
    {"mov r10d, number",
     {0x41, 0xba, 0, 0, 0, 0, 0x4c, 0x89, 0xd0, 0xc3},
     2,
     0x01010102,
     ~0u,
     [](auto, auto number) { return std::uint64_t{number}; }},
    {"cmp ecx, number",
     {0x31, 0xc0, 0x81, 0xf9, 0, 0, 0, 0, 0x0f, 0x94, 0xc0, 0xc3},
     4,
     1,
     ~0u,
     [](auto, auto) { return std::uint64_t{1}; }},
    {"lea eax, [rcx + number]",
     {0x8d, 0x81, 0, 0, 0, 0, 0xc3},
     2,
     3,
     ~0u,
     [](auto round, auto number) { return std::uint64_t{round} + number; }},
    {"movzx eax, byte [rip + number]",
     {0x0f, 0xb6, 0x05, 0, 0, 0, 0, 0xc3},
     3,
     1,
     ~0u,
     [](auto, auto number) { return std::uint64_t{(number - 1) & 0xff}; }},
    {"jmp number", sled(), 3, 2, 0x3e, [](auto, auto number) { return 40 - number / 2; }},
    {"push number",
     {0x68, 0, 0, 0, 0, 0x58, 0xc3},
     1,
     0x05050501,
     ~0u,
     [](auto, auto number) { return extend(number); }},
    {"mov eax, number; or mov al, number, which is shorter",
     {0xb0, 1, 0x90, 0x90, 0x90, 0xc3},
     0,
     8,
     8,
     [](auto round, auto) { return round == kRounds ? 1u : 0x90909001u; },
     0x909001b0},
};

struct Patched : test::VcpuWorld {
  explicit Patched(const Make& make) : VcpuWorld(make) {
    for (std::uint32_t i = 0; i < 256; ++i) put(kFunction + 8 + i, static_cast<std::uint8_t>(i));
  }

  /// Calls the function again and again, each time after a write through `window`, which is where
  /// kFunction + offset is found.
  void run_rounds(const Patch& patch, std::uint64_t window, std::uint64_t code_at = kCode,
                  std::uint64_t function = kFunction) {
    code(function, patch.function);
    Bytes loop{0x69, 0xd1};  // imul edx, ecx, factor
    append(loop, patch.factor, 4);
    loop.insert(loop.end(), {0x81, 0xe2});  // and edx, mask
    append(loop, patch.mask, 4);
    loop.insert(loop.end(), {0x81, 0xca});  // or edx, bits
    append(loop, patch.bits, 4);
    loop.insert(loop.end(), {0x89, 0x17, 0xe8});  // mov [rdi], edx; call function
    append(loop, function - code_at - loop.size() - 4, 4);
    loop.insert(loop.end(), {0x48, 0x01, 0xc3, 0x48, 0xff, 0xc9, 0x75});  // add rbx, rax; dec; jnz
    loop.push_back(static_cast<std::uint8_t>(-loop.size() - 1));
    loop.push_back(0xf4);
    code(code_at, loop);
    state.rip = code_at;
    state.gpr[x86::kRcx] = kRounds;
    state.gpr[x86::kRax] = 0;
    state.gpr[x86::kRbx] = 0;
    state.gpr[x86::kRdi] = window;
    ASSERT_EQ(run(), ExitReason::kHalted) << patch.name;
    std::uint64_t sum = 0;
    for (std::uint32_t round = kRounds; round > 0; --round)
      sum += patch.answer(round, round * patch.factor & patch.mask);
    EXPECT_EQ(state.gpr[x86::kRbx], sum) << patch.name;
  }
};

TEST(PatchedCode, NumbersAreThoseThatWereWrittenLast) {
  for (const Make& make : kEngines)
    for (const Patch& patch : kPatches) {
      Patched w(make);
      w.run_rounds(patch, kFunction + patch.offset);
    }
}

TEST(PatchedCode, NumbersMayBeWrittenAtAnotherAddress) {
  constexpr std::uint64_t kAlias = 0x7000'0000'0000;
  for (const Make& make : kEngines)
    for (const Patch& patch : kPatches) {
      Patched w(make);
      w.tables.map(kAlias, Patched::kCode);
      w.run_rounds(patch, kAlias + (kFunction & kPageMask) + patch.offset);
    }
}

TEST(PatchedCode, NumbersMayStandOnTwoPages) {
  for (const Make& make : kEngines)
    for (const Patch& patch : kPatches)
      for (unsigned on_first = 1; on_first < 4; ++on_first) {
        Patched w(make);
        const std::uint64_t at = Patched::kCode + 0x2000 - patch.offset - on_first;
        if (std::string_view(patch.name).find("rip") != std::string_view::npos) continue;
        w.run_rounds(patch, at + patch.offset, Patched::kCode, at);
      }
}

TEST(PatchedCode, NumbersMayBeWrittenBetweenSingleSteps) {
  for (const Make& make : kEngines)
    for (const Patch& patch : kPatches) {
      Patched w(make);
      constexpr std::uint64_t kHandler = Patched::kCode + 0x1000;
      w.set_handler(1, kHandler);
      w.code(kHandler, {0x85, 0xc9, 0x75, 0x01, 0xf4,  // test ecx, ecx; jnz +1; hlt
                        0x48, 0xcf});                  // iretq
      w.state.rflags |= x86::rflags::kTf;
      w.run_rounds(patch, kFunction + patch.offset);
    }
}

TEST(PatchedCode, AnInstructionThatWritesOverItselfIsWhatItWas) {
  for (const Make& make : kEngines) {
    Patched w(make);
    // add dword [rip - 4], 1: its own immediate; each round adds what it has become.
    w.code(kFunction, {0x81, 0x05, 0xfc, 0xff, 0xff, 0xff, 1, 0, 0, 0,  //
                       0xff, 0xc9, 0x75, 0xf2, 0xf4});                  // dec ecx; jnz; hlt
    w.state.rip = kFunction;
    w.state.gpr[x86::kRcx] = 20;
    ASSERT_EQ(w.run(), ExitReason::kHalted);
    EXPECT_EQ(w.get<std::uint32_t>(kFunction + 6), 1u << 20);
  }
}

TEST(PatchedCode, WhatIsWrittenAsItWasStays) {
  for (const Make& make : kEngines) {
    Patched w(make);
    Patch same = kPatches[1];
    same.mask = 0;
    w.run_rounds(same, kFunction + same.offset);
    EXPECT_EQ(w.counter("blocks_invalidated"), 0u);
    EXPECT_EQ(w.counter("translations_retired"), 0u);
  }
}

TEST(PatchedCode, NumbersThatAreWrittenOftenCostNoTranslation) {
  Patched w(kEngines[1]);
  w.run_rounds(kPatches[1], kFunction + kPatches[1].offset);
  EXPECT_EQ(w.counter("blocks_invalidated"), 0u);
  EXPECT_GT(w.counter("translations"), 0u);
  EXPECT_LT(w.counter("translations_retired"), 8u);
}

/// As devices write, and other CPUs: code that runs all the while sees it in the end.
TEST(PatchedCode, NumbersThatOthersWriteAreSeen) {
  for (const Make& make : kEngines)
    for (const std::uint32_t last : {1000u, 3000u}) {
      Patched w(make);
      w.code(kFunction, {0xb8, 0, 0, 0, 0, 0xc3});
      Bytes loop{0xe8};
      append(loop, kFunction - Patched::kCode - 5, 4);
      loop.push_back(0x3d);  // cmp eax, last
      append(loop, last, 4);
      loop.insert(loop.end(), {0x75, 0xf4, 0xf4});  // jne to the call; hlt
      w.code(Patched::kCode, loop);
      std::jthread writer([&w, last] {
        for (std::uint32_t i = 1; i <= last; ++i) {
          w.put(kFunction + 1, i);
          if (i % 16 == 0) std::this_thread::yield();
        }
      });
      EXPECT_EQ(w.run(), ExitReason::kHalted);
      EXPECT_EQ(w.state.gpr[x86::kRax], last);
    }
}

TEST(PatchedCode, WhatWasNoInstructionBecomesOneByItsSecondByte) {
  for (const Make& make : kEngines) {
    Patched w(make);
    constexpr std::uint64_t kHandler = Patched::kCode + 0x1000;
    w.set_handler(6, kHandler);
    w.code(kHandler, {0xc6, 0x04, 0x25, 0x01, 0x00, 0x01, 0x00, 0x1f,  // mov byte [kCode + 1], 1f
                      0xff, 0xc3, 0x48, 0xcf});                        // inc ebx; iretq
    w.code(Patched::kCode, {0x0f, 0x04, 0xc0, 0xf4});                  // nop eax, then; hlt
    w.state.gpr[x86::kRbx] = 0;
    std::jthread ender([&w] {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      w.vcpu->kick();
    });
    EXPECT_EQ(w.run(), ExitReason::kHalted);
    EXPECT_EQ(w.state.gpr[x86::kRbx], 1u);
  }
}

}  // namespace
}  // namespace vireo::engine
