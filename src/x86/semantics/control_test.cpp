#include "x86/semantics/control.h"

#include <gtest/gtest.h>

#include <set>

#include "x86/cpuid/host_features.h"
#include "x86/semantics/control_test_port.h"

namespace vireo::x86 {
namespace {

constexpr std::string_view kModel =
    "baseline,+xsave,+xgetbv1,+pku,+pcid,+smap,+umip,+fsgsbase,+rdtscp,+rdpid,+invpcid,+monitor";

class ControlTest : public ::testing::Test {
 protected:
  SystemPort port{kModel};
  CpuState state;

  OrFault<> run(const Insn& insn) {
    for (const auto& row : control_handlers())
      if (row.mnemonic == insn.mnemonic) return row.handler(state, port, insn);
    ADD_FAILURE() << "there is no handler";
    return Unit{};
  }
  OrFault<> run(Mnemonic mnemonic, std::initializer_list<Operand> operands = {}) {
    return run(instruction(mnemonic, operands));
  }
  void enter_user_mode() {
    enter_protected_mode(state);
    set_cpl(state, 3);
  }
  static Insn at(Mnemonic mnemonic, std::int64_t displacement, SegmentIndex segment = kDs,
                 std::initializer_list<Operand> operands = {{OperandKind::kMemory, 0, 0}}) {
    Insn insn = instruction(mnemonic, operands);
    insn.memory.displacement = displacement;
    insn.memory.segment = segment;
    return insn;
  }
};

TEST_F(ControlTest, EveryMnemonicHasOneHandler) {
  std::set<Mnemonic> seen;
  for (const auto& row : control_handlers()) EXPECT_TRUE(seen.insert(row.mnemonic).second);
}

TEST_F(ControlTest, PrivilegedInstructionsFaultInUserMode) {
  enter_user_mode();
  state.cr4 = cr4::kOsxsave;
  for (const auto mnemonic :
       {ZYDIS_MNEMONIC_LMSW, ZYDIS_MNEMONIC_CLTS, ZYDIS_MNEMONIC_INVLPG, ZYDIS_MNEMONIC_INVPCID,
        ZYDIS_MNEMONIC_INVD, ZYDIS_MNEMONIC_WBINVD, ZYDIS_MNEMONIC_XSETBV, ZYDIS_MNEMONIC_SWAPGS,
        ZYDIS_MNEMONIC_RDMSR, ZYDIS_MNEMONIC_WRMSR, ZYDIS_MNEMONIC_RDPMC})
    EXPECT_TRUE(faults_with(run(mnemonic, {gpr_operand(kRax)}), kGp0))
        << ZydisMnemonicGetString(mnemonic);
  for (const auto mnemonic : {ZYDIS_MNEMONIC_CLAC, ZYDIS_MNEMONIC_STAC, ZYDIS_MNEMONIC_MONITOR,
                              ZYDIS_MNEMONIC_MWAIT, ZYDIS_MNEMONIC_RSM})
    EXPECT_TRUE(faults_with(run(mnemonic), kUd)) << ZydisMnemonicGetString(mnemonic);
}

TEST_F(ControlTest, LmswLoadsFourBitsAndNeverClearsPe) {
  state.gpr[kRax] = 0xffff;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_LMSW, {gpr_operand(kRax, 2)}));
  EXPECT_EQ(state.cr0, 0x6000001fu);
  state.gpr[kRax] = 0;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_LMSW, {gpr_operand(kRax, 2)}));
  EXPECT_EQ(state.cr0, 0x60000011u);
}

TEST_F(ControlTest, SmswStoresCr0AndObeysUmip) {
  enter_user_mode();
  state.gpr[kRax] = ~0ull;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_SMSW, {gpr_operand(kRax, 2)}));
  EXPECT_EQ(state.gpr[kRax], 0xffff'ffff'ffff'0011u);
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_SMSW, {gpr_operand(kRax, 4)}));
  EXPECT_EQ(state.gpr[kRax], 0x60000011u);
  state.cr4 = cr4::kUmip;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_SMSW, {gpr_operand(kRax, 2)}), kGp0));
  set_cpl(state, 0);
  EXPECT_TRUE(run(ZYDIS_MNEMONIC_SMSW, {gpr_operand(kRax, 2)}));
}

TEST_F(ControlTest, CltsClearsTaskSwitched) {
  state.cr0 |= cr0::kTs;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_CLTS));
  EXPECT_EQ(state.cr0 & cr0::kTs, 0u);
  EXPECT_EQ(port.mode_changes, 1u);
}

TEST_F(ControlTest, InvlpgAddsTheSegmentAndIgnoresAddressesThatAreNotCanonical) {
  enter_long_mode(state);
  state.segment[kDs].base = 0x1000;  // has no meaning in 64-bit mode
  state.segment[kGs].base = 0x2000;
  ASSERT_TRUE(run(at(ZYDIS_MNEMONIC_INVLPG, 0x30)));
  ASSERT_TRUE(run(at(ZYDIS_MNEMONIC_INVLPG, 0x30, kGs)));
  ASSERT_TRUE(run(at(ZYDIS_MNEMONIC_INVLPG, 1ll << 50)));
  EXPECT_EQ(port.invalidated, (std::vector<std::uint64_t>{0x30, 0x2030}));
}

