#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace vireo::engine::translator {

/// Memory for generated code: shared memory, mapped once writable and once executable, never both
/// at one address. Code is written at writable addresses and named by executable ones; distances
/// between two places are the same in both. Code that runs often and code that runs seldom have a
/// half each, so that the former lies close together. Either is a ring: what was written first
/// makes room for what is written next.
class CodeMemory {
 public:
  static constexpr std::size_t kSize = std::size_t{64} << 20, kPartSize = kSize / 2;

  /// Tests use less of each part.
  static Result<CodeMemory> create(std::size_t part_size = kPartSize);
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
  std::uint8_t* writable(Part part = Part::kOften) const { return begin(part) + ring(part).next; }
  std::size_t room(Part part = Part::kOften) const { return ring(part).end - ring(part).next; }
  std::size_t used() const { return used(Part::kOften) + used(Part::kSeldom); }
  /// Keeps `bytes` that were written at writable(); the next code starts aligned to 32.
  void commit(std::size_t bytes, Part part = Part::kOften);
  /// Gives back what was committed before `oldest`, which is executable; null: all there is. If
  /// there are fewer bytes than `wanted` up to the top, the next code goes to the bottom.
  void give_back(Part part, const std::uint8_t* oldest, std::size_t wanted);
  /// What is there now stays for ever. Before anything is given back.
  void keep();
  void clear();

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
  /// One part; offsets in it.
  struct Ring {
    std::size_t kept = 0;    ///< below it nothing is ever given back
    std::size_t oldest = 0;  ///< the first code that was not given back
    std::size_t next = 0;
    std::size_t end = 0;    ///< the next code ends here at the latest
    std::size_t ready = 0;  ///< the host has brought what is below
    std::size_t top = 0;
  };
  static std::size_t index(Part part) { return static_cast<std::size_t>(part); }
  const Ring& ring(Part part) const { return rings_[index(part)]; }
  Ring& ring(Part part) { return rings_[index(part)]; }
  std::size_t used(Part part) const;
  std::uint8_t* begin(Part part) const { return writable_ + index(part) * kPartSize; }

  std::uint8_t* writable_ = nullptr;
  std::uint8_t* executable_ = nullptr;
  std::array<Ring, 2> rings_{};
};

}  // namespace vireo::engine::translator
