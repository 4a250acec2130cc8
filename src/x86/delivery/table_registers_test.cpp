#include "x86/delivery/table_registers.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

/// The memory operand [RAX] of the instructions below.
constexpr std::uint64_t kOperand = 0x7800;

DeliveryWorld world_at(unsigned cpl) {
  DeliveryWorld world;
  world.enter_protected(cpl);
  world.state.gpr[kRax] = kOperand;
  return world;
}
DeliveryWorld long_world() {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRax] = kOperand;
  return world;
}

TEST(Lgdt, LoadsAsManyBytesAsTheModeHas) {
  DeliveryWorld world = world_at(0);
  world.port.poke<std::uint64_t>(kOperand, 0xabcd'8899aabb'1234);
  EXPECT_OK(world.run({0x0f, 0x01, 0x10}));
  EXPECT_EQ(world.state.gdtr, (DescriptorTable{0x1234, 0x8899aabb}));
  EXPECT_OK(world.run({0x66, 0x0f, 0x01, 0x10}));
  EXPECT_EQ(world.state.gdtr, (DescriptorTable{0x1234, 0x99aabb}));
  DeliveryWorld wide = long_world();
  wide.port.poke<std::uint16_t>(kOperand, 0x1234);
  wide.port.poke<std::uint64_t>(kOperand + 2, 0xfffffe0000001000);
  EXPECT_OK(wide.run({0x0f, 0x01, 0x18}));
  EXPECT_EQ(wide.state.idtr, (DescriptorTable{0x1234, 0xfffffe0000001000}));
  wide.port.poke<std::uint64_t>(kOperand + 2, 0x8000'0000'0000'0000);
  EXPECT_FAULT(wide.run({0x0f, 0x01, 0x18}), Vector::kGP, 0);
}

TEST(Lgdt, IsForLevel0) {
  DeliveryWorld world = world_at(3);
  EXPECT_FAULT(world.run({0x0f, 0x01, 0x10}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x0f, 0x01, 0x18}), Vector::kGP, 0);
  DeliveryWorld real;
  real.enter_real();
  real.port.poke<std::uint32_t>(0x4000 + 0x10, 0x12340fff);
  EXPECT_OK(real.run({0x0f, 0x01, 0x16, 0x10, 0}));
  EXPECT_EQ(real.state.gdtr.limit, 0xfff);
}

TEST(Sgdt, AndSidtStoreWhatWasLoaded) {
  DeliveryWorld world = long_world();
  world.state.gdtr = {0x7f, 0xfffffe0000001000};
  EXPECT_OK(world.run({0x0f, 0x01, 0x00}));
  EXPECT_EQ(world.port.peek<std::uint16_t>(kOperand), 0x7f);
  EXPECT_EQ(world.port.peek<std::uint64_t>(kOperand + 2), 0xfffffe0000001000u);
  DeliveryWorld narrow = world_at(3);
  EXPECT_OK(narrow.run({0x0f, 0x01, 0x08}));
  EXPECT_EQ(narrow.port.peek<std::uint64_t>(kOperand), W::kIdt << 16 | 0xfffu);
}

TEST(TableStores, AreForLevel0UnderUmip) {
  DeliveryWorld world = world_at(3);
  world.state.cr4 |= cr4::kUmip;
  EXPECT_FAULT(world.run({0x0f, 0x01, 0x00}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x0f, 0x01, 0x08}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xc0}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xc8}), Vector::kGP, 0);
  world.enter_protected(0);
  EXPECT_OK(world.run({0x0f, 0x00, 0xc8}));
  EXPECT_EQ(world.state.gpr[kRax], W::kTss);
}

TEST(Lldt, LoadsAnLdtOrNone) {
  DeliveryWorld world = world_at(0);
  world.state.gpr[kRax] = W::kLdt;
  EXPECT_OK(world.run({0x0f, 0x00, 0xd0}));
  EXPECT_EQ(world.state.ldtr, (Segment{W::kLdt, 0x82, 0xff, W::kLdtBase}));
  world.state.gpr[kRax] = 0;
  EXPECT_OK(world.run({0x0f, 0x00, 0xd0}));
  EXPECT_FALSE(world.state.ldtr.usable());
  world.state.gpr[kRax] = W::kTss;
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd0}), Vector::kGP, W::kTss);
  world.state.gpr[kRax] = W::kLdt | 4;
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd0}), Vector::kGP, W::kLdt | 4);
  world.set_gdt(W::kLdt, W::system(0x02, 0, 0xff));
  world.state.gpr[kRax] = W::kLdt;
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd0}), Vector::kNP, W::kLdt);
}

TEST(Ltr, MarksTheTssBusy) {
  DeliveryWorld world = world_at(0);
  world.state.gpr[kRax] = W::kOtherTss;
  EXPECT_OK(world.run({0x0f, 0x00, 0xd8}));
  EXPECT_EQ(world.state.tr, (Segment{W::kOtherTss, 0x8b, 0x67, W::kOtherTssBase}));
  EXPECT_EQ(world.gdt(W::kOtherTss) >> 40 & 0xff, 0x8bu);
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kGP, W::kOtherTss);
  world.set_gdt(W::kOtherTss, W::system(0x09, 0, 0x67));
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kNP, W::kOtherTss);
  world.state.gpr[kRax] = 0;
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kGP, 0);
}

TEST(Ltr, InLongModeReads16Bytes) {
  DeliveryWorld world = long_world();
  world.port.poke<std::uint64_t>(W::kGdt + W::kOtherTss + 8, 0xfffffe00);
  world.state.gpr[kRax] = W::kOtherTss;
  EXPECT_OK(world.run({0x0f, 0x00, 0xd8}));
  EXPECT_EQ(world.state.tr.base, 0xfffffe0000005000u);
  world.set_gdt(W::kOtherTss, W::system(0x81, 0, 0x67));  // a 16-bit TSS
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kGP, W::kOtherTss);
}

TEST(TableRegisters, LdtrAndTrDoNotExistOutsideProtectedMode) {
  DeliveryWorld world;
  world.enter_virtual8086(3);
  for (const std::uint8_t modrm : std::initializer_list<std::uint8_t>{0xc0, 0xc8, 0xd0, 0xd8})
    EXPECT_FAULT(world.run({0x0f, 0x00, modrm}), Vector::kUD);
  world = world_at(3);
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd0}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kGP, 0);
}

TEST(Sldt, StoresTwoBytesInMemoryAndTheWholeRegister) {
  DeliveryWorld world = world_at(0);
  world.state.ldtr.selector = W::kLdt;
  world.port.poke<std::uint32_t>(kOperand, 0xaaaaaaaa);
  EXPECT_OK(world.run({0x0f, 0x00, 0x00}));
  EXPECT_EQ(world.port.peek<std::uint32_t>(kOperand), 0xaaaa0000 | W::kLdt);
  world.state.gpr[kRcx] = ~0ull;
  EXPECT_OK(world.run({0x0f, 0x00, 0xc1}));
  EXPECT_EQ(world.state.gpr[kRcx], W::kLdt);
}

TEST(Ltr, InLongModeTheBaseHasToBeCanonical) {
  DeliveryWorld world = long_world();
  world.port.poke<std::uint64_t>(W::kGdt + W::kOtherTss + 8, 0x00008000);
  world.state.gpr[kRax] = W::kOtherTss;
  EXPECT_FAULT(world.run({0x0f, 0x00, 0xd8}), Vector::kGP, W::kOtherTss);
  EXPECT_EQ(world.gdt(W::kOtherTss) >> 40 & 0xff, 0x89u);
}

}  // namespace
}  // namespace vireo::x86