TEST_F(ControlTest, InvlpgAddressesWrapOutside64BitMode) {
  state.segment[kDs].base = 0xffff'f000;
  ASSERT_TRUE(run(at(ZYDIS_MNEMONIC_INVLPG, 0x2000)));
  EXPECT_EQ(port.invalidated, std::vector<std::uint64_t>{0x1000});
}

TEST_F(ControlTest, InvpcidFlushesAtLeastWhatItNames) {
  enter_long_mode(state);
  state.cr4 |= cr4::kPcide;
  state.cr3 = 0x1005;
  const Insn insn =
      at(ZYDIS_MNEMONIC_INVPCID, 0x100, kDs, {gpr_operand(kRax), {OperandKind::kMemory, 0, 16}});
  const auto flushed_by = [&](std::uint64_t type, std::uint64_t pcid) {
    state.gpr[kRax] = type;
    port.put(0x100, pcid);
    port.put(0x108, 0x7000);
    EXPECT_TRUE(run(insn));
    return port.flushed();
  };
  EXPECT_EQ(flushed_by(0, 5), std::nullopt);
  EXPECT_EQ(port.invalidated, std::vector<std::uint64_t>{0x7000});
  EXPECT_EQ(flushed_by(0, 6), TlbFlush::kAll);
  EXPECT_EQ(flushed_by(1, 5), TlbFlush::kNonGlobal);
  EXPECT_EQ(flushed_by(1, 6), TlbFlush::kAll);
  EXPECT_EQ(flushed_by(2, 0), TlbFlush::kAll);
  EXPECT_EQ(flushed_by(3, 0), TlbFlush::kAnyPcid);
}

TEST_F(ControlTest, InvpcidRefusesWhatItDoesNotKnow) {
  enter_long_mode(state);
  const Insn insn =
      at(ZYDIS_MNEMONIC_INVPCID, 0x100, kDs, {gpr_operand(kRax), {OperandKind::kMemory, 0, 16}});
  const auto refused = [&](std::uint64_t type, std::uint64_t pcid, std::uint64_t address) {
    state.gpr[kRax] = type;
    port.put(0x100, pcid);
    port.put(0x108, address);
    return faults_with(run(insn), kGp0);
  };
  EXPECT_TRUE(refused(4, 0, 0));
  EXPECT_TRUE(refused(2, 0x1000, 0));
  EXPECT_TRUE(refused(0, 1, 0));  // there are no PCIDs
  EXPECT_TRUE(refused(0, 0, 1ull << 60));
  EXPECT_FALSE(refused(1, 0, 1ull << 60));
}

TEST_F(ControlTest, XgetbvAndXsetbvNeedOsxsave) {
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_XGETBV), kUd));
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_XSETBV), kUd));
  state.cr4 = cr4::kOsxsave;
  state.gpr[kRax] = xcr0::kX87 | xcr0::kSse | xcr0::kPkru;
  state.gpr[kRdx] = 0;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_XSETBV));
  EXPECT_EQ(state.xcr0, 0x203u);
  state.gpr[kRax] = ~0ull;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_XGETBV));
  EXPECT_EQ(state.gpr[kRax], 0x203u);
  state.gpr[kRcx] = 1;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_XGETBV));
  EXPECT_EQ(state.gpr[kRax], 3u);  // PKRU is in its initial state
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_XSETBV), kGp0));
  state.gpr[kRcx] = 2;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_XGETBV), kGp0));
}

TEST_F(ControlTest, PkruIsReadAndWrittenWithZeroInTheOtherRegisters) {
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_RDPKRU), kUd));
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_WRPKRU), kUd));
  state.cr4 = cr4::kPke;
  state.gpr = {};
  state.gpr[kRax] = 0x5555'5554;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_WRPKRU));
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_WRPKRU));
  EXPECT_EQ(port.mode_changes, 1u);  // the second changed nothing
  state.gpr[kRax] = state.gpr[kRdx] = ~0ull;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_RDPKRU));
  EXPECT_EQ(state.gpr[kRax], 0x5555'5554u);
  EXPECT_EQ(state.gpr[kRdx], 0u);
  state.gpr[kRdx] = 1;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_WRPKRU), kGp0));
  state.gpr[kRcx] = 1;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_RDPKRU), kGp0));
}

TEST_F(ControlTest, TheTimeStampIsTheClockAndTheOffset) {
  port.clock = 0x1'0000'0000;
  state.tsc_offset = 0x2'0000'0001;
  state.msr.tsc_aux = 7;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_RDTSCP));
  EXPECT_EQ(state.gpr[kRax], 1u);
  EXPECT_EQ(state.gpr[kRdx], 3u);
  EXPECT_EQ(state.gpr[kRcx], 7u);
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_RDPID, {gpr_operand(kRbx)}));
  EXPECT_EQ(state.gpr[kRbx], 7u);
  enter_user_mode();
  EXPECT_TRUE(run(ZYDIS_MNEMONIC_RDTSC));
  EXPECT_EQ(state.gpr[kRcx], 7u);
  state.cr4 = cr4::kTsd;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_RDTSC), kGp0));
  set_cpl(state, 0);
  EXPECT_TRUE(run(ZYDIS_MNEMONIC_RDTSC));
}

