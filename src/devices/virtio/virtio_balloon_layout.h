#pragma once
#include <cstdint>

/// Numbers of virtio balloons. Virtual I/O Device 1.2, 5.5.
namespace vireo::devices::virtio::balloon {

// Features. 5.5.3.
inline constexpr std::uint64_t kStatistics = 1 << 1;
inline constexpr std::uint64_t kDeflateOnOom = 1 << 2;
inline constexpr std::uint64_t kPageReporting = 1 << 5;

/// Pages are numbered in units of this, whatever the guest's are.
inline constexpr std::uint64_t kPageBytes = 4096;

inline constexpr unsigned kInflate = 0, kDeflate = 1;  ///< queues; the others follow as agreed on

/// The device configuration. 5.5.4.
struct ConfigSpace {
  std::uint32_t wanted_pages = 0;
  std::uint32_t actual_pages = 0;
};
static_assert(sizeof(ConfigSpace) == 8);

/// A statistic: what is counted, then the count. 5.5.6.3.
inline constexpr std::size_t kStatisticBytes = 2 + 8;

}  // namespace vireo::devices::virtio::balloon
