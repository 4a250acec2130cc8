#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vireo::engine {

/// Executable memory that is never writable where it is executable: one memfd mapped twice. Code
/// gets added, and goes all at once. Grows in blocks up to a limit, so that a guest cannot exhaust
/// the host with it.
class StubCode {
 public:
  StubCode() = default;
  ~StubCode();
  StubCode(const StubCode&) = delete;
  StubCode& operator=(const StubCode&) = delete;

  /// Where the copy of `code` can be called; null if the limit is reached or the host refuses.
  const void* add(std::span<const std::uint8_t> code);
  /// How many bytes can surely be added, as far as the limit goes.
  std::size_t room() const;
  /// Forgets all code. The memory is kept and used again.
  void clear();

 private:
  struct Block {
    std::byte* writable = nullptr;
    std::byte* executable = nullptr;
    std::size_t used = 0;
  };
  bool grow();

  std::vector<Block> blocks_;
  std::size_t current_ = 0;  ///< the block that is being filled; those behind it are empty
};

}  // namespace vireo::engine
