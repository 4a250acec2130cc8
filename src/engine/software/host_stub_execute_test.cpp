#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "engine/software/host_stub.h"
#include "engine/software/host_stub_sweep.h"
#include "x86/semantics/fpu_state_test_support.h"

namespace vireo::engine {
namespace {

using x86::Vector;
using x86::test::PagedPort;
using x86::test::state32;
using x86::test::state64;

constexpr std::uint64_t kData = PagedPort::kBase + 0x100;
constexpr std::uint64_t kPageEnd = PagedPort::kBase + kPageSize;

/// One guest CPU with memory; RBX points to kData.
class HostStubExecute : public ::testing::Test {
 protected:
  HostStubExecute() { state_.gpr[x86::kRbx] = kData; }
  ~HostStubExecute() override { HostStubs::sync(state_); }

  x86::Insn decode(const std::string& bytes) {
    x86::Insn insn;
    const auto size = state_.code64()                  ? x86::CodeSize::k64
                      : state_.segment[x86::kCs].big() ? x86::CodeSize::k32
                                                       : x86::CodeSize::k16;
    EXPECT_TRUE(test::decode_bytes(bytes, insn, size));
    return insn;
  }
  /// As an engine does it: the stub, or else the handler.
  x86::OrFault<> execute(const std::string& bytes) {
    const x86::Insn insn = decode(bytes);
    const std::uint64_t start = state_.rip;
    state_.rip += insn.length;
    auto status = dispatch(insn);
    if (!status) state_.rip = start;
    return status;
  }
  x86::OrFault<> dispatch(const x86::Insn& insn) {
    if (const HostStub* stub = stubs_.find(insn)) return execute_stub(*stub, state_, port_, insn);
    for (const auto& row : host_stub_rows())
      if (row.mnemonic == insn.mnemonic) return row.handler(state_, port_, insn);
    ADD_FAILURE() << test::describe(insn);
    return Unit{};
  }
  Vector fault_of(const std::string& bytes) {
    const auto status = execute(bytes);
    EXPECT_FALSE(status.has_value());
    return status ? Vector{255} : status.error().vector;
  }
  template <class T>
  T load(std::uint64_t address) {
    T result;
    std::memcpy(&result, port_.at(address), sizeof result);
    return result;
  }
  template <class T>
  void store(std::uint64_t address, T value) {
    std::memcpy(port_.at(address), &value, sizeof value);
  }
  void fill_ymm(unsigned n, std::uint64_t value) {
    state_.fpu.xmm[n] = {value, value};
    state_.fpu.ymm_high[n] = {value, value};
  }

