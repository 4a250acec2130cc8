#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kFrom = 0x4000, kTo = 0x6000;

struct Strings : SemanticsWorld {
  Strings() {
    state.gpr[kRsi] = kFrom;
    state.gpr[kRdi] = kTo;
  }
  void fill(std::uint64_t at, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) port.poke(at + i, text[i]);
  }
  std::string text(std::uint64_t at, std::size_t size) {
    std::string result;
    for (std::size_t i = 0; i < size; ++i) result += port.peek<char>(at + i);
    return result;
  }
  void count(std::uint64_t n) { state.gpr[kRcx] = n; }
  /// Runs a repeated instruction until it is finished; answers with how many calls it took.
  unsigned finish(std::initializer_list<std::uint8_t> bytes) {
    for (unsigned calls = 1;; ++calls) {
      EXPECT_TRUE(run(bytes));
      if (state.rip != kCode || calls > 1000) return calls;
    }
  }
};

TEST(Movs, CopiesUpAndDown) {
  Strings w;
  w.fill(kFrom, "abcdefgh");
  w.count(8);
  EXPECT_TRUE(w.run({0xf3, 0xa4}));
  EXPECT_EQ(w.text(kTo, 8), "abcdefgh");
  EXPECT_EQ(w.state.gpr[kRsi], kFrom + 8);
  EXPECT_EQ(w.state.gpr[kRdi], kTo + 8);
  EXPECT_EQ(w.state.gpr[kRcx], 0u);
  w.state.rflags |= rflags::kDf;
  w.state.gpr[kRsi] = kFrom + 4;
  w.state.gpr[kRdi] = kTo + 104;
  w.count(2);
  EXPECT_TRUE(w.run({0xf3, 0xa5}));
  EXPECT_EQ(w.text(kTo + 100, 8), "abcdefgh");
  EXPECT_EQ(w.state.gpr[kRsi], kFrom - 4);
}

TEST(Movs, OverlappingUpwardsSmearsTheFirstElement) {
  Strings w;
  w.fill(kFrom, "ab......");
  w.state.gpr[kRdi] = kFrom + 2;
  w.count(6);
  EXPECT_TRUE(w.run({0xf3, 0xa4}));
  EXPECT_EQ(w.text(kFrom, 8), "abababab");
}

TEST(Movs, AFaultKeepsWhatWasDoneAndPointsAtTheElement) {
  Strings w;
  w.state.gpr[kRdi] = kTo + 0xff8;
  w.port.write_protect(kTo + 0x1000);
  w.fill(kFrom, "0123456789");
  w.count(10);
  const auto outcome = w.run({0xf3, 0xa4});
  EXPECT_EQ(outcome.error(), (Fault{Vector::kPF, 3, kTo + 0x1000}));
  EXPECT_EQ(w.text(kTo + 0xff8, 8), "01234567");
  EXPECT_EQ(w.state.gpr[kRcx], 2u);
  EXPECT_EQ(w.state.gpr[kRsi], kFrom + 8);
  EXPECT_EQ(w.state.gpr[kRdi], kTo + 0x1000);
  EXPECT_EQ(w.state.rip, Strings::kCode);
}

TEST(Movs, AnElementThatCannotBeWrittenChangesNothing) {
  Strings w;
  w.port.take_away(kTo);
  EXPECT_EQ(w.fault_of({0xa4}).address, kTo);
}

TEST(Rep, OfNothingTouchesNoMemory) {
  Strings w;
  w.port.take_away(kTo);
  w.port.take_away(kFrom);
  w.count(0);
  EXPECT_TRUE(w.run({0xf3, 0xa4}));
  EXPECT_TRUE(w.run({0xf3, 0xa6}));
  EXPECT_EQ(w.state.gpr[kRsi], kFrom);
}

