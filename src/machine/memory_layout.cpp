#include "machine/memory_layout.h"

#include <algorithm>

namespace vireo::machine {
namespace {

constexpr std::uint64_t kMiB = 1 << 20, kGiB = 1 << 30;
constexpr std::uint64_t kSmallest = 2 * kMiB, kLargest = 512 * kGiB;

}  // namespace

Result<> check_memory_size(std::uint64_t bytes) {
  if (bytes < kSmallest) return usage_error("a machine needs at least 2 MiB of memory");
  if (bytes > kLargest) return usage_error("a machine can have at most 512 GiB of memory");
  if (bytes % kMiB != 0) return usage_error("the memory size must be a multiple of 1 MiB");
  return {};
}

Result<> check_balloon(std::uint64_t bytes, std::uint64_t memory_bytes) {
  if (bytes < memory_bytes) return {};
  return usage_error("a balloon of {} MiB leaves nothing of {} MiB of memory; make it smaller",
                     bytes / kMiB, memory_bytes / kMiB);
}

std::vector<memory::Region> ram_regions(std::uint64_t bytes) {
  using memory::RegionKind;
  const std::uint64_t below = std::min(bytes, kDeviceHoleBase);
  std::vector<memory::Region> regions{
      {PhysAddr{0}, kLowMemoryEnd, RegionKind::kRam, "low"},
      {PhysAddr{kShadowBase}, below - kShadowBase, RegionKind::kRam, "main"}};
  if (bytes > below) {
    regions.push_back({PhysAddr{kAboveHoleBase}, bytes - below, RegionKind::kRam, "above-4g"});
  }
  return regions;
}

std::vector<MemoryRange> memory_map(std::uint64_t bytes) {
  const std::uint64_t below = std::min(bytes, kDeviceHoleBase);
  std::vector<MemoryRange> map{
      {0, kEbdaBase, RangeType::kRam},
      {kEbdaBase, kLowMemoryEnd - kEbdaBase, RangeType::kReserved},
      {kFirmwareTables, kHighMemoryBase - kFirmwareTables, RangeType::kReserved},
      {kHighMemoryBase, below - kHighMemoryBase, RangeType::kRam}};
  if (bytes > below) map.push_back({kAboveHoleBase, bytes - below, RangeType::kRam});
  return map;
}

}  // namespace vireo::machine
