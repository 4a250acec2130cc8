#pragma once
#include <cstdint>

#include "x86/cpu_state.h"
#include "x86/decode/insn.h"

namespace vireo::engine::translator {

/// How code that is not 64-bit reaches memory through a segment register. SDM vol. 3A, 5.3-5.5.
enum class SegmentForm : std::uint8_t {
  kFlat,     ///< offsets are linear addresses
  kBased,    ///< the base is added; there is no end
  kLimited,  ///< offsets are compared with the limit first
  kRefused,  ///< not writable (CS: not readable), expand-down or unusable: for C++
};

/// What translated code that is not 64-bit relies on, as a part of Mode. In the mode of 64-bit code
/// it is as constructed. Its translations are made for linear addresses: base of CS + EIP.
struct Narrow {
  x86::CodeSize size = x86::CodeSize::k64;
  bool big_stack = false;        ///< SS.B: the stack pointer is ESP, not SP
  std::uint16_t forms = 0;       ///< a SegmentForm of two bits for each segment register
  std::uint32_t code_base = 0;   ///< of CS
  std::uint32_t code_limit = 0;  ///< of CS; all ones: EIP has no end but that of its 32 bits

  bool operator==(const Narrow&) const = default;
  explicit operator bool() const { return size != x86::CodeSize::k64; }

  SegmentForm form(unsigned segment) const {
    return static_cast<SegmentForm>(forms >> (2 * segment) & 3);
  }
  /// Whether an access of that kind can be translated at all.
  bool reaches(unsigned segment, bool write) const {
    return form(segment) != SegmentForm::kRefused && !(segment == x86::kCs && write);
  }
  /// The stack pointer may be the host's.
  bool flat_stack() const { return big_stack && form(x86::kSs) == SegmentForm::kFlat; }
  std::uint32_t linear(std::uint64_t eip) const {
    return static_cast<std::uint32_t>(eip) + code_base;
  }
  std::uint32_t eip(std::uint64_t linear_address) const {
    return static_cast<std::uint32_t>(linear_address) - code_base;
  }
  /// A number for hash tables.
  std::uint64_t key() const {
    return static_cast<std::uint64_t>(size) + (std::uint64_t{forms} << 4) + code_base;
  }
};

/// Of a CPU that does not run 64-bit code.
Narrow narrow_of(const x86::CpuState& state);

}  // namespace vireo::engine::translator
