#include <gtest/gtest.h>

#include <random>

#include "x86/decode/decoder.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/fpu_state_test_support.h"

namespace vireo::x86 {
namespace {

using test::PagedPort;
using test::state32;
using test::state64;

constexpr std::uint64_t kArea = PagedPort::kBase + 64;
constexpr std::size_t kAreaSize = 0xa88;
constexpr std::uint64_t kCompact = 1ull << 63;

using Bytes = std::array<std::uint8_t, 4>;
constexpr Bytes kXsave{0x48, 0x0f, 0xae, 0x23}, kXrstor{0x48, 0x0f, 0xae, 0x2b},
    kXsaveopt{0x48, 0x0f, 0xae, 0x33}, kXsavec{0x48, 0x0f, 0xc7, 0x23},
    kXsaves{0x48, 0x0f, 0xc7, 0x2b}, kXrstors{0x48, 0x0f, 0xc7, 0x1b};

struct alignas(64) Area {
  std::array<std::byte, 4096> bytes{};
};

bool host_has_xsave() {
  return host_features().has(Feature::kAvx) && host_features().has(Feature::kXsavec);
}

/// What the silicon makes of loading `area` with `components`, when it had `before`.
FpuState silicon_restore(const FpuState& before, const Area& area, std::uint64_t components) {
  Area own, result;
  std::memcpy(own.bytes.data(), &before, 512);
  std::memcpy(&own.bytes[576], before.ymm_high.data(), 256);
  own.bytes[512] = std::byte{7};
  const std::uint32_t host_mxcsr = 0x1f80;
  // One block, so that no code of the compiler's comes between.
  asm volatile(
      "mov $7, %%eax\n\txor %%edx, %%edx\n\txrstor64 %[own]\n\t"
      "mov %[c], %%eax\n\txrstor64 %[area]\n\t"
      "mov $7, %%eax\n\txsave64 %[result]\n\tfninit\n\tvzeroall\n\tldmxcsr %[m]"
      : [result] "+m"(result)
      : [own] "m"(own), [area] "m"(area), [c] "r"(static_cast<std::uint32_t>(components)),
        [m] "m"(host_mxcsr)
      : "memory", "eax", "edx", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  FpuState fpu;
  std::memcpy(&fpu, result.bytes.data(), 416);
  std::memcpy(fpu.ymm_high.data(), &result.bytes[576], 256);
  return fpu;
}

class XsaveTest : public ::testing::Test {
 protected:
  XsaveTest() { state_.gpr[kRbx] = kArea; }

  OrFault<> execute(std::span<const std::uint8_t> bytes, std::uint64_t components) {
    FeatureSet features;
    for (auto feature : {Feature::kXsave, Feature::kXsavec, Feature::kXsaveopt, Feature::kXsaves})
      features.set(feature);
    if (!state_.code64()) bytes = bytes.subspan(1);  // without REX
    state_.gpr[kRax] = components & 0xffffffff, state_.gpr[kRdx] = components >> 32;
    Insn insn;
    const auto size = state_.code64() ? CodeSize::k64 : CodeSize::k32;
    EXPECT_EQ(decode(bytes, size, features, insn), DecodeStatus::kOk);
    for (const auto& row : fpu_state_rows())
      if (row.mnemonic == insn.mnemonic) return row.handler(state_, port_, insn);
    ADD_FAILURE() << "no handler";
    return Unit{};
  }
  Vector fault_of(std::span<const std::uint8_t> bytes, std::uint64_t components) {
    const CpuState before = state_;
    const auto status = execute(bytes, components);
    EXPECT_FALSE(status.has_value());
    EXPECT_EQ(state_.fpu, before.fpu);
    return status ? Vector{255} : status.error().vector;
  }

  void randomize(FpuState& fpu) {
    fpu = {};
    fpu.control = loaded_control(static_cast<std::uint16_t>(random_()));
    fpu.status = loaded_status(fpu.control, static_cast<std::uint16_t>(random_()));
    fpu.tag = static_cast<std::uint8_t>(random_());
    fpu.mxcsr = random_() & 0xffff;
    fpu.instruction_pointer = random_() >> 20;
    for (auto& st : fpu.st) st = {random_(), random_() & 0xffff};
    for (auto& xmm : fpu.xmm) xmm = {random_(), random_()};
    for (auto& ymm : fpu.ymm_high) ymm = {random_(), random_()};
  }
  Area memory() {
    Area area;
    std::memcpy(area.bytes.data(), port_.at(kArea), kAreaSize);
    return area;
  }
  void set_memory(const Area& area) {
    std::memcpy(port_.at(kArea), area.bytes.data(), area.bytes.size());
  }
  std::uint64_t word(std::size_t offset) {
    std::uint64_t result;
    std::memcpy(&result, port_.at(kArea + offset), 8);
    return result;
  }
  void set_word(std::size_t offset, std::uint64_t value) {
    std::memcpy(port_.at(kArea + offset), &value, 8);
  }

  std::mt19937_64 random_{3};
  PagedPort port_;
  CpuState state_ = state64();
};

TEST_F(XsaveTest, TheSiliconLoadsWhatIsSaved) {
  if (!host_has_xsave()) GTEST_SKIP() << "the host has no XSAVEC";
  for (const auto& insn : {kXsave, kXsaveopt, kXsavec, kXsaves})
    for (int round = 0; round < 40; ++round) {
      randomize(state_.fpu);
      if (round % 4 == 1) state_.fpu.xmm = {};
      if (round % 4 == 2) state_.fpu.ymm_high = {};
      if (round % 4 == 3) initialize_x87(state_.fpu), state_.fpu.st = {};
      FpuState before;
      randomize(before);
      set_memory(Area{});
      const std::uint64_t components = random_() & 7;
      ASSERT_TRUE(execute(insn, components));
      FpuState loaded = silicon_restore(before, memory(), components);
      const FpuState saved = std::exchange(state_.fpu, before);
      ASSERT_TRUE(execute(insn == kXsaves ? kXrstors : kXrstor, components));
      test::keep_what_all_silicon_keeps(state_.fpu), test::keep_what_all_silicon_keeps(loaded);
      EXPECT_EQ(state_.fpu, loaded) << round;
      EXPECT_EQ(loaded.st, ((components & 1) ? saved : before).st);
      EXPECT_EQ(loaded.xmm, ((components & 2) ? saved : before).xmm);
      EXPECT_EQ(loaded.ymm_high, ((components & 4) ? saved : before).ymm_high);
    }
}

TEST_F(XsaveTest, AnyValidImageLoadsAsOnTheSilicon) {
  if (!host_has_xsave()) GTEST_SKIP() << "the host has no XSAVEC";
  for (int round = 0; round < 200; ++round) {
    Area area;
    for (std::size_t i = 0; i < 576 + 256; i += 8) {
      // The pointers are canonical: what becomes of others depends on the silicon.
      const std::uint64_t bits = i == 8 || i == 16 ? random_() >> 20 : random_();
      std::memcpy(&area.bytes[i], &bits, 8);
    }
    const std::uint32_t mxcsr = random_() & 0xffff;
    std::memcpy(&area.bytes[24], &mxcsr, 4);
    std::memset(&area.bytes[512], 0, 64);
    std::uint64_t present = random_() & 7;
    if (round % 2) {
      const std::uint64_t compact = kCompact | present | (random_() & 7);
      std::memcpy(&area.bytes[520], &compact, 8);
    }
    std::memcpy(&area.bytes[512], &present, 8);
    const std::uint64_t components = random_() & 7;
    FpuState before;
    randomize(before);
    state_.fpu = before;
    set_memory(area);
    ASSERT_TRUE(execute(kXrstor, components));
    FpuState loaded = silicon_restore(before, area, components);
    test::keep_what_all_silicon_keeps(state_.fpu), test::keep_what_all_silicon_keeps(loaded);
    ASSERT_EQ(state_.fpu, loaded) << round;
  }
}

TEST_F(XsaveTest, XsaveLeavesTheBitsOfComponentsThatItDoesNotSave) {
  randomize(state_.fpu);
  set_word(512, 0xf0f5);
  set_word(520, 0x1234);
  ASSERT_TRUE(execute(kXsave, xcr0::kSse));
  EXPECT_EQ(word(512), 0xf0f7u);
  EXPECT_EQ(word(520), 0x1234u);
  state_.fpu.xmm = {};
  ASSERT_TRUE(execute(kXsave, xcr0::kSse));
  EXPECT_EQ(word(512), 0xf0f5u);
}

TEST_F(XsaveTest, XsaveoptLeavesOutWhatIsInItsInitialState) {
  set_memory(Area{});
  std::memset(port_.at(kArea + 576), 0xee, 256);
  ASSERT_TRUE(execute(kXsaveopt, 7));
  EXPECT_EQ(word(576), 0xeeeeeeeeeeeeeeeeu);
  EXPECT_EQ(word(512), 0u);
  ASSERT_TRUE(execute(kXsave, 7));
  EXPECT_EQ(word(576), 0u);
}

TEST_F(XsaveTest, XsavecCountsAChangedMxcsrAsUseOfSse) {
  state_.fpu.mxcsr = 0x3f80;
  ASSERT_TRUE(execute(kXsavec, 7));
  EXPECT_EQ(word(512), xcr0::kSse);
  EXPECT_EQ(word(520), kCompact | 7);
}

TEST_F(XsaveTest, PkruGoesWhereCpuidSaysAndTheEngineIsTold) {
  state_.xcr0 |= xcr0::kPkru;
  state_.pkru = 0x55555554;
  ASSERT_TRUE(execute(kXsave, ~0ull));
  EXPECT_EQ(word(0xa80), 0x55555554u);
  ASSERT_TRUE(execute(kXsavec, xcr0::kPkru));
  EXPECT_EQ(word(576), 0x55555554u);
  state_.pkru = 0;
  ASSERT_TRUE(execute(kXrstor, xcr0::kPkru));
  EXPECT_EQ(state_.pkru, 0x55555554u);
  EXPECT_EQ(port_.mode_changes, 1);
}

TEST_F(XsaveTest, HeadersThatAskForWhatIsNotEnabledAreRefused) {
  set_word(512, xcr0::kPkru);  // not in XCR0
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
  set_word(512, 0), set_word(520, 1);  // not compacted, but not zero
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
  set_word(520, 0), set_word(528, 1);
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
  set_word(528, 0), set_word(536, 1);  // reserved, but not checked in the standard format
  EXPECT_TRUE(execute(kXrstor, 7));
  set_word(520, kCompact | 7);
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
  set_word(536, 0), set_word(512, 4), set_word(520, kCompact | 3);
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
  set_word(512, 0), set_word(520, kCompact | 8);
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
}

TEST_F(XsaveTest, ReservedMxcsrBitsAreRefusedWhenMxcsrIsLoaded) {
  set_word(24, 0x10000);
  EXPECT_EQ(fault_of(kXrstor, xcr0::kAvx), Vector::kGP);
  EXPECT_TRUE(execute(kXrstor, xcr0::kX87));
}

TEST_F(XsaveTest, SupervisorFormsWantPrivilegeAndTheCompactedFormat) {
  EXPECT_EQ(fault_of(kXrstors, 7), Vector::kGP);
  set_word(520, kCompact | 7);
  EXPECT_TRUE(execute(kXrstors, 7));
  state_.segment[kSs].access |= 3 << 5;
  EXPECT_EQ(fault_of(kXrstors, 7), Vector::kGP);
  EXPECT_EQ(fault_of(kXsaves, 7), Vector::kGP);
}

TEST_F(XsaveTest, TheAreaIsAlignedTo64Bytes) {
  state_.gpr[kRbx] = kArea + 16;
  EXPECT_EQ(fault_of(kXsave, 7), Vector::kGP);
  EXPECT_EQ(fault_of(kXrstor, 7), Vector::kGP);
}

TEST_F(XsaveTest, Outside64BitModeHalfOfTheVectorRegistersAreSeen) {
  state_ = state32();
  state_.gpr[kRbx] = kArea;
  randomize(state_.fpu);
  std::memset(port_.at(kArea), 0xee, 1024);
  set_word(512, 0), set_word(520, 0), set_word(528, 0);
  ASSERT_TRUE(execute(kXsave, 7));
  EXPECT_EQ(word(576 + 7 * 16), state_.fpu.ymm_high[7][0]);
  EXPECT_EQ(word(576 + 8 * 16), 0xeeeeeeeeeeeeeeeeu);
  EXPECT_EQ(word(160 + 8 * 16), 0xeeeeeeeeeeeeeeeeu);
  const FpuState before = state_.fpu;
  set_word(512, 0);
  ASSERT_TRUE(execute(kXrstor, 7));
  EXPECT_EQ(state_.fpu.ymm_high[7][0], 0u);
  EXPECT_EQ(state_.fpu.ymm_high[8], before.ymm_high[8]);
  EXPECT_EQ(state_.fpu.xmm[8], before.xmm[8]);
}

}  // namespace
}  // namespace vireo::x86
