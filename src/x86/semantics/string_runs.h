#pragma once
#include <cstddef>
#include <cstdint>

namespace vireo::x86 {

/// Elements of 1, 2, 4 or 8 bytes side by side in host memory, in the order in which a string
/// instruction comes to them: upwards or, with DF set, downwards.
struct ElementRun {
  std::byte* lowest;  ///< the run's first byte in memory, wherever it begins
  std::uint64_t count;
  unsigned width;
  bool down;

  std::size_t bytes() const { return count * width; }
  /// Where element `i` of the order is.
  std::byte* at(std::uint64_t i) const { return lowest + (down ? count - 1 - i : i) * width; }
};

/// MOVS: copies one element after the other. Where the runs overlap, later elements are read as
/// earlier ones have left them. Both have the same count, width and direction.
void copy_run(const ElementRun& to, const ElementRun& from);

/// STOS: the low bytes of `data` to every element.
void fill_run(const ElementRun& to, std::uint64_t data);

std::uint64_t load_element(const std::byte* from, unsigned width);

/// SCAS: how many elements come before the first that equals the low bytes of `data`, or differs
/// from them if `until_equal` is false; the count of the run if none does.
std::uint64_t scan_run(const ElementRun& run, std::uint64_t data, bool until_equal);

/// CMPS: the same for pairs of elements.
std::uint64_t compare_runs(const ElementRun& a, const ElementRun& b, bool until_equal);

}  // namespace vireo::x86
