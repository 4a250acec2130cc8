#include "engine/direct/shadow_space.h"

#include <gtest/gtest.h>

#include <csignal>
#include <optional>

namespace vireo::engine::direct {
namespace {

constexpr std::uint64_t kCode = 0x400000, kData = 0x7f00'0000'0000;
constexpr std::uint64_t kRam = 64 * kPageSize;

class ShadowSpaceTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = *memory::GuestMemory::create({{PhysAddr{0}, kRam, memory::RegionKind::kRam, "ram"}});
    auto process = StubProcess::create(memory_->file());
    if (!process) GTEST_SKIP() << process.error().message;
    space_ = std::make_unique<ShadowSpace>(std::move(*process), *memory_);
    // mov rax, [rbx]; mov [rcx], rax; syscall
    const std::array<std::uint8_t, 8> code{0x48, 0x8b, 0x03, 0x48, 0x89, 0x01, 0x0f, 0x05};
    memory_->write(PhysAddr{0}, std::as_bytes(std::span(code)));
    space_->put(kCode, {PhysAddr{0}, false, true});
  }
  static ShadowPage data(std::uint64_t number, bool writable = true) {
    return {PhysAddr{number * kPageSize}, writable, false};
  }
  /// Reads at one address and writes to the other; where that fails, empty if nowhere.
  std::optional<std::uint64_t> fault(std::uint64_t from, std::uint64_t to) {
    EXPECT_TRUE(space_->carry_out(trapped_));
    StubProcess::Registers registers{};
    registers.rip = kCode;
    registers.rbx = from;
    registers.rcx = to;
    registers.eflags = 0x202;
    const auto event = space_->process().run(registers);
    if (event.stop == StubProcess::Stop::kSystemCall) return {};
    EXPECT_EQ(event.signal, SIGSEGV);
    return event.address;
  }
  std::uint64_t word(std::uint64_t number) const {
    std::uint64_t result = 0;
    memory_->read_value(PhysAddr{number * kPageSize}, result);
    return result;
  }

  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<ShadowSpace> space_;
  TrappedPages trapped_;
};

TEST_F(ShadowSpaceTest, PagesAreWhereTheyArePut) {
  memory_->write_value(PhysAddr{3 * kPageSize}, std::uint64_t{42});
  space_->put(kData, data(3));
  space_->put(kData + kPageSize, data(5));
  EXPECT_EQ(space_->size(), 3u);
  EXPECT_EQ(fault(kData, kData + kPageSize), std::nullopt);
  EXPECT_EQ(word(5), 42u);
}

TEST_F(ShadowSpaceTest, WhatIsRemovedOrReplacedIsGone) {
  space_->put(kData, data(3));
  EXPECT_EQ(fault(kData, kData), std::nullopt);
  space_->remove(kData);
  EXPECT_EQ(space_->at(kData), std::nullopt);
  EXPECT_EQ(fault(kData, kData), kData);
  memory_->write_value(PhysAddr{7 * kPageSize}, std::uint64_t{7});
  space_->put(kData, data(7));
  space_->put(kData + 512 * kPageSize, data(8));
  EXPECT_EQ(fault(kData, kData + 512 * kPageSize), std::nullopt);
  EXPECT_EQ(word(8), 7u);
}

/// A page between others like it is a copy as long as its bytes stand.
TEST_F(ShadowSpaceTest, TrappedPagesAreCopiesUntilTheyAreWritten) {
  constexpr std::uint64_t kTrapped = kCode + kPageSize;
  constexpr PhysAddr kPage{kPageSize};
  const std::array<std::uint8_t, 4> code{0x0f, 0xa2, 0x0f, 0x05};  // cpuid; syscall
  memory_->write(kPage, std::as_bytes(std::span(code)));
  trapped_.add(kTrapped, kPage, {kTrapped});
  space_->put(kTrapped, {kPage, false, true, true});
  space_->put(kTrapped + kPageSize, {PhysAddr{2 * kPageSize}, false, true});
  const auto run = [&] {
    EXPECT_TRUE(space_->carry_out(trapped_));
    StubProcess::Registers registers{};
    registers.rip = kTrapped;
    registers.eflags = 0x202;
    return space_->process().run(registers).signal;
  };
  EXPECT_EQ(run(), SIGTRAP);
  space_->put(kTrapped, {kPage, false, true, true});  // no change
  EXPECT_EQ(run(), SIGTRAP);
  trapped_.remove(kPage);
  space_->forbid_execution(kPage);
  EXPECT_EQ(space_->at(kTrapped), (ShadowPage{kPage, false, false}));
  EXPECT_EQ(run(), SIGSEGV);
  space_->put(kTrapped, {kPage, false, true, true});  // nobody knows where
  EXPECT_EQ(run(), SIGSEGV);
}

