#include "engine/interpreter/interpreter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "engine/software/vcpu_world.h"

namespace vireo::engine {
namespace {

struct World : test::VcpuWorld {
  World() : VcpuWorld(make_interpreter) {}
};
constexpr std::uint64_t kCode = World::kCode, kStack = World::kStack, kData = World::kData;

TEST(Interpreter, AKickBeforeRunEndsItBeforeTheFirstInstruction) {
  World w;
  w.code(kCode, {0x90, 0xf4});
  w.vcpu->kick();
  EXPECT_EQ(w.run(), ExitReason::kKicked);
  EXPECT_EQ(w.state.rip, kCode);
  EXPECT_EQ(w.counter("instructions"), 0u);
  EXPECT_EQ(w.run(), ExitReason::kHalted);
}

TEST(Interpreter, AKickFromAnotherThreadEndsALoopThatNeverEnds) {
  for (const auto& loop : {std::vector<std::uint8_t>{0xeb, 0xfe},              // jmp .
                           std::vector<std::uint8_t>{0xf3, 0xaa, 0xeb, 0xfc},  // rep stosb
                           std::vector<std::uint8_t>{0xff, 0xe0}}) {           // jmp rax
    World w;
    w.code(kCode, loop);
    w.state.gpr[x86::kRax] = kCode;
    w.state.gpr[x86::kRcx] = 100;
    w.state.gpr[x86::kRdi] = kData;
    std::thread other([&] { w.vcpu->kick(); });
    EXPECT_EQ(w.run(), ExitReason::kKicked);
    other.join();
  }
}

TEST(Interpreter, AKickOfADeviceEndsTheRunBehindTheInstruction) {
  World w;
  w.code(kCode, {0xe6, 0x80, 0xff, 0xc0, 0xf4});  // out 0x80, al; inc eax; hlt
  EXPECT_EQ(w.run(), ExitReason::kKicked);
  EXPECT_EQ(w.state.rip, kCode + 2);
  EXPECT_EQ(w.state.gpr[x86::kRax], 0u);
}

TEST(Interpreter, LoadAndStoreKeepEveryFieldOfTheState) {
  World w;
  w.state.rflags |= x86::rflags::kArithmetic | x86::rflags::kDf;
  w.state.fpu.st[3] = {0x8000000000000000, 0x3fff};
  w.state.fpu.ymm_high[15] = {1, 2};
  w.state.dr[2] = 5;
  w.state.tsc_offset = 77;
  w.state.nmi_blocked = 1;
  w.state.pending_debug = 2;
  x86::CpuState stored;
  w.vcpu->load(w.state);
  w.vcpu->store(stored);
  EXPECT_EQ(stored, w.state);
}

TEST(Interpreter, AHaltedCpuStaysSoUntilAnInterruptComes) {
  World w;
  w.code(kCode, {0xfb, 0xf4, 0x90});  // sti; hlt
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.rip, kCode + 2);
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  w.machine.vector = 0x41;
  w.vcpu->notify_interrupt();
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 0x41u);
  EXPECT_EQ(w.pushed_rip(), kCode + 2);
}

TEST(Interpreter, AHaltWithInterruptsOffIsLeftByAnNmiOnly) {
  World w;
  w.code(kCode, {0xf4});
  w.machine.vector = 0x41;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.rip, kCode + 1);
  w.vcpu->notify_nmi();
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 2u);
  EXPECT_EQ(w.state.nmi_blocked, 1u);
}

TEST(Interpreter, AnInterruptComesBetweenBlocks) {
  World w;
  w.code(kCode, {0xff, 0xc0, 0xeb, 0xfc});  // inc eax; jmp $-2
  w.state.rflags |= x86::rflags::kIf;
  w.machine.vector.reset();
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    w.machine.vector = 0x55;
    w.vcpu->notify_interrupt();
  });
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  other.join();
  EXPECT_EQ(w.vector(), 0x55u);
  EXPECT_EQ(w.pushed_rip(), kCode);
}

