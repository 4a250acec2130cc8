#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;

TEST(Miscellaneous, FlagInstructions) {
  W w;
  EXPECT_TRUE(w.run({0xf9}));
  EXPECT_TRUE(w.flag(rflags::kCf));
  EXPECT_TRUE(w.run({0xf5}));
  EXPECT_FALSE(w.flag(rflags::kCf));
  EXPECT_TRUE(w.run({0xfd}));
  EXPECT_TRUE(w.flag(rflags::kDf));
  EXPECT_TRUE(w.run({0xfc}));
  EXPECT_FALSE(w.flag(rflags::kDf));
}

TEST(Miscellaneous, LahfAndSahfAreInverseAndLeaveOverflow) {
  for (unsigned ah = 0; ah < 256; ++ah) {
    W w;
    w.state.gpr[kRax] = ah << 8 | 0x77;
    w.state.rflags |= rflags::kOf;
    ASSERT_TRUE(w.run({0x9e}));
    w.state.gpr[kRax] = 0x77;
    ASSERT_TRUE(w.run({0x9f}));
    ASSERT_EQ(w.state.gpr[kRax], ((ah & 0xd5) | 2) << 8 | 0x77);
    ASSERT_TRUE(w.flag(rflags::kOf));
  }
}

TEST(Hlt, IsForLevelZero) {
  W w;
  EXPECT_TRUE(w.run({0xf4}));
  EXPECT_EQ(w.state.activity, static_cast<std::uint8_t>(Activity::kHalted));
  W user;
  user.state.segment[kSs].access |= 0x60;
  EXPECT_EQ(user.fault_of({0xf4}), (Fault{Vector::kGP}));
}

TEST(Xlat, LooksUpInTheAddressSize) {
  W w;
  w.make_legacy(false);
  w.state.gpr[kRbx] = 0xffff;
  w.state.gpr[kRax] = 0x1211;
  w.port.poke<std::uint8_t>(0x10, 0x99);
  EXPECT_TRUE(w.run({0xd7}));
  EXPECT_EQ(w.state.gpr[kRax], 0x1299u);
}

TEST(Bound, IsSignedAndIncludesItsBounds) {
  W w;
  w.make_legacy(true);
  w.state.gpr[kRbx] = W::kData;
  w.port.poke<std::int32_t>(W::kData, -5);
  w.port.poke<std::int32_t>(W::kData + 4, 10);
  for (const std::int32_t index : {-6, -5, 0, 10, 11}) {
    w.state.gpr[kRax] = static_cast<std::uint32_t>(index);
    if (index < -5 || index > 10)
      EXPECT_EQ(w.fault_of({0x62, 0x03}), (Fault{Vector::kBR})) << index;
    else
      EXPECT_TRUE(w.run({0x62, 0x03})) << index;
  }
}

TEST(Clflush, FaultsAsALoadOfAByteWould) {
  W w;
  w.state.gpr[kRbx] = W::kData;
  w.port.write_protect(W::kData);
  EXPECT_TRUE(w.run({0x0f, 0xae, 0x3b}));
  w.port.take_away(W::kData);
  EXPECT_EQ(w.fault_of({0x0f, 0xae, 0x3b}).address, W::kData);
}

TEST(Clflush, ReadsNoDevice) {
  W w;
  w.state.gpr[kRbx] = W::kData;
  class Device final : public ForwardingPort {
   public:
    using ForwardingPort::ForwardingPort;
    OrFault<> read(LinearAddr, std::span<std::byte>, Privilege) override {
      ADD_FAILURE() << "a device was read";
      return Unit{};
    }
    bool is_device(LinearAddr) override { return true; }
  } device(w.port);
  EXPECT_TRUE(w.run_on(device, {0x0f, 0xae, 0x3b}));
}

TEST(In, TakesTheWidthOfItsOperand) {
  W w;
  w.state.gpr[kRax] = 0;
  EXPECT_TRUE(w.run({0xec}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffu);
  EXPECT_TRUE(w.run({0x66, 0xed}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffu);
}

}  // namespace
}  // namespace vireo::x86
