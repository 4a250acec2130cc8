#pragma once
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace vireo::engine::translator {

/// Memory for generated code: shared memory, mapped once writable and once executable, never both
/// at one address. Code is written at writable addresses and named by executable ones; distances
/// between two places are the same in both. Filled from the bottom, emptied all at once.
class CodeMemory {
 public:
  static constexpr std::size_t kSize = std::size_t{64} << 20;

  static Result<CodeMemory> create();
  CodeMemory(CodeMemory&& other) noexcept;
  CodeMemory& operator=(CodeMemory&&) = delete;
  ~CodeMemory();

  /// Where the next code goes, and how much fits.
  std::uint8_t* writable() const { return writable_ + used_; }
  std::size_t room() const { return kSize - used_; }
  std::size_t used() const { return used_; }
  /// Keeps `bytes` that were written at writable(); the next code starts aligned to 32.
  void commit(std::size_t bytes);
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

  std::uint8_t* writable_ = nullptr;
  std::uint8_t* executable_ = nullptr;
  std::size_t used_ = 0;
  std::size_t kept_ = 0;
};

}  // namespace vireo::engine::translator
