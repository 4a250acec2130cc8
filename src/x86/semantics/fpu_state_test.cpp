#include "x86/semantics/fpu_state.h"

#include <gtest/gtest.h>

#include <random>

#include "support/run_instruction.h"
#include "x86/decode/decoder.h"
#include "x86/semantics/fpu_state_test_support.h"

namespace vireo::x86 {
namespace {

using test::PagedPort;
using test::state32;
using test::state64;

constexpr std::uint64_t kArea = PagedPort::kBase + 64;

/// The x87 and SSE registers of the silicon, in FXSAVE's form, and what its instructions make of
/// them. The caller's registers are left clean.
struct alignas(64) Image {
  std::array<std::byte, 1024> bytes{};
  template <class T>
  T get(std::size_t offset) const {
    T result;
    std::memcpy(&result, &bytes[offset], sizeof result);
    return result;
  }
  template <class T>
  void set(std::size_t offset, T value) {
    std::memcpy(&bytes[offset], &value, sizeof value);
  }
};

#define CLOBBERS                                                                            \
  "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
      "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
constexpr std::uint32_t kHostMxcsr = 0x1f80;

/// Loads `before` whole, executes, stores to `after`.
#define ON_SILICON(instruction, before, after, operand)                                       \
  asm volatile("fxrstor64 %[b]\n\t" instruction "\n\tfxsave64 %[a]\n\tfninit\n\tldmxcsr %[m]" \
               : [a] "=m"(after), [o] "+m"(operand)                                           \
               : [b] "m"(before), [m] "m"(kHostMxcsr)                                         \
               : CLOBBERS)

Image image_of(const FpuState& fpu) {
  Image image;
  std::memcpy(image.bytes.data(), &fpu, 416);
  return image;
}

class FpuStateTest : public ::testing::Test {
 protected:
  /// `bytes` without a ModRM displacement, at [RBX].
  Insn decode_insn(std::initializer_list<std::uint8_t> bytes, CodeSize size = CodeSize::k64) {
    Insn insn;
    const std::vector<std::uint8_t> copy(bytes);
    EXPECT_EQ(decode(copy, size, all_features(), insn), DecodeStatus::kOk);
    return insn;
  }
  OrFault<> execute(std::initializer_list<std::uint8_t> bytes) {
    const auto size = state_.code64() ? CodeSize::k64 : CodeSize::k32;
    const Insn insn = decode_insn(bytes, size);
    for (const auto& row : fpu_state_rows())
      if (row.mnemonic == insn.mnemonic) return row.handler(state_, port_, insn);
    ADD_FAILURE() << "no handler";
    return Unit{};
  }
  Vector fault_of(std::initializer_list<std::uint8_t> bytes) {
    const auto status = execute(bytes);
    EXPECT_FALSE(status.has_value());
    return status ? Vector{255} : status.error().vector;
  }
  void request(std::uint64_t components) {
    state_.gpr[kRax] = components & 0xffffffff;
    state_.gpr[kRdx] = components >> 32;
  }
  void randomize(FpuState& fpu) {
    fpu.control = static_cast<std::uint16_t>(random_());
    fpu.status = static_cast<std::uint16_t>(random_());
    fpu.tag = static_cast<std::uint8_t>(random_());
    fpu.opcode = random_() & 0x7ff;
    fpu.mxcsr = random_() & 0xffff;
    fpu.instruction_pointer = random_() >> 20, fpu.data_pointer = random_() >> 20;
    for (auto& st : fpu.st) {
      st = {random_(), random_() & 0xffff};
      if (random_() % 3 == 0) st[0] = random_() % 2 ? 1ull << 63 : 0;
      if (random_() % 3 == 0) st[1] = random_() % 2 ? 0x7fff : 0;
    }
    for (auto& xmm : fpu.xmm) xmm = {random_(), random_()};
    for (auto& ymm : fpu.ymm_high) ymm = {random_(), random_()};
  }
  Image memory(std::size_t size = 1024) {
    Image image;
    std::memcpy(image.bytes.data(), port_.at(kArea), size);
    return image;
  }
  void set_memory(const Image& image) {
    std::memcpy(port_.at(kArea), image.bytes.data(), image.bytes.size());
  }

