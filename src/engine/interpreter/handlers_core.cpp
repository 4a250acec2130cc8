#include <bit>

#include "engine/interpreter/handlers.h"
#include "engine/software/attention.h"
#include "engine/software/host_stub.h"
#include "x86/semantics/operands.h"

namespace vireo::engine::interpreter {
void op_enter(const Op* op, Cpu* cpu) {
  if (cpu->events.any()) [[unlikely]]
    return;
  cpu->counters.instructions += op->immediate;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

void op_nop(const Op* op, Cpu* cpu) { VIREO_TAIL op[1].run(op + 1, cpu); }

void op_call_handler(const Op* op, Cpu* cpu) {
  ++cpu->counters.handler_calls;
  x86::CpuState& state = cpu->state;
  const std::uint64_t block_rip = state.rip;
  const std::uint64_t next_rip = rip_at(cpu, std::uint64_t{op->offset} + op->length);
  cpu->bring_out_flags();
  const std::uint64_t flags_before = state.rflags;
  cpu->leave_block = false;
  state.rip = next_rip;
  // SAFETY: Op::immediate was made from a Handler by the one who chose this operation.
  const auto handler = std::bit_cast<x86::Handler>(op->immediate);
  const auto done = handler(state, *cpu->port, *op->insn);
  cpu->take_in_flags();
  if (!done) [[unlikely]] {
    state.rip = block_rip;
    cpu->raise(done.error());
    VIREO_TAIL leave_before(op, cpu);
  }
  if (needs_attention(*cpu, flags_before)) {
    cpu->counters.instructions -= op->remaining - 1u;
    return;
  }
  if (state.rip == next_rip) {
    state.rip = block_rip;
    VIREO_TAIL op[1].run(op + 1, cpu);
  }
  // It branched, or is to be repeated.
  cpu->counters.instructions -= op->remaining - 1u;
  const Op* next = cpu->find_block(cpu);
  if (next == nullptr) return;
  VIREO_TAIL next->run(next, cpu);
}

void op_raise(const Op* op, Cpu* cpu) {
  cpu->raise({static_cast<x86::Vector>(op->immediate)});
  VIREO_TAIL leave_before(op, cpu);
}

namespace {

/// The operand of a stub where it can be used in place; null with `fault` unset if the slow path
/// has to bring it.
bool stub_in_place(const Op* op, Cpu* cpu, const HostStub& stub) {
  std::uint64_t linear;
  const bool write = stub.memory_use != MemoryUse::kRead;
  if (op->insn->memory.vsib || !cpu->state.code64()) return false;
  if (!general_address(op, cpu, write, linear)) return false;
  if ((linear & (stub.alignment - 1u)) != 0) return false;
  std::byte* memory = cpu->mmu->direct(LinearAddr{linear}, stub.memory_size, write);
  if (memory == nullptr) return false;
  stub.code(&cpu->state, memory);
  return true;
}

/// Runs a stub that cannot fault without leaving the block's conventions. False: not done.
bool stub_fast(const Op* op, Cpu* cpu, const HostStub& stub) {
  if (!runs_directly(stub, cpu->state)) return false;
  if (!check_enabled(cpu->state, stub.unit, *op->insn)) return false;
  if (stub.memory_use == MemoryUse::kNone) {
    stub.code(&cpu->state, nullptr);
    return true;
  }
  return stub_in_place(op, cpu, stub);
}

}  // namespace

void op_host_stub(const Op* op, Cpu* cpu) {
  // SAFETY: Op::immediate was made from a HostStub that lives as long as the vCPU.
  const auto& stub = *reinterpret_cast<const HostStub*>(op->immediate);
  x86::CpuState& state = cpu->state;
  cpu->bring_out_flags();
  if (!stub_fast(op, cpu, stub)) {
    const std::uint64_t block_rip = state.rip;
    cpu->leave_block = false;
    state.rip = rip_at(cpu, std::uint64_t{op->offset} + op->length);
    const auto done = execute_stub(stub, state, *cpu->port, *op->insn);
    state.rip = block_rip;
    if (!done) {
      cpu->raise(done.error());
      VIREO_TAIL leave_before(op, cpu);
    }
  }
  cpu->take_in_flags();
  VIREO_TAIL op[1].run(op + 1, cpu);
}

}  // namespace vireo::engine::interpreter
