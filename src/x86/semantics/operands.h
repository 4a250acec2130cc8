#pragma once
#include <cstdint>
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// Kind of use, for segment checks. SDM vol. 3A, 5.3-5.5.
enum class Use : std::uint8_t { kRead, kWrite, kExecute };

/// The offset part of the memory operand, cut to the address size.
std::uint64_t effective_address(const CpuState& state, const Insn& insn);

/// Whether `size` bytes at the offset lie in the segment, up or down. SDM vol. 3A, 5.3.
bool within_limit(const Segment& segment, std::uint64_t offset, std::size_t size);

/// Segment base + offset after the limit, type and canonical checks for `size` bytes. The fault is
/// #SS(0) for the stack segment, else #GP(0).
OrFault<LinearAddr> linear_address(const CpuState& state, SegmentIndex segment,
                                   std::uint64_t offset, std::size_t size, Use use);

/// Both of the above.
OrFault<LinearAddr> memory_address(const CpuState& state, const Insn& insn, std::size_t size,
                                   Use use);

/// #AC(0) if alignment is checked (CR0.AM, EFLAGS.AC, CPL 3) and the address is no multiple of
/// `alignment`, a power of two. For operands of more than 8 bytes: for others CpuPort sees to it.
/// SDM vol. 3A, 6.15, interrupt 17.
OrFault<> check_alignment(const CpuState& state, LinearAddr address, std::size_t alignment);

/// General registers, by width. Writes of 4 bytes clear the upper half in 64-bit registers.
std::uint64_t read_gpr(const CpuState& state, const Operand& operand);
void write_gpr(CpuState& state, const Operand& operand, std::uint64_t value);

/// Reads operand `n`: a general register, memory or an immediate, of up to 8 bytes, zero-extended.
OrFault<std::uint64_t> read_operand(CpuState& state, CpuPort& port, const Insn& insn, unsigned n);
/// Writes operand `n`: a general register or memory of up to 8 bytes.
OrFault<> write_operand(CpuState& state, CpuPort& port, const Insn& insn, unsigned n,
                        std::uint64_t value);

/// Stack pushes and pops with the stack-address size of SS, CPL privilege; `width` is 2, 4 or 8.
/// RSP changes only if the access succeeded.
OrFault<> push(CpuState& state, CpuPort& port, std::uint64_t value, unsigned width);
OrFault<std::uint64_t> pop(CpuState& state, CpuPort& port, unsigned width);
/// 2, 4 or 8: how much of RSP the stack uses. SDM vol. 1, 6.2.3.
unsigned stack_address_width(const CpuState& state);

/// Writes RIP cut to the operand size; #GP(0) if it is outside CS or not canonical.
OrFault<> branch_to(CpuState& state, std::uint64_t target, unsigned operand_width);

constexpr std::uint64_t width_mask(unsigned bytes) {
  return bytes >= 8 ? ~0ull : (1ull << (bytes * 8)) - 1;
}
/// Whether the address is canonical under the paging mode in force.
[[gnu::always_inline]] inline bool canonical(const CpuState& state, std::uint64_t address) {
  const unsigned unused = (state.cr4 & cr4::kLa57) ? 64 - 57 : 64 - 48;
  const auto extended = static_cast<std::int64_t>(address << unused) >> unused;
  return static_cast<std::uint64_t>(extended) == address;
}

}  // namespace vireo::x86
