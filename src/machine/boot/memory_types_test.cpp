#include "machine/boot/memory_types.h"

#include <gtest/gtest.h>

namespace vireo::machine {
namespace {

TEST(MemoryTypes, MemoryIsWriteBackAndTheDeviceHoleIsNot) {
  x86::MsrState msr;
  set_memory_types(msr, 40);
  EXPECT_EQ(msr.mtrr_def_type, 0xc06u);
  EXPECT_EQ(msr.mtrr_variable[0], 0xc0000000u);    // type 0: uncached
  EXPECT_EQ(msr.mtrr_variable[1], 0xffc0000800u);  // 1 GiB, valid, within 40 bits
  EXPECT_EQ(msr.mtrr_variable[3] & 0x800, 0u);     // no second range
}

TEST(MemoryTypes, TheFirstMegabyteIsAsThePcLaysItOut) {
  x86::MsrState msr;
  set_memory_types(msr, 40);
  EXPECT_EQ(msr.mtrr_fixed[0], 0x0606060606060606u);
  EXPECT_EQ(msr.mtrr_fixed[1], 0x0606060606060606u);
  EXPECT_EQ(msr.mtrr_fixed[2], 0u);
  for (std::size_t i = 3; i < msr.mtrr_fixed.size(); ++i)
    EXPECT_EQ(msr.mtrr_fixed[i], 0x0505050505050505u) << i;
}

}  // namespace
}  // namespace vireo::machine