TEST(Interpreter, StiHoldsInterruptsBackForOneInstruction) {
  World w;
  w.code(kCode, {0xfb, 0xff, 0xc0, 0xff, 0xc0, 0xf4});  // sti; inc eax; inc eax; hlt
  w.machine.vector = 0x41;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 0x41u);
  EXPECT_EQ(w.pushed_rip(), kCode + 3);
}

TEST(Interpreter, AnExceptionWithoutADeliverableHandlerIsATripleFault) {
  World w;
  w.code(kCode, {0x0f, 0x0b});
  w.state.idtr.limit = 0;
  EXPECT_EQ(w.run(), ExitReason::kTripleFault);
  EXPECT_EQ(w.run(), ExitReason::kTripleFault);  // it stays down
}

TEST(Interpreter, CountsExactlyAcrossFaultsAndSideExits) {
  World w;
  // inc eax; cmp eax, 3; jb back; mov ecx, [hole]; nop
  w.code(kCode, {0xff, 0xc0, 0x83, 0xf8, 0x03, 0x72, 0xf9, 0x8b, 0x0f, 0x90});
  w.state.gpr[x86::kRdi] = 0x200000;  // not mapped
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 14u);
  EXPECT_EQ(w.pushed_rip(true), kCode + 7);
  EXPECT_EQ(w.counter("instructions"), 3 * 3 + 1u);  // the load did not happen; the HLT did
  EXPECT_EQ(w.counter("fault_pf"), 1u);
}

TEST(Interpreter, CountsTheSameStepByStepAsBlockByBlock) {
  const auto count = [](bool step) {
    World w;
    // mov ecx, 5; loop: dec ecx; jnz loop; pushfq; popfq; hlt
    w.code(kCode, {0xb9, 5, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0x9c, 0x9d, 0xf4});
    if (step) {  // a breakpoint that is never hit
      w.state.dr[0] = kData;
      w.state.dr7 = x86::dr7::kFixed1 | 1;
    }
    EXPECT_EQ(w.run(), ExitReason::kHalted);
    EXPECT_EQ(w.state.rip, kCode + 12);
    return w.counter("instructions");
  };
  EXPECT_EQ(count(false), 1 + 10 + 3u);
  EXPECT_EQ(count(true), count(false));
}

TEST(Interpreter, TheNextInstructionMayHaveJustBeenWritten) {
  World w;
  // mov byte [rip+0], 0x48 makes "inc eax" (ff c0) of what follows into "dec eax" (ff c8)
  w.code(kCode, {0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0xc8, 0xff, 0xc0, 0xf4});
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRax], 0xffffffffu);
  EXPECT_EQ(w.counter("instructions"), 3u);
}

TEST(Interpreter, AnInstructionAcrossPagesFollowsItsSecondPage) {
  World w;
  const std::uint64_t at = kCode + 0xffd;
  w.code(at, {0xb8, 0x11, 0x22});              // mov eax, imm32
  w.code(kCode + 0x1000, {0x33, 0x44, 0xf4});  // ... hlt
  w.code(0x80000, {0x55, 0x66, 0xf4});
  w.state.rip = at;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRax], 0x44332211u);
  w.tables.map(kCode + 0x1000, 0x80000);
  w.state.rip = at;
  w.state.activity = 0;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRax], 0x66552211u);
}

TEST(Interpreter, AnInstructionWhoseSecondPageIsMissingFaultsThere) {
  World w;
  w.code(kCode + 0xffd, {0xb8, 0x11, 0x22});
  w.tables.map(kCode + 0x1000, 0, 0);
  w.state.rip = kCode + 0xffd;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 14u);
  EXPECT_EQ(w.state.cr2, kCode + 0x1000);
  EXPECT_EQ(w.pushed_rip(true), kCode + 0xffd);
}

