#pragma once
#include <compare>
#include <cstdint>

namespace vireo {

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr std::uint64_t kPageMask = kPageSize - 1;
inline constexpr unsigned kPageShift = 12;

/// Guest-physical address. A distinct type, so that it cannot be mistaken for a host pointer.
enum class PhysAddr : std::uint64_t {};
/// Guest-linear address: after segmentation, before paging.
enum class LinearAddr : std::uint64_t {};

constexpr std::uint64_t value(PhysAddr address) { return static_cast<std::uint64_t>(address); }
constexpr std::uint64_t value(LinearAddr address) { return static_cast<std::uint64_t>(address); }
constexpr PhysAddr operator+(PhysAddr a, std::uint64_t n) { return PhysAddr{value(a) + n}; }
constexpr LinearAddr operator+(LinearAddr a, std::uint64_t n) { return LinearAddr{value(a) + n}; }

}  // namespace vireo
