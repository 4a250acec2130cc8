#include "engine/software/address_spaces.h"

#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

struct AddressSpacesTest : ::testing::Test {
  static constexpr std::uint64_t kLinear = 0x40000000;

  void fill() { tlb().fill(kLinear, {kLinear, kLinear, 0, 0x200000}); }
  bool filled() { return tlb().entry(kLinear).read_tag == kLinear; }
  Tlb& tlb() { return cpu->tlbs[0]; }

  std::unique_ptr<memory::GuestMemory> memory = test::make_memory();
  std::unique_ptr<Cpu> cpu = std::make_unique<Cpu>();
  AddressSpaces spaces;
};

TEST_F(AddressSpacesTest, WhatIsPutAsideComesBack) {
  fill();
  spaces.put_aside(1, cpu->tlbs);
  EXPECT_FALSE(filled());
  spaces.bring_back(2, cpu->tlbs, *memory);
  EXPECT_FALSE(filled());
  spaces.bring_back(1, cpu->tlbs, *memory);
  EXPECT_TRUE(filled());
}

TEST_F(AddressSpacesTest, NothingComesBackOfMemoryThatHasMoved) {
  memory->place_device_memory(PhysAddr{test::kDevice});
  fill();
  spaces.put_aside(1, cpu->tlbs);
  memory->place_device_memory(std::nullopt);
  spaces.bring_back(1, cpu->tlbs, *memory);
  EXPECT_FALSE(filled());
  fill();
  spaces.put_aside(1, cpu->tlbs);
  spaces.bring_back(1, cpu->tlbs, *memory);
  EXPECT_TRUE(filled()) << "what was put aside since then is true";
}

}  // namespace
}  // namespace vireo::engine
