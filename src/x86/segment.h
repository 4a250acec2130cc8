#pragma once
#include <cstdint>

namespace vireo::x86 {

enum SegmentIndex : std::uint8_t { kEs, kCs, kSs, kDs, kFs, kGs, kSegmentCount };

/// A segment register with its hidden part. `access` has the layout of descriptor bits 40-55:
/// type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15; bit 16 is set when the register holds
/// a null selector and may not be used. SDM vol. 3A, 3.4.3 and 24.4.1.
struct Segment {
  std::uint16_t selector = 0;
  std::uint32_t access = 0;
  std::uint32_t limit = 0;  ///< in bytes: the granularity bit is already applied
  std::uint64_t base = 0;

  static constexpr std::uint32_t kAccessed = 1, kWritableOrReadable = 2,
                                 kExpandDownOrConforming = 4, kCode = 8, kNonSystem = 0x10,
                                 kPresent = 0x80, kLong = 0x2000, kBig = 0x4000, kGranular = 0x8000,
                                 kUnusable = 0x10000;

  constexpr unsigned type() const { return access & 0xf; }
  constexpr unsigned dpl() const { return (access >> 5) & 3; }
  constexpr unsigned rpl() const { return selector & 3; }
  constexpr bool present() const { return (access & kPresent) != 0; }
  constexpr bool code() const { return (access & kCode) != 0; }
  constexpr bool is_long() const { return (access & kLong) != 0; }
  constexpr bool big() const { return (access & kBig) != 0; }
  constexpr bool usable() const { return (access & kUnusable) == 0; }
  constexpr bool writable() const {
    return (access & (kCode | kWritableOrReadable)) == kWritableOrReadable;
  }
  constexpr bool readable() const { return !code() || (access & kWritableOrReadable) != 0; }
  constexpr bool expand_down() const {
    return (access & (kCode | kExpandDownOrConforming)) == kExpandDownOrConforming;
  }
  constexpr bool conforming() const {
    return (access & (kCode | kExpandDownOrConforming)) == (kCode | kExpandDownOrConforming);
  }

  bool operator==(const Segment&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [selector, access, limit, base] = self;
    visit("selector", selector), visit("access", access), visit("limit", limit);
    visit("base", base);
  }
};

/// GDTR or IDTR.
struct DescriptorTable {
  std::uint16_t limit = 0;
  std::uint64_t base = 0;

  bool operator==(const DescriptorTable&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [limit, base] = self;
    visit("limit", limit), visit("base", base);
  }
};

}  // namespace vireo::x86