  PagedPort port_;
  HostStubs stubs_;
  x86::CpuState state_ = state64();
};

const std::string kMovapsLoad = "\x0f\x28\x03", kMovupsLoad = "\x0f\x10\x03",
                  kMovapsStore = "\x0f\x29\x03", kAddps = "\x0f\x58\xc1",
                  kVaddps = "\xc5\xfc\x58\xc1", kVmovapsYmm = "\xc5\xfc\x28\x03",
                  kPaddbMmx = "\x0f\xfc\xc1", kFld1 = "\xd9\xe8", kFldDouble = "\xdd\x03",
                  kFstpDouble = "\xdd\x1b", kFwait = "\x9b", kFnstswAx = "\xdf\xe0";

TEST_F(HostStubExecute, EveryInstructionOfTheUnitsHasAStubOrAHandler) {
  std::set<x86::Mnemonic> handled;
  for (const auto& row : host_stub_rows()) handled.insert(row.mnemonic);
  std::set<std::string> missing;
  const auto visit = [&](const std::string& bytes) {
    x86::Insn insn;
    if (!test::decode_bytes(bytes, insn) || handled.contains(insn.mnemonic)) return;
    const bool vector = std::ranges::any_of(insn.operands, [](const x86::Operand& operand) {
      return operand.kind == x86::OperandKind::kXmm || operand.kind == x86::OperandKind::kYmm ||
             operand.kind == x86::OperandKind::kMmx || operand.kind == x86::OperandKind::kX87;
    });
    const bool x87 = insn.opcode_map == 0 && insn.opcode >= 0xd8 && insn.opcode < 0xe0;
    if ((vector || x87) && !stubs_.find(insn)) missing.insert(test::describe(insn));
  };
  test::each_legacy_encoding(visit);
  test::each_vex_encoding(visit);
  test::each_x87_encoding(visit);
  EXPECT_EQ(missing, std::set<std::string>{});
}

TEST_F(HostStubExecute, IntegerInstructionsAreNotStubs) {
  for (const std::string bytes :
       {"\xf2\x0f\x38\xf1\xc1", "\xf3\x0f\xb8\xc1", "\x0f\xae\xe8", "\x48\x01\xc0", "\x0f\xc8"})
    EXPECT_EQ(stubs_.find(decode(bytes)), nullptr);
}

TEST_F(HostStubExecute, EqualInstructionsShareAStubWhateverTheyAddress) {
  const HostStub* stub = stubs_.find(decode(kMovupsLoad));
  EXPECT_EQ(stubs_.find(decode("\x0f\x10\x44\x8f\x10")), stub);
  EXPECT_EQ(stubs_.find(decode("\x65\x41\x0f\x10\x02")), stub);
  EXPECT_NE(stubs_.find(decode("\x0f\x10\x0b")), stub);  // XMM1
  EXPECT_NE(stubs_.find(decode(kMovapsLoad)), stub);
  // Not by their bytes alone: MOVD from EAX and from ECX.
  EXPECT_NE(stubs_.find(decode("\x66\x0f\x6e\xc0")), stubs_.find(decode("\x66\x0f\x6e\xc1")));
}

TEST_F(HostStubExecute, AlignmentIsAskedOfLegacyOperandsAndOfAlignedVexMoves) {
  state_.gpr[x86::kRbx] = kData + 8;
  EXPECT_EQ(fault_of(kMovapsLoad), Vector::kGP);
  EXPECT_EQ(fault_of(kMovapsStore), Vector::kGP);
  EXPECT_EQ(fault_of("\x0f\x58\x03"), Vector::kGP);                          // addps
  EXPECT_EQ(fault_of("\x66\x0f\xe7\x03"), Vector::kGP);                      // movntdq
  EXPECT_EQ(fault_of(std::string("\x66\x0f\x38\x00\x03", 5)), Vector::kGP);  // pshufb
  EXPECT_TRUE(execute(kMovupsLoad));
  EXPECT_TRUE(execute("\xf2\x0f\xf0\x03"));                          // lddqu
  EXPECT_TRUE(execute("\xf2\x0f\x58\x03"));                          // addsd
  EXPECT_TRUE(execute(std::string("\x66\x0f\x3a\x63\x03\x00", 6)));  // pcmpistri
  EXPECT_TRUE(execute("\xc5\xfc\x58\x03"));                          // vaddps ymm
  state_.gpr[x86::kRbx] = kData + 16;
  EXPECT_EQ(fault_of(kVmovapsYmm), Vector::kGP);
  EXPECT_TRUE(execute("\xc5\xf8\x28\x03"));  // vmovaps xmm
}

TEST_F(HostStubExecute, EnableBitsDecideBetweenUndefinedAndUnavailable) {
  state_.cr0 |= x86::cr0::kTs;
  for (const auto& bytes : {kAddps, kVaddps, kPaddbMmx, kFld1})
    EXPECT_EQ(fault_of(bytes), Vector::kNM);
  state_.cr0 = (state_.cr0 & ~x86::cr0::kTs) | x86::cr0::kEm;
  EXPECT_EQ(fault_of(kAddps), Vector::kUD);
  EXPECT_EQ(fault_of(kPaddbMmx), Vector::kUD);
  EXPECT_EQ(fault_of(kFld1), Vector::kNM);
  EXPECT_TRUE(execute(kVaddps));
  state_.cr0 &= ~x86::cr0::kEm;
  state_.cr4 &= ~x86::cr4::kOsfxsr;
  EXPECT_EQ(fault_of(kAddps), Vector::kUD);
  EXPECT_TRUE(execute(kPaddbMmx));
  EXPECT_EQ(fault_of("\xf3\x0f\xd6\xc1"), Vector::kUD);  // movq2dq is SSE as well
  state_.cr4 |= x86::cr4::kOsfxsr;
  state_.xcr0 = x86::xcr0::kX87 | x86::xcr0::kSse;
  EXPECT_EQ(fault_of(kVaddps), Vector::kUD);
  state_.xcr0 |= x86::xcr0::kAvx;
  state_.cr4 &= ~x86::cr4::kOsxsave;
  EXPECT_EQ(fault_of(kVaddps), Vector::kUD);
  EXPECT_TRUE(execute(kAddps));
}

TEST_F(HostStubExecute, AFaultOfTheStoreLeavesTheStackOfTheX87) {
  port_.pages[1] = PagedPort::Page::kAbsent;
  state_.gpr[x86::kRbx] = kPageEnd - 4;
  ASSERT_TRUE(execute(kFld1));
  const auto status = execute(kFstpDouble);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error(), (x86::Fault{Vector::kPF, 2, kPageEnd}));
  HostStubs::sync(state_);
  EXPECT_EQ(state_.fpu.tag, 0x80);
  state_.gpr[x86::kRbx] = kData;
  ASSERT_TRUE(execute(kFstpDouble));
  EXPECT_EQ(load<double>(kData), 1.0);
}

TEST_F(HostStubExecute, X87RegistersStayWithTheirStateAndComeBackWhenSynced) {
  x86::CpuState other = state64();
  other.gpr[x86::kRbx] = kData + 64;
  store(kData, 2.5), store(kData + 64, -7.25);
  ASSERT_TRUE(execute(kFldDouble));
  const x86::Insn insn = decode(kFldDouble);
  const HostStub* stub = stubs_.find(insn);
  ASSERT_TRUE(execute_stub(*stub, other, port_, insn));  // pushes the first one out
  EXPECT_EQ(state_.fpu.tag, 0x80);
  EXPECT_EQ(state_.fpu.st[0], (std::array<std::uint64_t, 2>{0xa000000000000000, 0x4000}));
  HostStubs::sync(other);
  EXPECT_EQ(other.fpu.st[0], (std::array<std::uint64_t, 2>{0xe800000000000000, 0xc001}));
  EXPECT_EQ(other.fpu.status >> 11 & 7, 7);
}

TEST_F(HostStubExecute, AnUnmaskedX87ExceptionIsReportedByTheNextInstructionThatWaits) {
  state_.fpu.control = 0x37f & ~4;  // division by zero
  state_.rip = 0x401000;
  ASSERT_TRUE(execute(kFld1));
  ASSERT_TRUE(execute("\xd9\xee"));  // fldz
  const std::uint64_t culprit = state_.rip;
  ASSERT_TRUE(execute("\xd8\xf9"));  // fdivr st0, st1: 1 / 0
  EXPECT_EQ(state_.fpu.status & 0x80ff, 0x8084);
  EXPECT_EQ(fault_of(kFld1), Vector::kMF);
  EXPECT_EQ(fault_of(kFwait), Vector::kMF);
  EXPECT_EQ(fault_of(kPaddbMmx), Vector::kMF);
  EXPECT_TRUE(execute(kAddps));
  ASSERT_TRUE(execute(kFnstswAx));
  EXPECT_EQ(state_.gpr[x86::kRax] & 0x80ff, 0x8084u);
  EXPECT_EQ(state_.fpu.instruction_pointer, culprit);
  EXPECT_EQ(state_.fpu.opcode, 0x0f9);
  ASSERT_TRUE(execute("\xdb\xe2"));  // fnclex
  EXPECT_TRUE(execute(kFwait));
}

TEST_F(HostStubExecute, UnmaskingByTheControlWordMakesAnOldFlagPending) {
  ASSERT_TRUE(execute("\xd9\xee"));
  ASSERT_TRUE(execute(kFld1));
  ASSERT_TRUE(execute("\xd8\xf1"));  // fdiv st0, st1: masked
  store<std::uint16_t>(kData, 0x37b);
  ASSERT_TRUE(execute("\xd9\x2b"));  // fldcw
  EXPECT_EQ(state_.fpu.control, 0x37b);
  EXPECT_EQ(fault_of(kFld1), Vector::kMF);
}

TEST_F(HostStubExecute, AnX87StoreThatRaisesAnUnmaskedExceptionWritesNothing) {
  store<std::uint64_t>(kData, 0x1122334455667788);
  state_.fpu.control = 0x37e;         // invalid operation
  ASSERT_TRUE(execute(kFstpDouble));  // the stack is empty
  EXPECT_EQ(load<std::uint64_t>(kData), 0x1122334455667788u);
  EXPECT_EQ(fault_of(kFwait), Vector::kMF);
  // Status words are not such stores.
  ASSERT_TRUE(execute("\xdd\x3b"));  // fnstsw [rbx]
  EXPECT_EQ(load<std::uint16_t>(kData), state_.fpu.status);
}

TEST_F(HostStubExecute, AnInexactX87StoreIsDoneBeforeItIsReported) {
  state_.fpu.control = 0x35f;        // precision
  ASSERT_TRUE(execute("\xd9\xeb"));  // fldpi
  ASSERT_TRUE(execute(kFstpDouble));
  EXPECT_EQ(load<std::uint64_t>(kData), 0x400921fb54442d18u);
  EXPECT_EQ(fault_of(kFwait), Vector::kMF);
}

TEST_F(HostStubExecute, PointersAreThoseOfTheGuest) {
  state_.rip = 0x7fff12345678;
  ASSERT_TRUE(execute(kFldDouble));
  EXPECT_EQ(state_.fpu.instruction_pointer, 0x7fff12345678u);
  EXPECT_EQ(state_.fpu.data_pointer, kData);
  ASSERT_TRUE(execute("\xd9\x7b\x40"));  // fnstcw moves neither
  EXPECT_EQ(state_.fpu.instruction_pointer, 0x7fff12345678u);
  EXPECT_EQ(state_.fpu.data_pointer, kData);
}

TEST_F(HostStubExecute, MmxMakesTheX87RegistersMmxState) {
  ASSERT_TRUE(execute(kFld1));
  ASSERT_TRUE(execute(kPaddbMmx));
  HostStubs::sync(state_);
  EXPECT_EQ(state_.fpu.tag, 0xff);
  EXPECT_EQ(state_.fpu.status >> 11 & 7, 0);
  EXPECT_EQ(state_.fpu.st[0][1], 0xffffu);
  ASSERT_TRUE(execute("\x0f\x77"));  // emms
  HostStubs::sync(state_);
  EXPECT_EQ(state_.fpu.tag, 0);
}

TEST_F(HostStubExecute, SavingSeesWhatTheX87InstructionsDid) {
  ASSERT_TRUE(execute(kFld1));
  ASSERT_TRUE(execute("\x48\x0f\xae\x03"));  // fxsave64
  EXPECT_EQ(load<std::uint64_t>(kData + 32), 1ull << 63);
  EXPECT_EQ(load<std::uint8_t>(kData + 4), 0x80);
  ASSERT_TRUE(execute("\xdb\xe3"));                                       // fninit
  ASSERT_TRUE(execute("\x48\x0f\xae\x0b"));                               // fxrstor64
  ASSERT_TRUE(execute("\xdd\x9b" + std::string("\x00\x04\x00\x00", 4)));  // fstp [rbx+0x400]
  EXPECT_EQ(load<double>(kData + 0x400), 1.0);
}

TEST_F(HostStubExecute, AnUnmaskedSimdExceptionLeavesTheDestination) {
  state_.fpu.mxcsr = 0x1d80;  // division by zero
  state_.fpu.xmm[0] = {0x3ff0000000000000, 5};
  state_.fpu.xmm[1] = {0, 0};
  const auto before = state_.fpu.xmm[0];
  EXPECT_EQ(fault_of("\xf2\x0f\x5e\xc1"), Vector::kXM);  // divsd
  EXPECT_EQ(state_.fpu.xmm[0], before);
  EXPECT_EQ(state_.fpu.mxcsr, 0x1d84u);
  state_.cr4 &= ~x86::cr4::kOsxmmexcpt;
  EXPECT_EQ(fault_of("\xf2\x0f\x5e\xc1"), Vector::kUD);
  state_.fpu.mxcsr = 0x1f80;
  EXPECT_TRUE(execute("\xf2\x0f\x5e\xc1"));
  EXPECT_EQ(state_.fpu.mxcsr, 0x1f84u);
}

TEST_F(HostStubExecute, TheHostsMxcsrIsNotTouched) {
  state_.fpu.mxcsr = 0xffc0;
  state_.fpu.xmm[1] = {0x3ff0000000000001, 0};
  ASSERT_TRUE(execute("\xf2\x0f\x59\xc9"));  // mulsd
  std::uint32_t host;
  asm volatile("stmxcsr %0" : "=m"(host));
  EXPECT_EQ(host & ~0x3fu, 0x1f80u);
}

TEST_F(HostStubExecute, In32BitCodeWideFormsOfGeneralRegistersAreNot) {
  state_ = state32();
  state_.gpr[x86::kRax] = 0x1111111122222222;
  state_.fpu.xmm[0] = {~0ull, ~0ull};
  ASSERT_TRUE(execute("\xc4\xe1\xf9\x6e\xc0"));  // vmovd xmm0, eax with VEX.W set
  EXPECT_EQ(state_.fpu.xmm[0][0], 0x22222222u);
  EXPECT_EQ(state_.fpu.xmm[0][1], 0u);
  // The highest bit of a fourth operand is ignored: vblendvps xmm0, xmm1, xmm2, xmm3.
  state_.fpu.xmm[3] = {~0ull, ~0ull}, state_.fpu.xmm[2] = {7, 7};
  ASSERT_TRUE(execute("\xc4\xe3\x71\x4a\xc2\xb0"));
  EXPECT_EQ(state_.fpu.xmm[0][0], 7u);
}

TEST_F(HostStubExecute, VexDoesNotExistInRealMode) {
  state_ = state32();
  state_.cr0 &= ~x86::cr0::kPe;
  EXPECT_EQ(fault_of(kVaddps), Vector::kUD);
}

TEST_F(HostStubExecute, MaskedLoadsTouchOnlyWhatTheMaskSelects) {
  port_.pages[1] = PagedPort::Page::kAbsent;
  state_.gpr[x86::kRbx] = kPageEnd - 8;
  store<std::uint64_t>(kPageEnd - 8, 0x2222222211111111);
  fill_ymm(0, ~0ull);
  state_.fpu.xmm[1] = {0x80000000'80000000, 0};
  state_.fpu.ymm_high[1] = {0, 0};
  const std::string load_ymm = "\xc4\xe2\x75\x2c\x03";  // vmaskmovps ymm0, ymm1, [rbx]
  ASSERT_TRUE(execute(load_ymm));
  EXPECT_EQ(state_.fpu.xmm[0], (std::array<std::uint64_t, 2>{0x2222222211111111, 0}));
  EXPECT_EQ(state_.fpu.ymm_high[0], (std::array<std::uint64_t, 2>{0, 0}));
  state_.fpu.ymm_high[1] = {0, 0x8000000000000000};
  const auto before = state_.fpu;
  EXPECT_EQ(execute(load_ymm).error(), (x86::Fault{Vector::kPF, 0, kPageEnd + 20}));
  EXPECT_EQ(state_.fpu, before);
}

TEST_F(HostStubExecute, MaskedStoresWriteAllSelectedElementsOrNone) {
  port_.pages[1] = PagedPort::Page::kReadOnly;
  state_.gpr[x86::kRbx] = kPageEnd - 8;
  state_.fpu.xmm[0] = {0xaaaaaaaabbbbbbbb, 0xccccccccdddddddd};
  state_.fpu.xmm[1] = {0x8000000000000000, 0};
  const std::string store_xmm = "\xc4\xe2\x71\x8e\x03";  // vpmaskmovd [rbx], xmm1, xmm0
  ASSERT_TRUE(execute(store_xmm));
  EXPECT_EQ(load<std::uint64_t>(kPageEnd - 8), 0xaaaaaaaa00000000u);
  store<std::uint64_t>(kPageEnd - 8, 0);
  state_.fpu.xmm[1] = {0x8000000000000000, 0x80000000};
  EXPECT_EQ(fault_of(store_xmm), Vector::kPF);
  EXPECT_EQ(load<std::uint64_t>(kPageEnd - 8), 0u);
}

TEST_F(HostStubExecute, BytesAreStoredWhereTheMaskHasItsHighestBit) {
  port_.pages[1] = PagedPort::Page::kAbsent;
  state_.gpr[x86::kRdi] = kPageEnd - 4;
  state_.fpu.xmm[0] = {0x8877665544332211, ~0ull};
  state_.fpu.xmm[1] = {0x000000007f80ff80, 0};
  ASSERT_TRUE(execute("\x66\x0f\xf7\xc1"));  // maskmovdqu xmm0, xmm1
  EXPECT_EQ(load<std::uint32_t>(kPageEnd - 4), 0x00332211u);
  state_.fpu.xmm[1] = {0x0000008000000000, 0};
  EXPECT_EQ(fault_of("\x66\x0f\xf7\xc1"), Vector::kPF);

  store<std::uint32_t>(kPageEnd - 4, 0);
  HostStubs::sync(state_);
  state_.fpu.status = 3 << 11;  // MM5 is then ST2
  state_.fpu.st[2] = {0x44332211, 0xffff};
  state_.fpu.st[3] = {0x00800080, 0xffff};  // MM6
  ASSERT_TRUE(execute("\x0f\xf7\xee"));     // maskmovq mm5, mm6
  EXPECT_EQ(load<std::uint32_t>(kPageEnd - 4), 0x00330011u);
  HostStubs::sync(state_);
  EXPECT_EQ(state_.fpu.status >> 11 & 7, 0);
  EXPECT_EQ(state_.fpu.st[5][0], 0x44332211u);
  EXPECT_EQ(state_.fpu.tag, 0xff);
}

TEST_F(HostStubExecute, AGatherThatFaultsGoesOnWhereItStopped) {
  port_.pages[1] = PagedPort::Page::kAbsent;
  for (std::uint32_t i = 0; i < 16; ++i) store(kData + i * 4, 0x100 + i);
  store<std::uint32_t>(kPageEnd, 0x777);
  // vpgatherdd ymm0, [rbx + ymm1 * 4], ymm2
  const std::string gather = "\xc4\xe2\x6d\x90\x04\x8b";
  const auto far = static_cast<std::uint32_t>((kPageEnd - kData) / 4);
  fill_ymm(0, 0xdddddddddddddddd);
  state_.fpu.xmm[1] = {5ull << 32, std::uint64_t{far} << 32 | 3};
  state_.fpu.ymm_high[1] = {7ull << 32 | 0xffffffff, 2};
  state_.fpu.xmm[2] = {0x80000000'80000000, 0x80000000'00000000};
  state_.fpu.ymm_high[2] = {0x80000000'00000000, 0x80000000};
  EXPECT_EQ(execute(gather).error(), (x86::Fault{Vector::kPF, 0, kPageEnd}));
  EXPECT_EQ(state_.fpu.xmm[0],
            (std::array<std::uint64_t, 2>{0x0000010500000100, 0xdddddddddddddddd}));
  EXPECT_EQ(state_.fpu.xmm[2], (std::array<std::uint64_t, 2>{0, 0xffffffff00000000}));
  port_.pages[1] = PagedPort::Page::kWritable;
  ASSERT_TRUE(execute(gather));
  EXPECT_EQ(state_.fpu.xmm[0],
            (std::array<std::uint64_t, 2>{0x0000010500000100, 0x00000777dddddddd}));
  EXPECT_EQ(state_.fpu.ymm_high[0],
            (std::array<std::uint64_t, 2>{0x00000107dddddddd, 0xdddddddd00000102}));
  EXPECT_EQ(state_.fpu.xmm[2], (std::array<std::uint64_t, 2>{}));
  EXPECT_EQ(state_.fpu.ymm_high[2], (std::array<std::uint64_t, 2>{}));
}

TEST_F(HostStubExecute, GathersOfMixedWidthsClearWhatTheyDoNotReach) {
  for (std::uint32_t i = 0; i < 16; ++i) store(kData + i * 4, 0x100 + i);
  fill_ymm(0, ~0ull), fill_ymm(2, ~0ull);
  state_.fpu.xmm[1] = {3, ~0ull};  // the second one is -1
  store<std::uint32_t>(kData - 4, 0x99);
  ASSERT_TRUE(execute("\xc4\xe2\x69\x93\x04\x8b"));  // vgatherqps xmm0, [rbx + xmm1 * 4], xmm2
  EXPECT_EQ(state_.fpu.xmm[0], (std::array<std::uint64_t, 2>{0x0000009900000103, 0}));
  EXPECT_EQ(state_.fpu.ymm_high[0], (std::array<std::uint64_t, 2>{}));
  fill_ymm(2, ~0ull);
  state_.fpu.xmm[1] = {1ull << 32, 3ull << 32 | 2};
  ASSERT_TRUE(execute("\xc4\xe2\xed\x90\x04\xcb"));  // vpgatherdq ymm0, [rbx + xmm1 * 8], ymm2
  EXPECT_EQ(state_.fpu.xmm[0],
            (std::array<std::uint64_t, 2>{0x0000010100000100, 0x0000010300000102}));
  EXPECT_EQ(state_.fpu.ymm_high[0],
            (std::array<std::uint64_t, 2>{0x0000010500000104, 0x0000010700000106}));
}

TEST_F(HostStubExecute, VzeroupperClearsHalvesAndVzeroallRegisters) {
  fill_ymm(3, ~0ull), fill_ymm(12, ~0ull);
  ASSERT_TRUE(execute("\xc5\xf8\x77"));
  EXPECT_EQ(state_.fpu.ymm_high[12][0], 0u);
  EXPECT_EQ(state_.fpu.xmm[12][0], ~0ull);
  ASSERT_TRUE(execute("\xc5\xfc\x77"));
  EXPECT_EQ(state_.fpu.xmm[3][1], 0u);
}

TEST_F(HostStubExecute, NonTemporalIntegerStoresAreStores) {
  state_.gpr[x86::kRcx] = 0x1234567890abcdef;
  ASSERT_TRUE(execute("\x48\x0f\xc3\x0b"));  // movnti [rbx], rcx
  EXPECT_EQ(load<std::uint64_t>(kData), 0x1234567890abcdefu);
}

}  // namespace
}  // namespace vireo::engine
