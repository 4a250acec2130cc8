#pragma once
#include <cstdint>
#include <span>

#include "x86/semantics/host_flags.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {

/// Calls `body.operator()<T>()` with the unsigned integer type of `width` bytes.
template <class Body>
auto with_width(unsigned width, Body body) {
  switch (width) {
    case 1:
      return body.template operator()<std::uint8_t>();
    case 2:
      return body.template operator()<std::uint16_t>();
    case 4:
      return body.template operator()<std::uint32_t>();
    default:
      return body.template operator()<std::uint64_t>();
  }
}

/// Reads memory, computes and writes it back as one step: atomically if `locked`. Write permission
/// comes first: a fault says that it was a write, even if the value stays the same.
template <class T, class Compute>
OrFault<> update_memory(CpuPort& port, LinearAddr address, bool locked, Compute compute) {
  TRY(port.check_write(address, sizeof(T), Privilege::kCurrent));
  T old = TRY(port.read<T>(address, Privilege::kCurrent));
  if (!locked || port.is_device(address))
    return port.write_value(address, compute(old), Privilege::kCurrent);
  for (;;) {
    const T fresh = compute(old);
    const bool done =
        TRY(port.compare_exchange(address, std::as_writable_bytes(std::span(&old, 1)),
                                  std::as_bytes(std::span(&fresh, 1)), Privilege::kCurrent));
    if (done) return Unit{};
  }
}

/// DEST := compute(DEST, flags) for a register or memory operand; the flags are committed last.
template <class T, class Compute>
OrFault<> update_operand(CpuState& state, CpuPort& port, const Insn& insn, unsigned n,
                         Compute compute) {
  const HostFlags before = to_host_flags(state.rflags);
  HostFlags flags = before;
  const Operand& operand = insn.operands[n];
  if (operand.kind == OperandKind::kMemory) {
    const auto address = TRY(memory_address(state, insn, sizeof(T), Use::kWrite));
    TRY(update_memory<T>(port, address, insn.lock, [&](T old) {
      flags = before;
      return static_cast<T>(compute(old, flags));
    }));
  } else {
    write_gpr(state, operand, compute(static_cast<T>(read_gpr(state, operand)), flags));
  }
  state.rflags = merge_flags(state.rflags, flags);
  return Unit{};
}

}  // namespace vireo::x86