TEST_F(ControlTest, SwapgsExchangesTheBases) {
  enter_long_mode(state);
  state.segment[kGs].base = 1;
  state.msr.kernel_gs_base = 2;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_SWAPGS));
  EXPECT_EQ(state.segment[kGs].base, 2u);
  EXPECT_EQ(state.msr.kernel_gs_base, 1u);
}

TEST_F(ControlTest, SegmentBasesAreForUserModeOnceTheSystemAllows) {
  enter_long_mode(state);
  set_cpl(state, 3);
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_WRFSBASE, {gpr_operand(kRax)}), kUd));
  state.cr4 |= cr4::kFsgsbase;
  state.gpr[kRax] = 0xffff'8000'1234'5678;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_WRFSBASE, {gpr_operand(kRax)}));
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_WRGSBASE, {gpr_operand(kRax, 4)}));
  EXPECT_EQ(state.segment[kFs].base, 0xffff'8000'1234'5678u);
  EXPECT_EQ(state.segment[kGs].base, 0x1234'5678u);
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_RDFSBASE, {gpr_operand(kRbx, 4)}));
  EXPECT_EQ(state.gpr[kRbx], 0x1234'5678u);
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_RDGSBASE, {gpr_operand(kRbx)}));
  EXPECT_EQ(state.gpr[kRbx], 0x1234'5678u);
  state.gpr[kRax] = 1ull << 47;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_WRFSBASE, {gpr_operand(kRax)}), kGp0));
  state.segment[kCs].access &= ~Segment::kLong;
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_RDFSBASE, {gpr_operand(kRax)}), kUd));
}

TEST_F(ControlTest, StacAndClacSetTheFlagAndTellTheEngine) {
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_STAC));
  EXPECT_EQ(state.rflags & rflags::kAc, rflags::kAc);
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_CLAC));
  EXPECT_EQ(state.rflags & rflags::kAc, 0u);
  EXPECT_EQ(port.mode_changes, 2u);
}

TEST_F(ControlTest, MonitorReadsItsLineAndAllowsNoExtensions) {
  enter_long_mode(state);
  state.gpr[kRax] = 0x100;
  EXPECT_TRUE(run(at(ZYDIS_MNEMONIC_MONITOR, 0)));
  EXPECT_TRUE(run(ZYDIS_MNEMONIC_MWAIT));
  state.gpr[kRax] = 0x10000;
  EXPECT_TRUE(faults_with(run(at(ZYDIS_MNEMONIC_MONITOR, 0)), Fault{Vector::kPF, 0, 0x10000}));
  state.gpr[kRcx] = 1;
  EXPECT_TRUE(faults_with(run(at(ZYDIS_MNEMONIC_MONITOR, 0)), kGp0));
  EXPECT_TRUE(faults_with(run(ZYDIS_MNEMONIC_MWAIT), kGp0));
}

TEST_F(ControlTest, RandomNumbersSetCarryAndClearTheOtherFlags) {
  if (!reported_by_host().has(Feature::kRdrand) || !reported_by_host().has(Feature::kRdseed))
    GTEST_SKIP() << "the host has no RDRAND or RDSEED";
  for (const auto mnemonic : {ZYDIS_MNEMONIC_RDRAND, ZYDIS_MNEMONIC_RDSEED}) {
    std::set<std::uint64_t> numbers;
    for (int i = 0; i < 100; ++i) {
      state.rflags |= rflags::kArithmetic;
      state.gpr[kRax] = 0;
      ASSERT_TRUE(run(mnemonic, {gpr_operand(kRax)}));
      const auto flags = state.rflags & rflags::kArithmetic;
      EXPECT_EQ(flags, flags & rflags::kCf);
      if (flags != 0) numbers.insert(state.gpr[kRax]);
    }
    EXPECT_GT(numbers.size(), 10u);
    state.gpr[kRbx] = 0x1111'2222'3333'4444;
    ASSERT_TRUE(run(mnemonic, {gpr_operand(kRbx, 2)}));
    EXPECT_EQ(state.gpr[kRbx] >> 16, 0x1111'2222'3333u);
  }
}

TEST_F(ControlTest, CpuidAnswersInFourRegistersOf32Bits) {
  state.gpr = {};
  state.gpr[kRax] = 0xffff'ffff'0000'0000;
  state.gpr[kRbx] = ~0ull;
  ASSERT_TRUE(run(ZYDIS_MNEMONIC_CPUID));
  EXPECT_EQ(state.gpr[kRbx], 0x756e6547u);
  execute_cpuid(state, port.cpuid(), 0);
  state.gpr[kRax] = 0xb;
  execute_cpuid(state, port.cpuid(), 0x123);
  EXPECT_EQ(state.gpr[kRdx], 0x123u);
}

}  // namespace
}  // namespace vireo::x86
