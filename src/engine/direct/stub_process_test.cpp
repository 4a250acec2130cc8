#include "engine/direct/stub_process.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace vireo::engine::direct {
namespace {

constexpr std::uint64_t kCode = 0x400000, kData = 0x7f12'3456'7000;

class StubProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    file_ = UniqueFd(::memfd_create("guest", 0));
    ASSERT_EQ(::ftruncate(file_.get(), 16 * kPageSize), 0);
    auto made = StubProcess::create(file_.get());
    if (!made) GTEST_SKIP() << made.error().message;
    stub_ = std::move(*made);
  }
  void write(std::uint64_t offset, std::initializer_list<std::uint8_t> bytes) {
    ASSERT_EQ(::pwrite(file_.get(), bytes.begin(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }
  /// Code from the start of the file, data behind it.
  void map_both(StubProcess& stub, bool writable = true) {
    const std::array<StubProcess::Mapping, 2> both{
        {{kCode, kPageSize, 0, true, false, true},
         {kData, 2 * kPageSize, kPageSize, true, writable, false}}};
    ASSERT_TRUE(stub.map(both));
  }
  static StubProcess::Registers at_code() {
    StubProcess::Registers registers{};
    registers.rip = kCode;
    registers.eflags = 0x202;
    return registers;
  }

  UniqueFd file_;
  std::unique_ptr<StubProcess> stub_;
};

TEST_F(StubProcessTest, RunsCodeUpToASystemCallThatIsNotMade) {
  write(0, {0x48, 0x01, 0xd8, 0x0f, 0x05});  // add rax, rbx; syscall
  map_both(*stub_);
  auto registers = at_code();
  registers.rax = 59;  // would be execve
  registers.rbx = 1;
  const auto event = stub_->run(registers);
  EXPECT_EQ(event.stop, StubProcess::Stop::kSystemCall);
  EXPECT_EQ(registers.rip, kCode + 5);
  EXPECT_EQ(registers.orig_rax, 60u);  // would have been exit
  registers.rip = kCode + 3;
  EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
}

TEST_F(StubProcessTest, MemoryIsTheFiles) {
  write(0, {0x48, 0x89, 0x03, 0x48, 0x89, 0x0b});  // mov [rbx], rax; mov [rbx], rcx
  map_both(*stub_);
  auto registers = at_code();
  registers.rax = 0x1122334455667788;
  registers.rbx = kData + kPageSize - 4;
  registers.rcx = 7;
  const auto event = stub_->run(registers);  // behind it are zeroes: add [rax], al
  EXPECT_EQ(event.signal, SIGSEGV);
  std::uint64_t found = 0;
  ASSERT_EQ(::pread(file_.get(), &found, 8, 2 * kPageSize - 4), 8);
  EXPECT_EQ(found, 7u);
}

TEST_F(StubProcessTest, AFaultTellsItsAddress) {
  write(0, {0x48, 0x89, 0x03});
  map_both(*stub_, false);
  auto registers = at_code();
  registers.rbx = kData + 0x123;
  const auto event = stub_->run(registers);
  EXPECT_EQ(event.stop, StubProcess::Stop::kSignal);
  EXPECT_EQ(event.signal, SIGSEGV);
  EXPECT_EQ(event.address, kData + 0x123);
  EXPECT_EQ(registers.rip, kCode);
}

TEST_F(StubProcessTest, WhatIsUnmappedIsGone) {
  write(0, {0x48, 0x8b, 0x03, 0x0f, 0x05});  // mov rax, [rbx]; syscall
  map_both(*stub_);
  auto registers = at_code();
  registers.rbx = kData;
  EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
  const std::array<StubProcess::Mapping, 1> gone{{{kData, kPageSize}}};
  ASSERT_TRUE(stub_->map(gone));
  registers = at_code();
  registers.rbx = kData;
  EXPECT_EQ(stub_->run(registers).signal, SIGSEGV);
}

/// They stand in a copy, and only as long as that is mapped.
TEST_F(StubProcessTest, TrapsAreTheProcesssAlone) {
  write(0, {0xff, 0xc0, 0x0f, 0xa2, 0x0f, 0x05});  // inc eax; cpuid; syscall
  const std::array<std::uint64_t, 1> traps{kCode + 2};
  StubProcess::Mapping code{kCode, kPageSize, 0, true, false, true, traps};
  ASSERT_TRUE(stub_->map(std::span(&code, 1)));
  auto registers = at_code();
  const auto event = stub_->run(registers);
  EXPECT_EQ(event.stop, StubProcess::Stop::kSignal);
  EXPECT_EQ(event.signal, SIGTRAP);
  EXPECT_EQ(event.code, SI_KERNEL);
  EXPECT_EQ(registers.rip, traps[0] + 1);
  EXPECT_EQ(registers.rax, 1u);
  std::uint8_t there = 0;
  ASSERT_EQ(::pread(file_.get(), &there, 1, 2), 1);
  EXPECT_EQ(there, 0x0f);
  code.traps = {};
  ASSERT_TRUE(stub_->map(std::span(&code, 1)));
  registers = at_code();
  EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
}

TEST_F(StubProcessTest, NothingOfTheMonitorIsThere) {
  write(0, {0x48, 0x8b, 0x03, 0x0f, 0x05});
  map_both(*stub_);
  int here = 0;
  for (const std::uint64_t address :
       {reinterpret_cast<std::uint64_t>(&here), reinterpret_cast<std::uint64_t>(stub_.get()),
        reinterpret_cast<std::uint64_t>(&::write), std::uint64_t{0xffffffffff600000}}) {
    auto registers = at_code();
    registers.rbx = address;
    EXPECT_EQ(stub_->run(registers).signal, SIGSEGV) << std::hex << address;
  }
}

TEST_F(StubProcessTest, ItsOwnCodeMakesNoSystemCallForTheGuest) {
  write(0, {0x41, 0xff, 0xe4});  // jmp r12
  write(kPageSize, {0x3c});      // a list with exit()
  map_both(*stub_);
  for (int i = 0; i < 2; ++i) {
    auto registers = at_code();
    registers.r12 = StubProcess::kBase;
    registers.rbx = kData;
    registers.rbp = kData + 48;
    const auto event = stub_->run(registers);
    EXPECT_EQ(event.stop, StubProcess::Stop::kSystemCall);
    EXPECT_EQ(registers.orig_rax, 60u);
  }
}

TEST_F(StubProcessTest, CallsToTheHostsVsyscallPageAreSignals) {
  write(0, {0xff, 0xd3});  // call rbx
  map_both(*stub_);
  auto registers = at_code();
  registers.rbx = 0xffffffffff600000;
  registers.rsp = kData + 0x800;
  const auto event = stub_->run(registers);
  EXPECT_EQ(event.stop, StubProcess::Stop::kSignal);
  EXPECT_TRUE(event.signal == SIGSYS || event.signal == SIGSEGV) << event.signal;
}

TEST_F(StubProcessTest, AKickStopsALoop) {
  write(0, {0xeb, 0xfe});  // jmp .
  map_both(*stub_);
  for (int i = 0; i < 3; ++i) {
    std::thread kicker([pid = stub_->pid()] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ::kill(pid, StubProcess::kKickSignal);
    });
    auto registers = at_code();
    EXPECT_EQ(stub_->run(registers).signal, StubProcess::kKickSignal);
    EXPECT_EQ(registers.rip, kCode);
    kicker.join();
  }
  ::kill(stub_->pid(), StubProcess::kKickSignal);  // one that comes too early is not lost
  auto registers = at_code();
  EXPECT_EQ(stub_->run(registers).signal, StubProcess::kKickSignal);
}

TEST_F(StubProcessTest, TheIdFlagIsLoadedToo) {
  write(0, {0x9c, 0x58, 0x0f, 0x05});  // pushfq; pop rax; syscall
  map_both(*stub_);
  constexpr std::uint64_t kId = 1u << 21;
  for (const std::uint64_t flag : {kId, std::uint64_t{0}, kId}) {
    auto registers = at_code();
    registers.rsp = kData + 0x800;
    registers.eflags |= flag;
    EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
    EXPECT_EQ(registers.orig_rax & kId, flag);
  }
}

TEST_F(StubProcessTest, AnotherOneHasItsOwnMappings) {
  write(0, {0x48, 0x8b, 0x03, 0x0f, 0x05});
  auto made = stub_->spawn();
  ASSERT_TRUE(made) << made.error().message;
  map_both(**made);
  auto registers = at_code();
  registers.rbx = kData;
  EXPECT_EQ((*made)->run(registers).stop, StubProcess::Stop::kSystemCall);
  registers = at_code();
  EXPECT_EQ(stub_->run(registers).signal, SIGSEGV);
}

TEST_F(StubProcessTest, VectorsComeAndGo) {
  write(0, {0x66, 0x0f, 0xfe, 0xc1, 0x0f, 0x05});  // paddd xmm0, xmm1; syscall
  map_both(*stub_);
  std::vector<std::byte> image(stub_->vector_bytes());
  ASSERT_GE(image.size(), 576u);
  ASSERT_TRUE(stub_->store_vectors(image));
  constexpr std::size_t kXmm = 160, kBits = 512;
  const std::uint32_t one = 1, two = 2, kinds = 3;
  std::memset(image.data() + kXmm, 0, 256);
  std::memcpy(image.data() + kXmm, &one, 4);
  std::memcpy(image.data() + kXmm + 16, &two, 4);
  std::memcpy(image.data() + kBits, &kinds, 4);
  ASSERT_TRUE(stub_->load_vectors(image));
  auto registers = at_code();
  EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
  ASSERT_TRUE(stub_->store_vectors(image));
  std::uint32_t sum = 0;
  std::memcpy(&sum, image.data() + kXmm, 4);
  EXPECT_EQ(sum, 3u);
}

TEST_F(StubProcessTest, RoundTripsAreMeasured) {
  write(0, {0x0f, 0x05});
  map_both(*stub_);
  constexpr int kTrips = 2000;
  auto registers = at_code();
  std::vector<std::byte> image(stub_->vector_bytes());
  const auto time = [&](auto trip) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTrips; ++i) trip();
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    return took.count() / kTrips;
  };
  const double plain = time([&] { registers.rip = kCode, stub_->run(registers); });
  const double vectors = time([&] {
    stub_->load_vectors(image);
    registers.rip = kCode, stub_->run(registers);
    stub_->store_vectors(image);
  });
  std::vector<StubProcess::Mapping> one{{kData, kPageSize, 0, true, true, false}};
  const double mapping = time([&] { stub_->map(one); });
  fmt::print("round trip {:.1f} us, with vectors {:.1f} us, one mapping {:.1f} us\n", plain,
             vectors, mapping);
}

