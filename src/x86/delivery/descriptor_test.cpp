#include "x86/delivery/descriptor.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

TEST(Descriptor, AFlatCodeSegmentDecodes) {
  const Segment segment = Descriptor{0x00cf9b000000ffff, 0, {}}.segment(0x08);
  EXPECT_EQ(segment, (Segment{0x08, 0xc09b, 0xffffffff, 0}));
}

TEST(Descriptor, BaseAndLimitAreGatheredFromTheirPieces) {
  const Descriptor descriptor{0x124a93345678bcde, 0, {}};
  const Segment segment = descriptor.segment(0);
  EXPECT_EQ(segment.base, 0x12345678u);
  EXPECT_EQ(segment.limit, 0xabcdeu);
  EXPECT_EQ(descriptor.limit(), segment.limit);
}

TEST(Descriptor, EncodingReversesDecoding) {
  for (const std::uint64_t raw :
       {0x124a93345678bcdeull, 0x00cf9b000000ffffull, 0x00affb000000ffffull, 0x0000820040000027ull})
    EXPECT_EQ(encode_segment(Descriptor{raw, 0, {}}.segment(0)), raw) << std::hex << raw;
}

TEST(Descriptor, A64BitSystemDescriptorHasABaseOf64Bits) {
  const Descriptor tss{DeliveryWorld::system(0x89, 0x12345678, 0x67), 0xffff8000, {}};
  EXPECT_EQ(tss.segment(0).base, 0xffff800012345678u);
}

TEST(Descriptor, AGateOffsetHasTheWidthOfTheGate) {
  const std::uint64_t wide = DeliveryWorld::gate(0x8e, 8, 0xdeadbeef);
  EXPECT_EQ((Descriptor{wide, 0, {}}.gate_offset()), 0xdeadbeefu);
  EXPECT_EQ((Descriptor{wide, 0xffffffff, {}}.gate_offset()), 0xffffffffdeadbeefu);
  const std::uint64_t narrow = DeliveryWorld::gate(0x86, 8, 0xdeadbeef);
  EXPECT_EQ((Descriptor{narrow, 0, {}}.gate_offset()), 0xbeefu);
}

TEST(ReadDescriptor, TheWholeEntryHasToBeInsideTheTable) {
  DeliveryWorld world;
  world.state.gdtr.limit = 0x17;
  EXPECT_TRUE(read_descriptor(world.state, world.port, 0x10, Raise{}));
  const auto beyond = read_descriptor(world.state, world.port, 0x1b, {Vector::kTS, true});
  EXPECT_EQ(beyond.error(), (Fault{Vector::kTS, 0x19}));
  world.state.gdtr.limit = 0x16;
  EXPECT_FALSE(read_descriptor(world.state, world.port, 0x10, Raise{}));
}

TEST(ReadDescriptor, TheLocalTableIsReadThroughLdtr) {
  DeliveryWorld world;
  EXPECT_EQ(read_descriptor(world.state, world.port, 0x0f, Raise{}).error(),
            (Fault{Vector::kGP, 0x0c}));
  world.state.ldtr = {DeliveryWorld::kLdt, 0x82, 0xff, DeliveryWorld::kLdtBase};
  world.port.poke<std::uint64_t>(DeliveryWorld::kLdtBase + 8, 0x00cff3000000ffff);
  EXPECT_EQ(read_descriptor(world.state, world.port, 0x0f, Raise{})->low, 0x00cff3000000ffffu);
}

TEST(ReadDescriptor, InLongModeTheUpperHalfIsCheckedToo) {
  DeliveryWorld world;
  world.enter_long(0);
  world.port.poke<std::uint64_t>(DeliveryWorld::kGdt + 0x58, 0xffff8000);
  EXPECT_EQ(read_wide_descriptor(world.state, world.port, 0x50, Raise{})->high, 0xffff8000u);
  world.port.poke<std::uint64_t>(DeliveryWorld::kGdt + 0x58, 1ull << 40);
  EXPECT_EQ(read_wide_descriptor(world.state, world.port, 0x50, Raise{}).error(),
            (Fault{Vector::kGP, 0x50}));
  world.port.poke<std::uint64_t>(DeliveryWorld::kGdt + 0x58, 0);
  world.state.gdtr.limit = 0x5e;
  EXPECT_FALSE(read_wide_descriptor(world.state, world.port, 0x50, Raise{}));
}

TEST(MarkAccessed, WritesOnlyIfTheBitIsClear) {
  DeliveryWorld world;
  world.port.write_protect(DeliveryWorld::kGdt);
  auto set = *read_descriptor(world.state, world.port, 0x08, Raise{});
  EXPECT_TRUE(mark_accessed(world.port, set));
  world.set_gdt(0x08, 0x00cf9a000000ffff);
  auto clear = *read_descriptor(world.state, world.port, 0x08, Raise{});
  EXPECT_FALSE(mark_accessed(world.port, clear));
  DeliveryWorld writable;
  writable.set_gdt(0x08, 0x00cf9a000000ffff);
  clear = *read_descriptor(writable.state, writable.port, 0x08, Raise{});
  EXPECT_TRUE(mark_accessed(writable.port, clear));
  EXPECT_EQ(writable.gdt(0x08), 0x00cf9b000000ffffu);
  EXPECT_EQ(clear.low, 0x00cf9b000000ffffu);
}

TEST(MarkBusy, OnlyOneCpuWins) {
  DeliveryWorld world;
  auto mine = *read_descriptor(world.state, world.port, DeliveryWorld::kOtherTss, Raise{});
  auto other = mine;
  EXPECT_EQ(*mark_busy(world.port, mine), true);
  EXPECT_EQ(*mark_busy(world.port, other), false);
  EXPECT_TRUE(clear_busy(world.port, mine.address));
  EXPECT_EQ(world.gdt(DeliveryWorld::kOtherTss) >> 40 & 0xff, 0x89u);
}

}  // namespace
}  // namespace vireo::x86
