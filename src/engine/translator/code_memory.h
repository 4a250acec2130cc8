#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace vireo::engine::translator {

/// Memory for generated code: shared memory, mapped once writable and once executable, never both
/// at one address. Code is written at writable addresses and named by executable ones; distances
/// between two places are the same in both. Filled from the bottom, emptied all at once. Code that
/// runs often and code that runs seldom have a half each, so that the former lies close together.
class CodeMemory {
 public:
  static constexpr std::size_t kSize = std::size_t{64} << 20, kPartSize = kSize / 2;

  static Result<CodeMemory> create();
  CodeMemory(CodeMemory&& other) noexcept;
  CodeMemory& operator=(CodeMemory&&) = delete;
  ~CodeMemory();

  enum class Part : std::uint8_t { kOften, kSeldom };

  /// Where the memory begins, and which part a place is in that is counted from there.
  std::uint8_t* start() const { return writable_; }
  static Part part_of(std::ptrdiff_t place) {
    return place < static_cast<std::ptrdiff_t>(kPartSize) ? Part::kOften : Part::kSeldom;
  }

  /// Where the next code goes, and how much fits.
  std::uint8_t* writable(Part part = Part::kOften) const {
    return begin(part) + used_[index(part)];
  }
  std::size_t room(Part part = Part::kOften) const { return kPartSize - used_[index(part)]; }
  std::size_t used() const { return used_[0] + used_[1]; }
  /// Keeps `bytes` that were written at writable(); the next code starts aligned to 32.
  void commit(std::size_t bytes, Part part = Part::kOften);
  /// From now on clear() goes back to here.
  void keep() { kept_ = used_; }
  void clear() { used_ = kept_; }

  const std::uint8_t* executable(const std::uint8_t* writable) const {
    return writable + (executable_ - writable_);
  }
  std::uint8_t* writable(const std::uint8_t* executable) const {
    return writable_ + (executable - executable_);
  }
  bool contains(const void* executable) const {
    const auto* address = static_cast<const std::uint8_t*>(executable);
    return address >= executable_ && address < executable_ + kSize;
  }

 private:
  CodeMemory() = default;
  void make_ready(Part part);
  static std::size_t index(Part part) { return static_cast<std::size_t>(part); }
  std::uint8_t* begin(Part part) const { return writable_ + index(part) * kPartSize; }

  std::uint8_t* writable_ = nullptr;
  std::uint8_t* executable_ = nullptr;
  std::array<std::size_t, 2> used_{}, kept_{}, ready_{};  ///< of each part
};

}  // namespace vireo::engine::translator
