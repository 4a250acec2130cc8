#include <gtest/gtest.h>

#include "x86/semantics/control.h"
#include "x86/semantics/control_test_port.h"

namespace vireo::x86 {
namespace {

constexpr std::string_view kModel = "baseline,+xsave,+pku,+pcid,+la57,+smep,+smap,+umip,+fsgsbase";

class ControlRegisterTest : public ::testing::Test {
 protected:
  SystemPort port{kModel};
  CpuState state;

  OrFault<> move(unsigned control, std::uint64_t value) {
    state.gpr[kRbx] = value;
    return move_control_register(
        state, port,
        instruction(
            ZYDIS_MNEMONIC_MOV,
            {{OperandKind::kControl, static_cast<std::uint8_t>(control), 8}, gpr_operand(kRbx)}));
  }
  OrFault<std::uint64_t> read(unsigned control) {
    TRY(move_control_register(
        state, port,
        instruction(
            ZYDIS_MNEMONIC_MOV,
            {gpr_operand(kRdx), {OperandKind::kControl, static_cast<std::uint8_t>(control), 8}})));
    return state.gpr[kRdx];
  }
  /// The write is #GP(0) and changes nothing.
  void expect_refused(unsigned control, std::uint64_t value) {
    state.gpr[kRbx] = value;
    const CpuState before = state;
    EXPECT_TRUE(faults_with(move(control, value), kGp0)) << "cr" << control << " " << value;
    EXPECT_TRUE(state == before);
    EXPECT_TRUE(port.flushes.empty());
  }
  void start_pae_paging() {
    state.cr0 |= cr0::kPe | cr0::kPg;
    state.cr4 |= cr4::kPae;
  }
};

TEST_F(ControlRegisterTest, OnlyPrivilegeLevelZeroMayMoveThem) {
  enter_protected_mode(state);
  set_cpl(state, 3);
  expect_refused(0, state.cr0);
  EXPECT_TRUE(faults_with(read(0), kGp0));
}

TEST_F(ControlRegisterTest, RegistersThatDoNotExistAreUndefined) {
  EXPECT_TRUE(faults_with(move(1, 0), kUd));
  EXPECT_TRUE(faults_with(read(5), kUd));
}

TEST_F(ControlRegisterTest, OutsideLongModeOnly32BitsMove) {
  ASSERT_TRUE(move(2, 0x1'2345'6789));
  EXPECT_EQ(state.cr2, 0x2345'6789u);
  state.cr2 = ~0ull;
  EXPECT_EQ(read(2), 0xffff'ffffu);
  enter_long_mode(state);
  ASSERT_TRUE(move(2, 0x1'2345'6789));
  EXPECT_EQ(read(2), 0x1'2345'6789u);
}

TEST_F(ControlRegisterTest, Cr0ImpossibleCombinationsAreRefused) {
  expect_refused(0, cr0::kPg);
  expect_refused(0, cr0::kNw);
  enter_long_mode(state);
  expect_refused(0, state.cr0 | 1ull << 32);
}

TEST_F(ControlRegisterTest, Cr0ReservedBitsAreIgnoredAndEtIsFixed) {
  ASSERT_TRUE(move(0, cr0::kPe | 1u << 6 | 1u << 28));
  EXPECT_EQ(state.cr0, cr0::kPe | cr0::kEt);
}

TEST_F(ControlRegisterTest, Cr0TellsTheEngineWhatChanged) {
  ASSERT_TRUE(move(0, cr0::kPe));
  EXPECT_EQ(port.mode_changes, 1u);
  port.flushed();
  ASSERT_TRUE(move(0, cr0::kPe | cr0::kTs));
  EXPECT_EQ(port.flushed(), std::nullopt);
  ASSERT_TRUE(move(0, cr0::kPe | cr0::kTs | cr0::kPg));
  EXPECT_EQ(port.flushed(), TlbFlush::kAll);
}

TEST_F(ControlRegisterTest, PagingWithLmeBeginsLongMode) {
  enter_protected_mode(state);
  state.msr.efer = efer::kLme;
  expect_refused(0, cr0::kPe | cr0::kPg);  // without PAE
  state.cr4 = cr4::kPae;
  state.segment[kCs].access |= Segment::kLong;
  expect_refused(0, cr0::kPe | cr0::kPg);
  state.segment[kCs].access &= ~Segment::kLong;
  const Segment tr = std::exchange(state.tr, Segment{8, 0x83, 0xffff, 0});
  expect_refused(0, cr0::kPe | cr0::kPg);
  state.tr = tr;
  ASSERT_TRUE(move(0, cr0::kPe | cr0::kPg));
  EXPECT_TRUE(state.long_mode());
}

TEST_F(ControlRegisterTest, LongModeEndsFromCompatibilityModeOnly) {
  enter_long_mode(state);
  expect_refused(0, cr0::kPe);
  state.segment[kCs].access &= ~Segment::kLong;
  state.cr4 |= cr4::kPcide;
  expect_refused(0, cr0::kPe);
  state.cr4 &= ~cr4::kPcide;
  ASSERT_TRUE(move(0, cr0::kPe));
  EXPECT_EQ(state.msr.efer, efer::kLme);
}

TEST_F(ControlRegisterTest, PaePagingLoadsPdptes) {
  enter_protected_mode(state);
  state.cr4 = cr4::kPae;
  state.cr3 = 0x7e0;
  port.put(0x7e8, 0x1234'5001);
  ASSERT_TRUE(move(0, cr0::kPe | cr0::kPg));
  EXPECT_EQ(state.pdpte, (std::array<std::uint64_t, 4>{0, 0x1234'5001, 0, 0}));
  port.put(0x20, 0x2001);
  ASSERT_TRUE(move(3, 0x3f));  // bits 4:0 are no address
  EXPECT_EQ(state.pdpte[0], 0x2001u);
}

TEST_F(ControlRegisterTest, OtherPagingLoadsNoPdptes) {
  port.put(0, ~0ull);  // would be refused
  EXPECT_TRUE(move(0, cr0::kPe | cr0::kPg));
  EXPECT_TRUE(move(3, 0));
  EXPECT_TRUE(move(4, cr4::kPge));
  start_pae_paging();
  EXPECT_TRUE(move(0, state.cr0 | cr0::kTs));  // a bit that does not matter to them
}

TEST_F(ControlRegisterTest, ReservedBitsInAPresentPdpteAreRefused) {
  start_pae_paging();
  for (const unsigned bit : {1u, 2u, 5u, 8u, 40u, 63u}) {
    port.put(0x98, 1 | 1ull << bit);
    expect_refused(3, 0x80);
    port.put(0x98, 1ull << bit);  // not present
    EXPECT_TRUE(move(3, 0x80));
    port.flushed();
  }
}

TEST_F(ControlRegisterTest, ChangingPaeBitsInCr4LoadsPdptes) {
  start_pae_paging();
  port.put(0, 0x5001);
  ASSERT_TRUE(move(4, cr4::kPae | cr4::kDe));
  EXPECT_EQ(state.pdpte[0], 0u);
  ASSERT_TRUE(move(4, cr4::kPae | cr4::kPge));
  EXPECT_EQ(state.pdpte[0], 0x5001u);
  port.flushed();
  port.put(0, 3);
  expect_refused(4, cr4::kPae);
}

TEST_F(ControlRegisterTest, Cr3FlushesWhatIsNotGlobal) {
  enter_long_mode(state);
  ASSERT_TRUE(move(3, 0x1018));
  EXPECT_EQ(state.cr3, 0x1018u);
  EXPECT_EQ(port.flushed(), TlbFlush::kNonGlobal);
  EXPECT_GT(port.mode_changes, 0u);
}

TEST_F(ControlRegisterTest, Cr3BitsAboveTheAddressAreRefused) {
  enter_long_mode(state);
  for (const unsigned bit : {40u, 51u, 62u, 63u}) expect_refused(3, 1ull << bit);
  ASSERT_TRUE(move(3, 1ull << 39));
}

TEST_F(ControlRegisterTest, WithPcidesBit63OfCr3IsARequestAndNotKept) {
  enter_long_mode(state);
  state.cr4 |= cr4::kPcide;
  ASSERT_TRUE(move(3, 1ull << 63 | 0x5003));
  EXPECT_EQ(state.cr3, 0x5003u);
}

TEST_F(ControlRegisterTest, Cr4BitsOfMaskedFeaturesAreRefused) {
  SystemPort plain("baseline");
  EXPECT_TRUE(faults_with(write_cr4(state, plain, cr4::kSmep), kGp0));
  EXPECT_TRUE(write_cr4(state, port, cr4::kSmep));
  enter_long_mode(state);
  port.flushed();
  expect_refused(4, state.cr4 | 1u << 13);  // VMXE
  expect_refused(4, state.cr4 | 1ull << 32);
}

TEST_F(ControlRegisterTest, Cr4PcideNeedsLongModeAndPcidZero) {
  expect_refused(4, cr4::kPcide);
  enter_long_mode(state);
  state.cr3 = 1;
  expect_refused(4, state.cr4 | cr4::kPcide);
  state.cr3 = 0x1000;
  EXPECT_TRUE(move(4, state.cr4 | cr4::kPcide));
  state.cr3 = 0x1001;  // only when it is being set
  EXPECT_TRUE(move(4, state.cr4));
}

TEST_F(ControlRegisterTest, Cr4KeepsPaeAndLa57InLongMode) {
  enter_long_mode(state);
  expect_refused(4, 0);
  expect_refused(4, state.cr4 | cr4::kLa57);
  state.cr4 |= cr4::kLa57;
  expect_refused(4, cr4::kPae);
}

TEST_F(ControlRegisterTest, TogglingPgeFlushesGlobalTranslations) {
  ASSERT_TRUE(move(4, cr4::kPge));
  EXPECT_EQ(port.flushed(), TlbFlush::kAll);
  EXPECT_EQ(port.mode_changes, 1u);
  ASSERT_TRUE(move(4, cr4::kPge | cr4::kOsfxsr));
  EXPECT_EQ(port.flushed(), std::nullopt);
  ASSERT_TRUE(move(4, cr4::kOsfxsr));
  EXPECT_EQ(port.flushed(), TlbFlush::kAll);
}

TEST_F(ControlRegisterTest, Cr8IsTheMachinesTaskPriority) {
  enter_long_mode(state);
  ASSERT_TRUE(move(8, 15));
  EXPECT_EQ(port.cr8, 15);
  EXPECT_EQ(read(8), 15u);
  expect_refused(8, 16);
}

TEST_F(ControlRegisterTest, EferFollowsTheModel) {
  EXPECT_TRUE(faults_with(write_efer(state, port, 1u << 12), kGp0));  // SVME
  ASSERT_TRUE(write_efer(state, port, efer::kSce | efer::kNxe | efer::kLma));
  EXPECT_EQ(state.msr.efer, efer::kSce | efer::kNxe);  // LMA is not for writing
  EXPECT_EQ(port.flushed(), TlbFlush::kAll);
  SystemPort without_nx("baseline,-nx");
  EXPECT_TRUE(faults_with(write_efer(state, without_nx, efer::kNxe), kGp0));
}

TEST_F(ControlRegisterTest, LmeCannotChangeWhilePaging) {
  enter_long_mode(state);
  EXPECT_TRUE(faults_with(write_efer(state, port, 0), kGp0));
  ASSERT_TRUE(write_efer(state, port, efer::kLme | efer::kSce));
  EXPECT_EQ(state.msr.efer, efer::kLme | efer::kSce | efer::kLma);
}

TEST_F(ControlRegisterTest, AvxStateNeedsSseState) {
  if (!host_features().has(Feature::kAvx)) GTEST_SKIP() << "the host has no AVX";
  SystemPort avx("v2,+xsave,+avx");
  EXPECT_TRUE(faults_with(write_xcr0(state, avx, xcr0::kX87 | xcr0::kAvx), kGp0));
  EXPECT_TRUE(write_xcr0(state, avx, xcr0::kX87 | xcr0::kSse | xcr0::kAvx));
  EXPECT_EQ(avx.mode_changes, 1u);
}

TEST_F(ControlRegisterTest, Xcr0KeepsX87) {
  EXPECT_TRUE(faults_with(write_xcr0(state, port, 0), kGp0));
  EXPECT_TRUE(write_xcr0(state, port, xcr0::kX87 | xcr0::kPkru));
  EXPECT_TRUE(faults_with(write_xcr0(state, port, xcr0::kX87 | 1u << 3), kGp0));
}

class DebugRegisterTest : public ::testing::Test {
 protected:
  SystemPort port{"baseline"};
  CpuState state;

  OrFault<> move(unsigned number, std::uint64_t value) {
    state.gpr[kRbx] = value;
    return move_debug_register(
        state, port,
        instruction(
            ZYDIS_MNEMONIC_MOV,
            {{OperandKind::kDebug, static_cast<std::uint8_t>(number), 8}, gpr_operand(kRbx)}));
  }
  OrFault<std::uint64_t> read(unsigned number) {
    TRY(move_debug_register(
        state, port,
        instruction(
            ZYDIS_MNEMONIC_MOV,
            {gpr_operand(kRdx), {OperandKind::kDebug, static_cast<std::uint8_t>(number), 8}})));
    return state.gpr[kRdx];
  }
};

TEST_F(DebugRegisterTest, FixedBitsStay) {
  ASSERT_TRUE(move(6, 0));
  EXPECT_EQ(read(6), 0xffff0ff0u);
  ASSERT_TRUE(move(6, 0xffffffff));
  EXPECT_EQ(read(6), 0xffffefffu);
  ASSERT_TRUE(move(7, 0xffffffff & ~dr7::kGd));
  EXPECT_EQ(read(7), 0xffff07ffu);
  EXPECT_GT(port.mode_changes, 0u);
}

TEST_F(DebugRegisterTest, UpperHalvesOfDr6AndDr7AreReserved) {
  enter_long_mode(state);
  EXPECT_TRUE(faults_with(move(6, 1ull << 32), kGp0));
  EXPECT_TRUE(faults_with(move(7, 1ull << 63), kGp0));
  EXPECT_TRUE(faults_with(move(8, 0), kUd));
  EXPECT_TRUE(faults_with(read(15), kUd));
  ASSERT_TRUE(move(3, 0xffff'8000'0000'0000));
  EXPECT_EQ(read(3), 0xffff'8000'0000'0000u);
}

TEST_F(DebugRegisterTest, Dr4AndDr5AreAliasesUnlessDebugExtensionsAreOn) {
  ASSERT_TRUE(move(5, 0x401));
  EXPECT_EQ(state.dr7, 0x401u);
  EXPECT_EQ(read(4), state.dr6);
  state.cr4 |= cr4::kDe;
  EXPECT_TRUE(faults_with(move(5, 0), kUd));
  EXPECT_TRUE(faults_with(read(4), kUd));
}

TEST_F(DebugRegisterTest, GeneralDetectIsADebugFaultThatNamesItself) {
  state.dr7 |= dr7::kGd;
  const Fault expected{Vector::kDB, 0, 0, dr6::kBd};
  EXPECT_TRUE(faults_with(read(0), expected));
  EXPECT_TRUE(faults_with(move(7, 0), expected));
  enter_protected_mode(state);
  set_cpl(state, 3);
  EXPECT_TRUE(faults_with(read(0), kGp0));
}

}  // namespace
}  // namespace vireo::x86
