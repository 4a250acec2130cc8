#include "x86/delivery/descriptor_query.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

bool zf(const DeliveryWorld& world) { return (world.state.rflags & rflags::kZf) != 0; }

/// LAR and LSL EAX, ECX.
bool lar(DeliveryWorld& world, std::uint64_t selector) {
  world.state.gpr[kRcx] = selector;
  EXPECT_OK(world.run({0x0f, 0x02, 0xc1}));
  return zf(world);
}
bool lsl(DeliveryWorld& world, std::uint64_t selector) {
  world.state.gpr[kRcx] = selector;
  EXPECT_OK(world.run({0x0f, 0x03, 0xc1}));
  return zf(world);
}
bool verr(DeliveryWorld& world, std::uint64_t selector) {
  world.state.gpr[kRcx] = selector;
  EXPECT_OK(world.run({0x0f, 0x00, 0xe1}));
  return zf(world);
}
bool verw(DeliveryWorld& world, std::uint64_t selector) {
  world.state.gpr[kRcx] = selector;
  EXPECT_OK(world.run({0x0f, 0x00, 0xe9}));
  return zf(world);
}

TEST(Lar, ShowsTheAccessRights) {
  DeliveryWorld world;
  world.enter_protected(3);
  EXPECT_TRUE(lar(world, W::kData3 | 3));
  EXPECT_EQ(world.state.gpr[kRax], 0xcff300u);
  EXPECT_TRUE(lar(world, W::kConforming0 | 3));
}

TEST(Lar, SaysNoAndKeepsTheRegister) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.state.gpr[kRax] = 0x1234567812345678;
  for (const unsigned selector : {0u, 3u, 0u + W::kData0, 0xf0u, 0xffu, 0u + W::kTss}) {
    EXPECT_FALSE(lar(world, selector)) << selector;
    EXPECT_EQ(world.state.gpr[kRax], 0x1234567812345678u);
  }
  world.enter_protected(0);
  EXPECT_TRUE(lar(world, W::kData0));
  EXPECT_FALSE(lar(world, W::kData0 | 1));  // the RPL counts
}

TEST(Lar, KnowsFewerSystemTypesInLongMode) {
  for (unsigned type = 0; type < 16; ++type) {
    DeliveryWorld world;
    world.enter_protected(0);
    world.set_gdt(W::kFree, W::gate(static_cast<std::uint8_t>(0x80 | type), W::kCode0, 0));
    const bool legacy = (type >= 1 && type <= 5) || type == 9 || type == 11 || type == 12;
    EXPECT_EQ(lar(world, W::kFree), legacy) << type;
    const bool has_limit = legacy && type != 4 && type != 5 && type != 12;
    EXPECT_EQ(lsl(world, W::kFree), has_limit) << type;
    world.enter_long(0);
    const bool wide = type == 2 || type == 9 || type == 11;
    EXPECT_EQ(lar(world, W::kFree), wide || type == 12) << type;
    EXPECT_EQ(lsl(world, W::kFree), wide) << type;
  }
}

TEST(Lsl, ShowsTheLimitInBytes) {
  DeliveryWorld world;
  world.enter_long(3);
  EXPECT_TRUE(lsl(world, W::kData3));
  EXPECT_EQ(world.state.gpr[kRax], 0xffffffffu);
  world.set_gdt(W::kFree, 0x0040f50000000001);
  EXPECT_TRUE(lsl(world, W::kFree | 3));
  EXPECT_EQ(world.state.gpr[kRax], 1u);
}

TEST(Verr, AndVerwLookAtReadAndWritePermission) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, 0x00cff1000000ffff);      // read-only data
  world.set_gdt(W::kFree + 8, 0x00cff9000000ffff);  // execute-only code
  EXPECT_TRUE(verr(world, W::kData3));
  EXPECT_TRUE(verw(world, W::kData3));
  EXPECT_TRUE(verr(world, W::kCode3));
  EXPECT_FALSE(verw(world, W::kCode3));
  EXPECT_TRUE(verr(world, W::kFree));
  EXPECT_FALSE(verw(world, W::kFree));
  EXPECT_FALSE(verr(world, W::kFree + 8));
  EXPECT_FALSE(verr(world, W::kData0));
  EXPECT_TRUE(verr(world, W::kConforming0));
  EXPECT_FALSE(verr(world, 0));
  EXPECT_FALSE(verr(world, W::kTss));
}

TEST(Arpl, RaisesTheRplOnly) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.gpr[kRax] = 0xabcd0008;
  world.state.gpr[kRcx] = 3;
  EXPECT_OK(world.run({0x63, 0xc8}));
  EXPECT_EQ(world.state.gpr[kRax], 0xabcd000bu);
  EXPECT_TRUE(zf(world));
  for (const std::uint64_t rpl : {2u, 3u}) {
    world.state.gpr[kRcx] = rpl;
    EXPECT_OK(world.run({0x63, 0xc8}));
    EXPECT_EQ(world.state.gpr[kRax], 0xabcd000bu);
    EXPECT_FALSE(zf(world));
  }
}

TEST(DescriptorQueries, DoNotExistInRealAndVirtual8086Mode) {
  DeliveryWorld real, virtual8086;
  real.enter_real();
  virtual8086.enter_virtual8086(3);
  for (DeliveryWorld* world : {&real, &virtual8086}) {
    EXPECT_FAULT(world->run({0x0f, 0x02, 0xc1}), Vector::kUD);
    EXPECT_FAULT(world->run({0x0f, 0x03, 0xc1}), Vector::kUD);
    EXPECT_FAULT(world->run({0x0f, 0x00, 0xe1}), Vector::kUD);
    EXPECT_FAULT(world->run({0x0f, 0x00, 0xe9}), Vector::kUD);
    EXPECT_FAULT(world->run({0x63, 0xc8}), Vector::kUD);
  }
}

TEST(DescriptorQueries, PageFaultsInTheTableAreFaults) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.port.take_away(W::kGdt);
  world.state.gpr[kRcx] = W::kData3;
  EXPECT_FAULT(world.run({0x0f, 0x02, 0xc1}), Vector::kPF, 0, W::kGdt + W::kData3);
}

}  // namespace
}  // namespace vireo::x86
