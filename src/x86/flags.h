#pragma once
#include <cstdint>

namespace vireo::x86::rflags {

// SDM vol. 1, 3.4.3.
inline constexpr std::uint64_t kCf = 1u << 0, kFixed1 = 1u << 1, kPf = 1u << 2, kAf = 1u << 4,
                               kZf = 1u << 6, kSf = 1u << 7, kTf = 1u << 8, kIf = 1u << 9,
                               kDf = 1u << 10, kOf = 1u << 11, kIopl = 3u << 12, kNt = 1u << 14,
                               kRf = 1u << 16, kVm = 1u << 17, kAc = 1u << 18, kVif = 1u << 19,
                               kVip = 1u << 20, kId = 1u << 21;
inline constexpr unsigned kIoplShift = 12;
/// The six flags that arithmetic sets.
inline constexpr std::uint64_t kArithmetic = kCf | kPf | kAf | kZf | kSf | kOf;
/// Every flag that exists; the rest of RFLAGS reads as zero, bit 1 as one.
inline constexpr std::uint64_t kAll =
    kArithmetic | kTf | kIf | kDf | kIopl | kNt | kRf | kVm | kAc | kVif | kVip | kId;

}  // namespace vireo::x86::rflags