  FpuStateTest() { state_.gpr[kRbx] = kArea; }

  std::mt19937_64 random_{7};
  PagedPort port_;
  CpuState state_ = state64();
};

void keep_what_all_silicon_keeps(Image& image) {
  if (host_vendor() == Vendor::kIntel) return;
  image.set<std::uint16_t>(6, 0);
  image.set<std::uint64_t>(8, 0), image.set<std::uint64_t>(16, 0);
  image.set<std::uint32_t>(28, 0);
}

/// Selectors are zero here and on recent silicon, but not on all: kept out of comparisons.
void drop_selectors(Image& image) {
  image.set<std::uint32_t>(12, 0), image.set<std::uint32_t>(20, 0);
}

TEST_F(FpuStateTest, FxrstorAndFxsaveLeaveWhatTheSiliconLeaves) {
  for (int round = 0; round < 200; ++round) {
    FpuState fpu;
    randomize(fpu);
    Image image = image_of(fpu), expected;
    ON_SILICON("nop", image, expected, image);
    set_memory(image);
    ASSERT_TRUE(execute({0x48, 0x0f, 0xae, 0x0b}));  // fxrstor64 [rbx]
    set_memory(Image{});
    ASSERT_TRUE(execute({0x48, 0x0f, 0xae, 0x03}));  // fxsave64 [rbx]
    Image ours = memory(416);
    keep_what_all_silicon_keeps(ours), keep_what_all_silicon_keeps(expected);
    ASSERT_EQ(ours.bytes, expected.bytes) << round;
  }
}

TEST_F(FpuStateTest, TheNarrowFormsKeep32BitsOfThePointers) {
  FpuState fpu;
  randomize(fpu);
  Image image = image_of(fpu), native, unused;
  ON_SILICON("fxsave %[o]", image, unused, native);
  state_.fpu = fpu;
  state_.fpu.control = loaded_control(fpu.control);
  state_.fpu.status = loaded_status(state_.fpu.control, fpu.status);
  ASSERT_TRUE(execute({0x0f, 0xae, 0x03}));
  Image ours = memory(416);
  drop_selectors(ours), drop_selectors(native);
  keep_what_all_silicon_keeps(ours), keep_what_all_silicon_keeps(native);
  EXPECT_EQ(ours.bytes, native.bytes);
  ASSERT_TRUE(execute({0x0f, 0xae, 0x0b}));
  EXPECT_EQ(state_.fpu.instruction_pointer, fpu.instruction_pointer & 0xffffffff);
}

TEST_F(FpuStateTest, FxsaveOutside64BitModeTouchesEightRegisters) {
  state_ = state32();
  state_.gpr[kRbx] = kArea;
  std::memset(port_.at(kArea), 0xee, 512);
  randomize(state_.fpu);
  ASSERT_TRUE(execute({0x0f, 0xae, 0x03}));
  EXPECT_EQ(memory().get<std::uint64_t>(160 + 7 * 16), state_.fpu.xmm[7][0]);
  EXPECT_EQ(memory().get<std::uint64_t>(160 + 8 * 16), 0xeeeeeeeeeeeeeeeeu);
  const auto kept = state_.fpu.xmm[8];
  state_.fpu.mxcsr = 0x1f80;
  std::memset(port_.at(kArea + 24), 0, 4);
  ASSERT_TRUE(execute({0x0f, 0xae, 0x0b}));
  EXPECT_EQ(state_.fpu.xmm[8], kept);
}

TEST_F(FpuStateTest, FxrstorRefusesReservedMxcsrBitsAndMisalignment) {
  Image image;
  image.set<std::uint32_t>(24, 0x10000);
  set_memory(image);
  const CpuState before = state_;
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x0b}), Vector::kGP);
  EXPECT_EQ(state_, before);
  state_.gpr[kRbx] = kArea + 8;
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x03}), Vector::kGP);
}

