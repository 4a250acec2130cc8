#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace vireo::engine::interpreter {

/// Guesses which code runs once and never again, as much of what compilers at run time make does.
/// To keep it decoded, watched for and invalidated costs several times what it costs to run. Other
/// code comes again soon, and has then been decoded twice: as long as more than a quarter of what
/// was let pass does, only one piece in eight is, to see whether that changes.
class CodeThatPasses {
 public:
  /// A piece of code with these first bytes has been decoded. True: it should not be kept. Other
  /// bytes at the same place are other code.
  bool expects(PhysAddr start, std::uint32_t mode, std::uint64_t bytes) {
    const std::uint64_t at = value(start);
    std::uint32_t& seen = seen_[index_of(start)];
    const std::uint64_t mixed = (bytes ^ at >> kBits ^ mode) * 0x9e3779b97f4a7c15;
    const auto tag = static_cast<std::uint32_t>(mixed >> 32) | 1;
    if (seen == tag) {
      trust_ -= trust_ / 8;
      seen = 0;
      return false;
    }
    if (trust_ < kMost / 2 && ++held_back_ % 8 != 0) return false;
    trust_ += (kMost - trust_) / 32;
    seen = tag;
    return true;
  }
  /// It will be asked about code there soon.
  void prefetch(PhysAddr start) const { __builtin_prefetch(&seen_[index_of(start)]); }

 private:
  static constexpr unsigned kBits = 14;
  static constexpr unsigned kMost = 1 << 16;

  static std::size_t index_of(PhysAddr start) {
    return (value(start) ^ value(start) >> kBits) & ((1 << kBits) - 1);
  }

  /// What has passed, by its place: the latest of those that share an entry. 0: nothing.
  std::array<std::uint32_t, 1 << kBits> seen_{};
  unsigned trust_ = kMost;  ///< half of it where a quarter comes again
  unsigned held_back_ = 0;
};

}  // namespace vireo::engine::interpreter
