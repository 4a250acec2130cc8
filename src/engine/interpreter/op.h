#pragma once
#include <cstdint>

#include "engine/software/block.h"
#include "engine/software/cpu.h"
#include "engine/software/soft_mmu.h"

namespace vireo::engine::interpreter {

/// Every handler ends with this: the next one is reached by a jump, not by a return.
#define VIREO_TAIL [[clang::musttail]] return

/// How a memory operand's linear address is computed. The first two are 64-bit code without FS or
/// GS; everything else, segment checks included, is general.
enum class Ea : std::uint8_t { kBase, kIndexed, kGeneral };

/// A register by its offset in Cpu.
template <class T>
[[gnu::always_inline]] inline T& reg(Cpu* cpu, std::uint16_t offset) {
  // SAFETY: offsets come from register_offset() and name a register of at least sizeof(T) bytes.
  return *reinterpret_cast<T*>(reinterpret_cast<std::byte*>(cpu) + offset);
}

/// Writes a general register: 32-bit results clear the upper half.
template <class T>
[[gnu::always_inline]] inline void write_reg(Cpu* cpu, std::uint16_t offset, T data) {
  if constexpr (sizeof(T) == 4)
    reg<std::uint64_t>(cpu, offset) = data;
  else
    reg<T>(cpu, offset) = data;
}

/// RIP at `op`, or behind it, cut to what the mode has.
inline std::uint64_t rip_at(const Cpu* cpu, std::uint64_t distance) {
  const std::uint64_t rip = cpu->state.rip + distance;
  return cpu->state.code64() ? rip : rip & 0xffffffff;
}

/// Leaves the block in front of `op`, which has not happened: a fault is pending, it must be
/// repeated, or its block is gone.
void leave_before(const Op* op, Cpu* cpu);
/// Leaves the block behind `op`.
void leave_after(const Op* op, Cpu* cpu);
/// The entry of a block that is gone: nothing has happened yet.
void leave_at_entry(const Op* op, Cpu* cpu);

/// The linear address of the operand with segment checks. False: cpu->fault is set.
bool general_address(const Op* op, Cpu* cpu, bool write, std::uint64_t& linear);

template <Ea kEa>
[[gnu::always_inline]] inline bool address(const Op* op, Cpu* cpu, bool write,
                                           std::uint64_t& linear) {
  if constexpr (kEa == Ea::kGeneral) return general_address(op, cpu, write, linear);
  linear = reg<std::uint64_t>(cpu, op->base) + static_cast<std::uint64_t>(op->displacement);
  if constexpr (kEa == Ea::kIndexed) linear += reg<std::uint64_t>(cpu, op->index) << op->shift;
  return true;
}

/// Base + index * scale + displacement, not cut and without a segment: LEA, and the first step of
/// general_address().
[[gnu::always_inline]] inline std::uint64_t offset_of(const Op* op, Cpu* cpu) {
  return reg<std::uint64_t>(cpu, op->base) + (reg<std::uint64_t>(cpu, op->index) << op->shift) +
         static_cast<std::uint64_t>(op->displacement);
}

/// The address of a memory operand and its value.
template <class T, Ea kEa>
[[gnu::always_inline]] inline bool load_operand(const Op* op, Cpu* cpu, T& data) {
  std::uint64_t linear;
  return address<kEa>(op, cpu, false, linear) && load<T>(cpu, linear, data, op->segment);
}

}  // namespace vireo::engine::interpreter
