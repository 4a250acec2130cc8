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

/// Pages that are mapped elsewhere now, under two PCIDs and global.
TEST_F(AddressSpacesTest, AFlushOfAnyPcidKeepsGlobalPagesOnly) {
  constexpr std::uint64_t kGlobal = kLinear + kPageSize;
  using Tables = test::PageTables;
  Tables tables(*memory);
  test::LoggingMachine machine;
  const x86::CpuidModel model;
  SoftMmu mmu(*cpu, *memory, machine, model);
  cpu->mmu = &mmu;
  cpu->state = test::long_mode(tables.root());
  cpu->state.cr4 |= x86::cr4::kPcide | x86::cr4::kPge;
  mmu.refresh_mode();
  const auto enter = [&](unsigned pcid) {
    cpu->state.cr3 = tables.root() | pcid;
    mmu.change_page_tables(true);
  };
  const auto page_at = [&](std::uint64_t linear) {
    PhysAddr page{};
    EXPECT_TRUE(mmu.read(LinearAddr{linear}, std::as_writable_bytes(std::span(&page, 1)),
                         TlbIndex::kSupervisor));
    return page;
  };
  const auto map = [&](std::uint64_t base) {
    tables.map(kLinear, base);
    tables.map(kGlobal, base, Tables::kP | Tables::kW | Tables::kG);
  };
  constexpr PhysAddr kBefore{0x200000}, kAfter{0x210000};  // each has its own address in it
  for (const PhysAddr page : {kBefore, kAfter}) memory->write_value(page, page);
  map(value(kBefore));
  for (const unsigned pcid : {2u, 1u}) {
    enter(pcid);
    EXPECT_EQ(page_at(kLinear), kBefore);
    EXPECT_EQ(page_at(kGlobal), kBefore);
  }
  map(value(kAfter));
  EXPECT_EQ(page_at(kLinear), kBefore);
  mmu.flush(x86::TlbFlush::kAnyPcid);
  for (const unsigned pcid : {1u, 2u}) {
    enter(pcid);
    EXPECT_EQ(page_at(kLinear), kAfter) << pcid;
    EXPECT_EQ(page_at(kGlobal), kBefore);
  }
  mmu.flush(x86::TlbFlush::kAll);
  EXPECT_EQ(page_at(kGlobal), kAfter);
}

}  // namespace
}  // namespace vireo::engine