TEST(Rep, LongRepetitionsLetInterruptsIn) {
  Strings w;
  w.port = FakeCpuPort(0x100000);
  w.state.gpr[kRax] = 0x11;
  w.count(100'000);
  EXPECT_TRUE(w.run({0xf3, 0xaa}));
  EXPECT_EQ(w.state.rip, Strings::kCode);
  EXPECT_TRUE(w.flag(rflags::kRf));  // no second instruction breakpoint
  EXPECT_EQ(w.state.gpr[kRdi] - kTo + w.state.gpr[kRcx], 100'000u);
  EXPECT_GT(w.finish({0xf3, 0xaa}), 1u);
  EXPECT_EQ(w.port.peek<std::uint8_t>(kTo + 99'999), 0x11);
  EXPECT_EQ(w.port.peek<std::uint8_t>(kTo + 100'000), 0);
}

TEST(Rep, UnderTfStopsAfterEachElement) {
  Strings w;
  w.state.rflags |= rflags::kTf;
  w.count(3);
  EXPECT_TRUE(w.run({0xf3, 0xaa}));
  EXPECT_EQ(w.state.gpr[kRcx], 2u);
  EXPECT_EQ(w.state.rip, Strings::kCode);
  EXPECT_EQ(w.finish({0xf3, 0xaa}), 2u);
}

TEST(Rep, StoppingAtTheEndOfTheAddressSpaceKeepsRipIn32Bits) {
  Strings w;
  w.make_legacy(true);
  w.state.rflags |= rflags::kTf;
  w.state.rip = 0xfffffffe;
  w.count(2);
  CpuState& state = w.state;
  const Insn insn = [] {
    Insn result;
    const std::uint8_t code[] = {0xf3, 0xaa};
    EXPECT_EQ(decode(code, CodeSize::k32, FeatureSet(), result), DecodeStatus::kOk);
    return result;
  }();
  state.rip = 0;  // the next instruction, cut to 32 bits
  for (const HandlerRow& row : string_handlers())
    if (row.mnemonic == insn.mnemonic) EXPECT_TRUE(row.handler(state, w.port, insn));
  EXPECT_EQ(state.rip, 0xfffffffeu);
}

TEST(Rep, SixteenBitIndexesWrapAndKeepTheirUpperParts) {
  Strings w;
  w.make_legacy(false);
  w.state.gpr[kRdi] = 0x1234fffe;
  w.state.gpr[kRcx] = 0x56780004;
  w.state.gpr[kRax] = 0xee;
  EXPECT_TRUE(w.run({0xf3, 0xaa}));
  EXPECT_EQ(w.state.gpr[kRdi], 0x12340002u);
  EXPECT_EQ(w.state.gpr[kRcx], 0x56780000u);
  EXPECT_EQ(w.port.peek<std::uint16_t>(0xfffe), 0xeeee);
  EXPECT_EQ(w.port.peek<std::uint32_t>(0), 0xeeeeu);
}

TEST(Rep, ASegmentLimitStopsAtTheElementThatCrossesIt) {
  Strings w;
  w.make_legacy(true);
  w.state.segment[kEs].limit = kTo + 5;
  w.count(4);
  EXPECT_EQ(w.run({0xf3, 0x66, 0xab}).error(), (Fault{Vector::kGP}));
  EXPECT_EQ(w.state.gpr[kRcx], 1u);
  EXPECT_EQ(w.state.gpr[kRdi], kTo + 6);
}

TEST(Cmps, ComparesTheSourceWithTheDestination) {
  Strings w;
  w.fill(kFrom, "abc1");
  w.fill(kTo, "abc2");
  w.count(10);
  EXPECT_TRUE(w.run({0xf3, 0xa6}));
  EXPECT_EQ(w.state.gpr[kRcx], 6u);
  EXPECT_TRUE(w.flag(rflags::kCf));  // '1' is below '2'
  EXPECT_FALSE(w.flag(rflags::kZf));
}

TEST(Scas, RepneFindsTheElement) {
  Strings w;
  w.fill(kTo, "abcdef");
  w.state.gpr[kRax] = 'd';
  w.count(~0ull);
  EXPECT_TRUE(w.run({0xf2, 0xae}));
  EXPECT_EQ(w.state.gpr[kRdi], kTo + 4);
  EXPECT_TRUE(w.flag(rflags::kZf));
}

TEST(Scas, FlagsAreThoseFromBeforeUntilItIsFinished) {
  Strings w;  // as silicon does at a fault and at a trap between elements
  const std::uint64_t before = rflags::kOf | rflags::kSf | rflags::kAf | rflags::kCf;
  w.state.rflags |= before;
  w.state.gpr[kRdi] = kTo + 0xffe;
  w.state.gpr[kRax] = 200;
  w.port.take_away(kTo + 0x1000);
  w.count(10);
  EXPECT_FALSE(w.run({0xf2, 0xae}));
  EXPECT_EQ(w.state.gpr[kRcx], 8u);
  EXPECT_EQ(w.state.rflags & rflags::kArithmetic, before);
  w.state.gpr[kRdi] = kTo;
  w.state.rflags |= rflags::kTf;
  w.count(2);
  EXPECT_TRUE(w.run({0xf2, 0xae}));
  EXPECT_EQ(w.state.rflags & rflags::kArithmetic, before);
  EXPECT_TRUE(w.run({0xf2, 0xae}));
  EXPECT_NE(w.state.rflags & rflags::kArithmetic, before);
}

TEST(Lods, LoadsTheAccumulatorByWidth) {
  Strings w;
  w.port.poke<std::uint64_t>(kFrom, 0x8877665544332211);
  w.state.gpr[kRax] = ~0ull;
  EXPECT_TRUE(w.run({0xac}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffffffffffff11);
  EXPECT_TRUE(w.run({0xad}));
  EXPECT_EQ(w.state.gpr[kRax], 0x55443322u);
}

TEST(Ins, ADestinationThatCannotBeWrittenReadsNoPort) {
  Strings w;
  w.port.write_protect(kTo);
  EXPECT_EQ(w.fault_of({0x6c}).address, kTo);
}

}  // namespace
}  // namespace vireo::x86
