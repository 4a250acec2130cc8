#include "x86/semantics/host_flags.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

/// Near branches are 64 bits wide in 64-bit code, whatever the prefix says.
unsigned branch_width(const Insn& insn) {
  return insn.code_size == CodeSize::k64 ? 8 : insn.operand_width;
}

OrFault<> take(CpuState& state, const Insn& insn) {
  return branch_to(state, state.rip + insn.immediate, branch_width(insn));
}

OrFault<> jump(CpuState& state, CpuPort& port, const Insn& insn) {
  if (insn.operands[0].kind == OperandKind::kRelative) return take(state, insn);
  return branch_to(state, TRY(read_operand(state, port, insn, 0)), branch_width(insn));
}

OrFault<> jump_if(CpuState& state, CpuPort&, const Insn& insn) {
  if (!condition(insn.opcode & 0xf, to_host_flags(state.rflags))) return Unit{};
  return take(state, insn);
}

OrFault<> call(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t return_to = state.rip;
  const std::uint64_t target = insn.operands[0].kind == OperandKind::kRelative
                                   ? state.rip + insn.immediate
                                   : TRY(read_operand(state, port, insn, 0));
  const std::uint64_t rsp = state.gpr[kRsp];
  TRY(branch_to(state, target, branch_width(insn)));
  const auto pushed = push(state, port, return_to, branch_width(insn));
  if (!pushed) state.gpr[kRsp] = rsp;
  return pushed;
}

OrFault<> ret(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  const std::uint64_t target = TRY(pop(state, port, branch_width(insn)));
  if (const auto done = branch_to(state, target, branch_width(insn)); !done) {
    state.gpr[kRsp] = rsp;
    return done;
  }
  if (insn.operand_count == 1) {
    const auto stack = static_cast<std::uint16_t>(stack_address_width(state));
    write_gpr(state, {OperandKind::kGpr, kRsp, stack}, state.gpr[kRsp] + (insn.immediate & 0xffff));
  }
  return Unit{};
}

Operand counter(const Insn& insn) { return {OperandKind::kGpr, kRcx, insn.address_width}; }

OrFault<> jump_if_counter_zero(CpuState& state, CpuPort&, const Insn& insn) {
  return read_gpr(state, counter(insn)) == 0 ? take(state, insn) : OrFault<>{Unit{}};
}

enum class LoopWhile : std::uint8_t { kAlways, kZero, kNotZero };

template <LoopWhile kWhile>
OrFault<> loop(CpuState& state, CpuPort&, const Insn& insn) {
  const std::uint64_t count = (read_gpr(state, counter(insn)) - 1) & width_mask(insn.address_width);
  const bool zero = (state.rflags & rflags::kZf) != 0;
  const bool goes_on =
      count != 0 && (kWhile == LoopWhile::kAlways || zero == (kWhile == LoopWhile::kZero));
  if (goes_on) TRY(take(state, insn));
  write_gpr(state, counter(insn), count);
  return Unit{};
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_JMP, jump},
    {ZYDIS_MNEMONIC_JO, jump_if},
    {ZYDIS_MNEMONIC_JNO, jump_if},
    {ZYDIS_MNEMONIC_JB, jump_if},
    {ZYDIS_MNEMONIC_JNB, jump_if},
    {ZYDIS_MNEMONIC_JZ, jump_if},
    {ZYDIS_MNEMONIC_JNZ, jump_if},
    {ZYDIS_MNEMONIC_JBE, jump_if},
    {ZYDIS_MNEMONIC_JNBE, jump_if},
    {ZYDIS_MNEMONIC_JS, jump_if},
    {ZYDIS_MNEMONIC_JNS, jump_if},
    {ZYDIS_MNEMONIC_JP, jump_if},
    {ZYDIS_MNEMONIC_JNP, jump_if},
    {ZYDIS_MNEMONIC_JL, jump_if},
    {ZYDIS_MNEMONIC_JNL, jump_if},
    {ZYDIS_MNEMONIC_JLE, jump_if},
    {ZYDIS_MNEMONIC_JNLE, jump_if},
    {ZYDIS_MNEMONIC_CALL, call},
    {ZYDIS_MNEMONIC_RET, ret},
    {ZYDIS_MNEMONIC_JCXZ, jump_if_counter_zero},
    {ZYDIS_MNEMONIC_JECXZ, jump_if_counter_zero},
    {ZYDIS_MNEMONIC_JRCXZ, jump_if_counter_zero},
    {ZYDIS_MNEMONIC_LOOP, loop<LoopWhile::kAlways>},
    {ZYDIS_MNEMONIC_LOOPE, loop<LoopWhile::kZero>},
    {ZYDIS_MNEMONIC_LOOPNE, loop<LoopWhile::kNotZero>},
};

}  // namespace

std::span<const HandlerRow> branch_handlers() { return kRows; }

}  // namespace vireo::x86
