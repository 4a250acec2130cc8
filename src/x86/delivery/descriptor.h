#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// Types of system descriptors; in IA-32e mode those of 32 bits are the 64-bit ones and the 16-bit
/// ones do not exist, but the LDT. SDM vol. 3A, table 3-2.
enum class SystemType : std::uint8_t {
  kTss16 = 1,
  kLdt = 2,
  kBusyTss16 = 3,
  kCallGate16 = 4,
  kTaskGate = 5,
  kInterruptGate16 = 6,
  kTrapGate16 = 7,
  kTss32 = 9,
  kBusyTss32 = 11,
  kCallGate32 = 12,
  kInterruptGate32 = 14,
  kTrapGate32 = 15,
};

/// The bit that tells a busy TSS from an available one, in the type.
inline constexpr unsigned kBusy = 2;

/// A selector without its RPL: the low two bits say nothing about the descriptor.
constexpr bool is_null(std::uint16_t selector) { return (selector & 0xfffc) == 0; }

/// Error code that names a descriptor. SDM vol. 3A, 6.13.
constexpr std::uint32_t selector_error(std::uint16_t selector, bool external = false) {
  return (selector & 0xfffcu) | (external ? 1u : 0u);
}
constexpr std::uint32_t idt_error(std::uint8_t vector, bool external) {
  return vector * 8u + 2u + (external ? 1u : 0u);
}

/// What failed checks of a descriptor raise: the same checks are #GP in an instruction and #TS for
/// what a TSS names; EXT is set in the error code on behalf of an event external to the program.
struct Raise {
  Vector vector = Vector::kGP;
  bool external = false;

  constexpr tl::unexpected<Fault> at(std::uint16_t selector) const {
    return fault(vector, selector_error(selector, external));
  }
  constexpr tl::unexpected<Fault> not_present(std::uint16_t selector) const {
    return fault(Vector::kNP, selector_error(selector, external));
  }
  constexpr tl::unexpected<Fault> stack_not_present(std::uint16_t selector) const {
    return fault(Vector::kSS, selector_error(selector, external));
  }
};

/// One entry of the GDT, LDT or IDT as it is in memory: 8 bytes, or 16 with `high`.
/// SDM vol. 3A, 3.4.5, 3.5, 5.8.3, 6.11 and 6.14.1.
struct Descriptor {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  LinearAddr address{};  ///< where it stands

  constexpr unsigned type() const { return (low >> 40) & 0xf; }
  constexpr SystemType system_type() const { return static_cast<SystemType>(type()); }
  constexpr bool system() const { return (low >> 44 & 1) == 0; }
  constexpr unsigned dpl() const { return (low >> 45) & 3; }
  constexpr bool present() const { return (low >> 47 & 1) != 0; }
  constexpr bool is_long() const { return (low >> 53 & 1) != 0; }
  constexpr bool big() const { return (low >> 54 & 1) != 0; }

  constexpr bool code() const { return !system() && (type() & 8) != 0; }
  constexpr bool conforming() const { return code() && (type() & 4) != 0; }
  constexpr bool data() const { return !system() && (type() & 8) == 0; }
  constexpr bool writable_data() const { return data() && (type() & 2) != 0; }
  constexpr bool readable() const { return data() || (code() && (type() & 2) != 0); }

  constexpr bool tss() const { return system() && (type() & 5) == 1; }
  constexpr bool available_tss() const { return tss() && (type() & kBusy) == 0; }
  constexpr bool busy_tss() const { return tss() && (type() & kBusy) != 0; }
  constexpr bool is(SystemType wanted) const { return system() && system_type() == wanted; }

  /// Bytes; the granularity bit is applied.
  std::uint32_t limit() const;
  /// The segment register that loads this entry.
  Segment segment(std::uint16_t selector) const;

  // Gates.
  constexpr std::uint16_t gate_selector() const { return static_cast<std::uint16_t>(low >> 16); }
  constexpr std::uint64_t gate_offset() const {
    const std::uint64_t low_half = (low & 0xffff) | (low >> 32 & 0xffff0000);
    return wide_gate() ? low_half | high << 32 : low_half & 0xffff;
  }
  constexpr bool wide_gate() const { return (type() & 8) != 0; }
  constexpr unsigned parameter_count() const { return (low >> 32) & 0x1f; }
  constexpr unsigned ist() const { return (low >> 32) & 7; }
};

/// The descriptor of 8 bytes for a segment: what decoding reverses. `limit` is in bytes and is cut
/// to what the granularity can say.
std::uint64_t encode_segment(const Segment& segment);

/// Reads the entry that the selector names; `raise` if it is outside its table or there is no LDT.
/// A null selector is the caller's business.
OrFault<Descriptor> read_descriptor(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                    Raise raise);

/// As above; in IA-32e mode a system descriptor is read with its upper half, which has to be inside
/// the table and to have a type of zero.
OrFault<Descriptor> read_wide_descriptor(const CpuState& state, CpuPort& port,
                                         std::uint16_t selector, Raise raise);

/// Sets the accessed bit in memory, if it is clear, and in `descriptor`. Locked.
OrFault<> mark_accessed(CpuPort& port, Descriptor& descriptor);

/// Locked change of the busy bit of the TSS descriptor at `descriptor.address`. False if another
/// CPU was first.
OrFault<bool> mark_busy(CpuPort& port, Descriptor& descriptor);
OrFault<> clear_busy(CpuPort& port, LinearAddr address);

/// Where the entry of an already loaded TSS stands in the GDT.
LinearAddr gdt_address(const CpuState& state, std::uint16_t selector);

/// base + offset of a descriptor table or TSS: 32 bits outside IA-32e mode.
constexpr LinearAddr table_address(const CpuState& state, std::uint64_t base,
                                   std::uint64_t offset) {
  return LinearAddr{state.long_mode() ? base + offset : (base + offset) & 0xffffffff};
}

}  // namespace vireo::x86
