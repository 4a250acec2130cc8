#include <cstring>

#include "engine/interpreter/handlers.h"
#include "engine/software/host_stub.h"

namespace vireo::engine::interpreter {
namespace {

// Loads, stores and copies of XMM registers: what memory functions are made of. Everything else in
// the vector units goes through host stubs.

struct Xmm {
  std::uint64_t low, high;
};

/// SSE is enabled; else the general path finds out what to raise.
[[gnu::always_inline]] inline bool sse_enabled(const Cpu* cpu) {
  constexpr std::uint64_t kOff = x86::cr0::kEm | x86::cr0::kTs;
  return (cpu->state.cr0 & kOff) == 0 && (cpu->state.cr4 & x86::cr4::kOsfxsr) != 0;
}

[[gnu::always_inline]] inline bool aligned(std::uint64_t linear, bool must) {
  return !must || (linear & 15) == 0;
}

template <bool kAligned>
void op_xmm_load(const Op* op, Cpu* cpu) {
  std::uint64_t linear;
  Xmm data;
  if (!sse_enabled(cpu)) [[unlikely]]
    VIREO_TAIL op_host_stub(op, cpu);
  if (!address<Ea::kGeneral>(op, cpu, false, linear)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  if (!aligned(linear, kAligned)) [[unlikely]]
    VIREO_TAIL op_host_stub(op, cpu);
  if (!load(cpu, linear, data, op->segment)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<Xmm>(cpu, op->dst) = data;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <bool kAligned>
void op_xmm_store(const Op* op, Cpu* cpu) {
  std::uint64_t linear;
  if (!sse_enabled(cpu)) [[unlikely]]
    VIREO_TAIL op_host_stub(op, cpu);
  if (!address<Ea::kGeneral>(op, cpu, true, linear)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  if (!aligned(linear, kAligned)) [[unlikely]]
    VIREO_TAIL op_host_stub(op, cpu);
  if (!store(cpu, linear, reg<Xmm>(cpu, op->src), op->segment)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

void op_xmm_copy(const Op* op, Cpu* cpu) {
  if (!sse_enabled(cpu)) [[unlikely]]
    VIREO_TAIL op_host_stub(op, cpu);
  reg<Xmm>(cpu, op->dst) = reg<Xmm>(cpu, op->src);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <bool kAligned>
OpHandler whole_register(const Shape& shape) {
  switch (shape.form) {
    case Form::kRegReg:
      return op_xmm_copy;
    case Form::kRegMem:
      return op_xmm_load<kAligned>;
    case Form::kMemReg:
      return op_xmm_store<kAligned>;
    default:
      return nullptr;
  }
}

}  // namespace

OpHandler vector_move_handler(const x86::Insn& insn, const Shape& shape) {
  if (insn.vex) return nullptr;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
      return whole_register<false>(shape);
    case ZYDIS_MNEMONIC_MOVAPS:
    case ZYDIS_MNEMONIC_MOVAPD:
    case ZYDIS_MNEMONIC_MOVDQA:
      return whole_register<true>(shape);
    default:
      return nullptr;
  }
}

}  // namespace vireo::engine::interpreter