TEST_F(ShadowSpaceTest, RemovingAllLeavesOnlyWhatComesBehind) {
  space_->put(kData, data(3));
  EXPECT_EQ(fault(kData, kData), std::nullopt);
  space_->remove_all();
  space_->put(kCode, {PhysAddr{0}, false, true});
  EXPECT_EQ(space_->size(), 1u);
  EXPECT_EQ(fault(kData, kData), kData);
}

TEST_F(ShadowSpaceTest, AProtectedPageIsNowhereWritable) {
  space_->put(kData, data(3));
  space_->put(kData + 2 * kPageSize, data(3));
  space_->put(kData + kPageSize, data(4));
  EXPECT_EQ(fault(kData, kData + 2 * kPageSize), std::nullopt);
  space_->protect(PhysAddr{3 * kPageSize});
  EXPECT_EQ(fault(kData, kData), kData);
  EXPECT_EQ(fault(kData, kData + 2 * kPageSize), kData + 2 * kPageSize);
  EXPECT_EQ(fault(kData, kData + kPageSize), std::nullopt);
}

TEST_F(ShadowSpaceTest, CodeThatIsForbiddenDoesNotRun) {
  space_->put(kData, data(3));
  EXPECT_EQ(fault(kData, kData), std::nullopt);
  space_->protect(PhysAddr{0});  // a watch comes before
  space_->forbid_execution(PhysAddr{0});
  EXPECT_EQ(fault(kData, kData), kCode);
}

TEST_F(ShadowSpaceTest, AReviewChangesWhatHasChanged) {
  for (unsigned i = 0; i < 4; ++i) space_->put(kData + i * kPageSize, data(3 + i));
  EXPECT_EQ(fault(kData, kData + 3 * kPageSize), std::nullopt);
  unsigned asked = 0;
  space_->review([&](std::uint64_t linear, const ShadowPage& page) -> std::optional<ShadowPage> {
    ++asked;
    if (linear == kData) return {};
    if (linear == kData + kPageSize) return data(4, false);
    return page;
  });
  EXPECT_EQ(asked, 5u);
  EXPECT_EQ(space_->size(), 4u);
  EXPECT_EQ(fault(kData, kData + 2 * kPageSize), kData);
  EXPECT_EQ(fault(kData + kPageSize, kData + kPageSize), kData + kPageSize);
  EXPECT_EQ(fault(kData + kPageSize, kData + 2 * kPageSize), std::nullopt);
  space_->review_leaf(kCode, [](auto, const ShadowPage&) { return std::optional<ShadowPage>(); });
  EXPECT_EQ(space_->size(), 3u);
}

TEST_F(ShadowSpaceTest, TheProcessesOwnPlaceIsNotTheGuests) {
  EXPECT_TRUE(ShadowSpace::possible(kCode));
  EXPECT_TRUE(ShadowSpace::possible(StubProcess::kBase - kPageSize));
  EXPECT_TRUE(ShadowSpace::possible(StubProcess::kBase + StubProcess::kSize));
  for (const std::uint64_t address :
       {StubProcess::kBase, StubProcess::kBase + StubProcess::kSize - kPageSize, StubProcess::kEnd,
        std::uint64_t{0}, std::uint64_t{0xffff'8000'0000'0000}})
    EXPECT_FALSE(ShadowSpace::possible(address)) << std::hex << address;
}

}  // namespace
}  // namespace vireo::engine::direct