TEST_F(FpuStateTest, APageThatCannotBeWrittenLeavesTheOthersUntouched) {
  port_.pages[1] = PagedPort::Page::kAbsent;
  state_.gpr[kRbx] = PagedPort::kBase + kPageSize - 256;
  randomize(state_.fpu);
  const auto status = execute({0x0f, 0xae, 0x03});
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error(), (Fault{Vector::kPF, 2, PagedPort::kBase + kPageSize}));
  EXPECT_EQ(*port_.at(PagedPort::kBase + kPageSize - 256), std::byte{0});
  port_.pages[1] = PagedPort::Page::kReadOnly;
  state_.cr4 |= cr4::kOsxsave;
  request(7);
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x23}), Vector::kPF);  // xsave
}

TEST_F(FpuStateTest, FrstorAndFnsaveDoWhatTheSiliconDoes) {
  for (int round = 0; round < 200; ++round) {
    FpuState fpu;
    randomize(fpu);
    Image before = image_of(FpuState{}), environment, after, native;
    for (std::size_t i = 0; i < 108; i += 4)
      environment.set(i, static_cast<std::uint32_t>(random_()));
    if (round % 2) environment.set<std::uint16_t>(24, 0), environment.set<std::uint16_t>(16, 0);
    set_memory(environment);
    state_.fpu = FpuState{};
    ON_SILICON("frstor %[o]", before, after, environment);
    ASSERT_TRUE(execute({0xdd, 0x23}));  // frstor [rbx]
    Image ours = image_of(state_.fpu);
    drop_selectors(ours), drop_selectors(after);
    keep_what_all_silicon_keeps(ours), keep_what_all_silicon_keeps(after);
    ours.set<std::uint32_t>(28, 0), after.set<std::uint32_t>(28, 0);  // MXCSR's mask
    ASSERT_EQ(ours.bytes, after.bytes) << round;

    test::keep_what_all_silicon_keeps(state_.fpu);
    const Image loaded = after;
    ON_SILICON("fnsave %[o]", loaded, after, native);
    set_memory(Image{});
    ASSERT_TRUE(execute({0xdd, 0x33}));  // fnsave [rbx]
    Image saved = memory(108);
    for (Image* image : {&saved, &native})
      image->set<std::uint16_t>(16, 0), image->set<std::uint16_t>(24, 0);
    ASSERT_EQ(saved.bytes, native.bytes) << round;
    EXPECT_EQ(state_.fpu.control, after.get<std::uint16_t>(0));
    EXPECT_EQ(state_.fpu.status, after.get<std::uint16_t>(2));
    EXPECT_EQ(state_.fpu.tag, after.get<std::uint8_t>(4));
    EXPECT_EQ(state_.fpu.opcode, after.get<std::uint16_t>(6));
    EXPECT_EQ(state_.fpu.instruction_pointer, after.get<std::uint64_t>(8));
  }
}

TEST_F(FpuStateTest, The16BitEnvironmentDoesWhatTheSiliconDoes) {
  for (int round = 0; round < 200; ++round) {
    FpuState fpu;
    randomize(fpu);
    Image before = image_of(fpu), native, after;
    before.set<std::uint32_t>(24, kHostMxcsr);
    ON_SILICON("data16 fnstenv %[o]", before, after, native);
    set_memory(before);
    ASSERT_TRUE(execute({0x48, 0x0f, 0xae, 0x0b}));
    set_memory(Image{});
    ASSERT_TRUE(execute({0x66, 0xd9, 0x33}));  // fnstenv [rbx]
    Image ours = memory(14);
    for (Image* image : {&ours, &native})
      image->set<std::uint16_t>(8, 0), image->set<std::uint16_t>(12, 0);
    ASSERT_EQ(ours.bytes, native.bytes) << round;
    EXPECT_EQ(state_.fpu.control, after.get<std::uint16_t>(0));
    EXPECT_EQ(state_.fpu.status, after.get<std::uint16_t>(2)) << round;
  }
}

