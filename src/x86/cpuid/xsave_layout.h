#pragma once
#include <cstdint>

#include "x86/control_registers.h"

/// Where the parts of an XSAVE area stand, as leaf 0xd tells the guest. SDM vol. 1, 13.4.
namespace vireo::x86::xsave {

inline constexpr std::uint32_t kLegacySize = 512, kHeaderSize = 64;
inline constexpr std::uint32_t kYmmOffset = kLegacySize + kHeaderSize, kYmmSize = 256;
inline constexpr std::uint32_t kPkruOffset = 0xa80, kPkruSize = 8;

/// Bytes of an area in standard format that holds these components.
constexpr std::uint32_t standard_size(std::uint64_t components) {
  if (components & xcr0::kPkru) return kPkruOffset + kPkruSize;
  if (components & xcr0::kAvx) return kYmmOffset + kYmmSize;
  return kYmmOffset;
}

/// Bytes of an area in compacted format: components follow each other in order, without gaps.
constexpr std::uint32_t compacted_size(std::uint64_t components) {
  std::uint32_t size = kLegacySize + kHeaderSize;
  if (components & xcr0::kAvx) size += kYmmSize;
  if (components & xcr0::kPkru) size += kPkruSize;
  return size;
}

}  // namespace vireo::x86::xsave
