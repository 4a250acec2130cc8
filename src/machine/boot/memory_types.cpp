#include "machine/boot/memory_types.h"

#include <algorithm>

#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

constexpr std::uint64_t kUncached = 0, kWriteProtected = 5, kWriteBack = 6;
constexpr std::uint64_t kFixedRangesEnabled = 1u << 10, kEnabled = 1u << 11, kValid = 1u << 11;

/// Eight ranges of one fixed-range register, all of one type.
constexpr std::uint64_t eight(std::uint64_t type) { return type * 0x0101010101010101; }

}  // namespace

void set_memory_types(x86::MsrState& msr, unsigned physical_address_bits) {
  msr.mtrr_def_type = kEnabled | kFixedRangesEnabled | kWriteBack;
  msr.mtrr_fixed[0] = eight(kWriteBack);  // 0-512 KiB
  msr.mtrr_fixed[1] = eight(kWriteBack);  // to 640 KiB
  msr.mtrr_fixed[2] = eight(kUncached);   // the video window
  std::fill(msr.mtrr_fixed.begin() + 3, msr.mtrr_fixed.end(), eight(kWriteProtected));
  const std::uint64_t all = (std::uint64_t{1} << physical_address_bits) - 1;
  const std::uint64_t hole = (std::uint64_t{1} << 32) - kDeviceHoleBase;
  msr.mtrr_variable[0] = kDeviceHoleBase | kUncached;
  msr.mtrr_variable[1] = (all & ~(hole - 1)) | kValid;
}

}  // namespace vireo::machine