TEST_F(FpuStateTest, RealModePacksPointersAndOpcode) {
  state_ = state32();
  state_.cr0 &= ~cr0::kPe;
  state_.gpr[kRbx] = kArea;
  state_.fpu.instruction_pointer = 0x54321;
  state_.fpu.data_pointer = 0x98765;
  state_.fpu.opcode = 0x1d9;
  ASSERT_TRUE(execute({0x66, 0xd9, 0x33}));
  const Image image = memory();
  EXPECT_EQ(image.get<std::uint16_t>(6), 0x4321);
  EXPECT_EQ(image.get<std::uint16_t>(8), 0x51d9);
  EXPECT_EQ(image.get<std::uint16_t>(12), 0x9000);
  state_.fpu = {};
  ASSERT_TRUE(execute({0x66, 0xd9, 0x23}));  // fldenv
  EXPECT_EQ(state_.fpu.instruction_pointer, 0x54321u);
  EXPECT_EQ(state_.fpu.data_pointer, 0x98765u);
  EXPECT_EQ(state_.fpu.opcode, 0x1d9);
}

TEST_F(FpuStateTest, APendingExceptionStopsWhatWaitsOnly) {
  state_.fpu.status = x87_status::kErrorSummary | x87_status::kBusy | 1;
  state_.fpu.control = 0x37e;
  EXPECT_EQ(fault_of({0x9b}), Vector::kMF);        // fwait
  EXPECT_EQ(fault_of({0xdd, 0x23}), Vector::kMF);  // frstor
  EXPECT_EQ(fault_of({0xd9, 0x23}), Vector::kMF);  // fldenv
  EXPECT_TRUE(execute({0x0f, 0xae, 0x03}));        // fxsave
  EXPECT_EQ(memory().get<std::uint16_t>(2), 0x8081);
  EXPECT_TRUE(execute({0xdd, 0x33}));  // fnsave
  EXPECT_EQ(state_.fpu.status, 0);
}

TEST_F(FpuStateTest, EmulationAndTaskSwitchBitsMakeUnitsUnavailable) {
  state_.cr0 |= cr0::kTs;
  EXPECT_EQ(fault_of({0xdb, 0xe3}), Vector::kNM);        // fninit
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x03}), Vector::kNM);  // fxsave
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x23}), Vector::kNM);  // xsave
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x1b}), Vector::kNM);  // stmxcsr
  EXPECT_TRUE(execute({0x9b}));                          // fwait looks at CR0.MP as well
  state_.cr0 |= cr0::kMp;
  EXPECT_EQ(fault_of({0x9b}), Vector::kNM);
  state_.cr0 = (state_.cr0 & ~cr0::kTs) | cr0::kEm;
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x1b}), Vector::kUD);
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x03}), Vector::kNM);
  state_.cr4 = 0;
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x23}), Vector::kUD);
}

TEST_F(FpuStateTest, LdmxcsrRefusesReservedBits) {
  Image image;
  image.set<std::uint32_t>(0, 0x3f80);
  set_memory(image);
  ASSERT_TRUE(execute({0x0f, 0xae, 0x13}));
  EXPECT_EQ(state_.fpu.mxcsr, 0x3f80u);
  image.set<std::uint32_t>(0, 0x11f80);
  set_memory(image);
  EXPECT_EQ(fault_of({0x0f, 0xae, 0x13}), Vector::kGP);
  EXPECT_EQ(state_.fpu.mxcsr, 0x3f80u);
}

}  // namespace
}  // namespace vireo::x86