TEST(Interpreter, ABranchLeavesAPageThatIsMappedTwiceByItsLinearAddress) {
  World w;
  constexpr std::uint64_t kShared = 0x80000;
  // jmp to the next linear page, offset 0x100, where EAX is set
  w.code(kShared, {0xe9, 0xfb, 0x10, 0x00, 0x00});
  w.code(kShared + 0x100, {0xb8, 1, 0, 0, 0, 0xf4});
  w.code(0x90100, {0xb8, 2, 0, 0, 0, 0xf4});
  w.tables.map(0x100000000, kShared);
  w.tables.map(0x100001000, kShared);
  w.tables.map(0x100002000, kShared);
  w.tables.map(0x100003000, 0x90000);
  w.state.rip = 0x100000000;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRax], 1u);
  w.state.rip = 0x100002000;
  w.state.activity = 0;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRax], 2u);
}

TEST(Interpreter, AnInstructionThatLeavesCanonicalAddressesIsAProtectionFault) {
  World w;
  w.code(0x80ffe, {0xb8, 0x11});
  w.tables.map(0x7ffffffff000, 0x80000);
  w.tables.map(0xffff800000000000, 0x90000);
  w.state.rip = 0x7ffffffffffe;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 13u);
  EXPECT_EQ(w.pushed_rip(true), 0x7ffffffffffeu);
}

TEST(Interpreter, ACallToNowhereFaultsBeforeItPushes) {
  World w;
  w.code(0x80f00, {0xe8, 0x00, 0x10, 0x00, 0x00});  // call $+0x1005
  w.tables.map(0x7ffffffff000, 0x80000);
  w.state.rip = 0x7fffffffff00;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.vector(), 13u);
  EXPECT_EQ(w.pushed_rip(true), 0x7fffffffff00u);
  EXPECT_EQ(w.get<std::uint64_t>(w.state.gpr[x86::kRsp] + 32), kStack);
}

TEST(Interpreter, ABlockForEveryByteOfCodeDoesNotGrowWithoutBound) {
  World w;
  std::uint64_t evictions = 0;  // before the last port was written
  w.machine.on_out = [&](std::uint16_t) { evictions = w.counter("code_evictions"); };
  // Lines of 62 CLD and JMP RSI; the loop jumps to every byte of them, whatever it means.
  constexpr std::uint64_t kLines = 0x80000, kSize = 0x10000, kLoop = 0xa0000;
  std::vector<std::uint8_t> lines(kSize, 0xfc);
  for (std::size_t end = 64; end <= kSize; end += 64) lines[end - 2] = 0xff, lines[end - 1] = 0xe6;
  w.code(kLines, lines);
  w.code(kLines + kSize, {0x90, 0xff, 0xe6});
  // inc ecx; cmp ecx, kSize; jb +3; out 0x80, al; hlt; lea rdx, [rbx + rcx]; jmp rdx
  w.code(kLoop, {0xff, 0xc1, 0x81, 0xf9, 0x00, 0x00, 0x01, 0x00, 0x72, 0x03, 0xe6, 0x80, 0xf4, 0x48,
                 0x8d, 0x14, 0x0b, 0xff, 0xe2});
  w.state.gpr[x86::kRbx] = kLines;
  w.state.gpr[x86::kRsi] = kLoop;
  w.state.rip = kLines;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.rip, kLoop + 13);
  EXPECT_GE(evictions, 1u);
}

TEST(Interpreter, EqualInputsGiveEqualRuns) {
  const auto run = [] {
    World w;
    // mov ecx, 200; loop: rdtsc; add rbx, rax; push rbx; imul rbx, rbx, 77; dec ecx; jnz; hlt
    w.code(kCode, {0xb9, 200,  0,    0,    0,    0x0f, 0x31, 0x48, 0x01, 0xc3,
                   0x53, 0x48, 0x6b, 0xdb, 0x4d, 0xff, 0xc9, 0x75, 0xf2, 0xf4});
    EXPECT_EQ(w.run(), ExitReason::kHalted);
    std::vector<std::uint64_t> counts;
    for (const Counter& c : w.vcpu->counters()) counts.push_back(c.value);
    return std::pair(w.state, counts);
  };
  const auto first = run(), second = run();
  EXPECT_EQ(first, second);
  EXPECT_NE(first.first.gpr[x86::kRbx], 0u);
}

}  // namespace
}  // namespace vireo::engine
