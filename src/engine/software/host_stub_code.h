#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vireo::engine {

/// Executable memory that is never writable where it is executable: one memfd mapped twice. Code
/// only gets added. Grows in blocks up to a limit, so that a guest cannot exhaust the host with it.
class StubCode {
 public:
  StubCode() = default;
  ~StubCode();
  StubCode(const StubCode&) = delete;
  StubCode& operator=(const StubCode&) = delete;

  /// Where the copy of `code` can be called; null if the limit is reached or the host refuses.
  const void* add(std::span<const std::uint8_t> code);

 private:
  struct Block {
    std::byte* writable = nullptr;
    std::byte* executable = nullptr;
    std::size_t used = 0;
  };
  bool grow();

  std::vector<Block> blocks_;
};

}  // namespace vireo::engine