TEST_F(StubProcessTest, StopsInFrontOfABreakpoint) {
  write(0, {0x48, 0xff, 0xc0,  // inc rax
            0x90,              // nop
            0xeb, 0xfa});      // jmp back
  map_both(*stub_);
  const std::array<std::uint64_t, 2> both{kCode + 3, kCode + 4};
  if (!stub_->set_breakpoints(both)) GTEST_SKIP() << "this host has no breakpoints";
  auto registers = at_code();
  // Again and again, as long as it is where the code goes on.
  for (const std::uint64_t stop : {3u, 3u, 4u}) {
    if (stop == 4) registers.rip = kCode + stop;
    const auto event = stub_->run(registers);
    EXPECT_EQ(event.stop, StubProcess::Stop::kSignal);
    EXPECT_EQ(event.signal, SIGTRAP);
    EXPECT_EQ(event.code, TRAP_HWBKPT);
    EXPECT_EQ(registers.rip, kCode + stop);
    EXPECT_EQ(registers.rax, 1u);
  }
}

TEST_F(StubProcessTest, BreakpointsGoAgainAndAreNotInherited) {
  write(0, {0x90, 0x90, 0x0f, 0x05});  // nop; nop; syscall
  map_both(*stub_);
  const std::array<std::uint64_t, 1> one{kCode + 1};
  if (!stub_->set_breakpoints(one)) GTEST_SKIP() << "this host has no breakpoints";
  auto registers = at_code();
  EXPECT_EQ(stub_->run(registers).signal, SIGTRAP);

  auto other = stub_->spawn();
  ASSERT_TRUE(other);
  ASSERT_TRUE((*other)->map(StubProcess::nothing()));
  map_both(**other);
  registers = at_code();
  EXPECT_EQ((*other)->run(registers).stop, StubProcess::Stop::kSystemCall);

  ASSERT_TRUE(stub_->set_breakpoints({}));
  registers = at_code();
  EXPECT_EQ(stub_->run(registers).stop, StubProcess::Stop::kSystemCall);
}

}  // namespace
}  // namespace vireo::engine::direct
