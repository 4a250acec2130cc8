#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "x86/semantics/operands.h"

namespace vireo::x86 {

/// The memory operand of an instruction that saves or loads more state than one access can carry.
class StateBlock {
 public:
  /// #SS or #GP as for any operand of `size` bytes. An `alignment` of 2 or 4 is asked for only
  /// where alignment is checked, by #AC(0); 16 or 64 always, by #GP(0), but where it is checked
  /// #AC(0) comes first for what is not even aligned to 4, as on silicon.
  static OrFault<StateBlock> locate(CpuState& state, CpuPort& port, const Insn& insn,
                                    std::size_t size, std::size_t alignment, Use use) {
    const LinearAddr base = TRY(memory_address(state, insn, size, use));
    TRY(check_alignment(state, base, std::min(alignment, kWord)));
    if (alignment > kWord && (value(base) & (alignment - 1)) != 0) return general_protection();
    return StateBlock(port, base, state.code64() ? ~0ull : 0xffffffffull);
  }

  OrFault<> check_write(std::size_t size) const {
    return port_->check_write(base_, size, Privilege::kCurrent);
  }
  OrFault<> read(std::size_t offset, std::span<std::byte> data) const {
    while (!data.empty()) {
      const std::size_t size = std::min<std::size_t>(data.size(), kMaxAccess);
      TRY(port_->read(at(offset), data.first(size), Privilege::kCurrent));
      data = data.subspan(size), offset += size;
    }
    return Unit{};
  }
  OrFault<> write(std::size_t offset, std::span<const std::byte> data) const {
    while (!data.empty()) {
      const std::size_t size = std::min<std::size_t>(data.size(), kMaxAccess);
      TRY(port_->write(at(offset), data.first(size), Privilege::kCurrent));
      data = data.subspan(size), offset += size;
    }
    return Unit{};
  }
  template <class T>
  OrFault<T> read_value(std::size_t offset) const {
    T result{};
    TRY(read(offset, std::as_writable_bytes(std::span(&result, 1))));
    return result;
  }

 private:
  static constexpr std::size_t kMaxAccess = 64, kWord = 4;
  StateBlock(CpuPort& port, LinearAddr base, std::uint64_t mask)
      : port_(&port), base_(base), mask_(mask) {}
  LinearAddr at(std::size_t offset) const { return LinearAddr{(value(base_) + offset) & mask_}; }

  CpuPort* port_;
  LinearAddr base_;
  std::uint64_t mask_;
};

}  // namespace vireo::x86
