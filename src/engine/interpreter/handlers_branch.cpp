#include <utility>

#include "engine/interpreter/handlers.h"
#include "x86/semantics/operands.h"

namespace vireo::engine::interpreter {
namespace {

constexpr std::uint16_t kRspOffset = offsetof(Cpu, state) + 8 * x86::kRsp;

/// On in the block at state.rip if it has been looked up before, else find it.
[[gnu::always_inline]] inline const Op* cached_entry(Cpu* cpu) {
  const JumpCacheEntry& entry = cpu->jump_entry(cpu->state.rip);
  return entry.rip == cpu->state.rip && entry.tag == cpu->jump_tag ? entry.entry : nullptr;
}

/// The rest of a branch whose target is fixed: RIP is already there.
[[gnu::always_inline]] inline const Op* fixed_target(const Op* op, Cpu* cpu) {
  if (op->target != nullptr) [[likely]]
    return op->target;
  if (const Op* entry = cached_entry(cpu)) return entry;
  return cpu->find_linked(op, cpu);
}

bool target_is_canonical(Cpu* cpu, std::uint64_t target);

/// Whether a relative branch may be taken; a block it is linked to was found there.
[[gnu::always_inline]] inline bool may_take(const Op* op, Cpu* cpu) {
  return op->target != nullptr || target_is_canonical(cpu, cpu->state.rip + op->immediate);
}

void op_jump(const Op* op, Cpu* cpu) {
  if (!may_take(op, cpu)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  cpu->state.rip += op->immediate;
  const Op* next = fixed_target(op, cpu);
  if (next == nullptr) [[unlikely]]
    return;
  VIREO_TAIL next->run(next, cpu);
}

/// The block goes on behind a conditional branch: leaving it takes back what op_enter counted.
template <unsigned cc>
void op_jump_if(const Op* op, Cpu* cpu) {
  if (!x86::condition<cc>(cpu->flags)) VIREO_TAIL op[1].run(op + 1, cpu);
  if (!may_take(op, cpu)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  cpu->counters.instructions -= op->remaining - 1u;
  cpu->state.rip += op->immediate;
  const Op* next = fixed_target(op, cpu);
  if (next == nullptr) [[unlikely]]
    return;
  VIREO_TAIL next->run(next, cpu);
}

/// RIP := target, which must be canonical: found in the cache it is, else it is checked.
[[gnu::always_inline]] inline const Op* computed_target(Cpu* cpu, std::uint64_t target) {
  const JumpCacheEntry& entry = cpu->jump_entry(target);
  return entry.rip == target && entry.tag == cpu->jump_tag ? entry.entry : nullptr;
}

bool target_is_canonical(Cpu* cpu, std::uint64_t target) {
  if (x86::canonical(cpu->state, target)) return true;
  cpu->raise({x86::Vector::kGP});
  return false;
}

/// A branch to `target` with RSP becoming `rsp` if it can be taken.
#define VIREO_BRANCH_TO(target, rsp)                                           \
  do {                                                                         \
    const Op* next = computed_target(cpu, target);                             \
    if (next == nullptr) [[unlikely]] {                                        \
      if (!target_is_canonical(cpu, target)) VIREO_TAIL leave_before(op, cpu); \
    }                                                                          \
    reg<std::uint64_t>(cpu, kRspOffset) = rsp;                                 \
    cpu->state.rip = target;                                                   \
    if (next == nullptr) [[unlikely]] {                                        \
      next = cpu->find_block(cpu);                                             \
      if (next == nullptr) return;                                             \
    }                                                                          \
    VIREO_TAIL next->run(next, cpu);                                           \
  } while (false)

void op_jump_r(const Op* op, Cpu* cpu) {
  const std::uint64_t target = reg<std::uint64_t>(cpu, op->dst);
  VIREO_BRANCH_TO(target, reg<std::uint64_t>(cpu, kRspOffset));
}

template <Ea kEa>
void op_jump_m(const Op* op, Cpu* cpu) {
  std::uint64_t target;
  if (!load_operand<std::uint64_t, kEa>(op, cpu, target)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_BRANCH_TO(target, reg<std::uint64_t>(cpu, kRspOffset));
}

[[gnu::always_inline]] inline bool push_return(const Op* op, Cpu* cpu, std::uint64_t rsp) {
  const std::uint64_t return_to = cpu->state.rip + op->offset + op->length;
  return store(cpu, rsp, return_to, x86::kSs);
}

void op_call(const Op* op, Cpu* cpu) {
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - 8;
  if (!may_take(op, cpu) || !push_return(op, cpu, rsp)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = rsp;
  cpu->state.rip += op->immediate;
  const Op* next = fixed_target(op, cpu);
  if (next == nullptr) [[unlikely]]
    return;
  VIREO_TAIL next->run(next, cpu);
}

void op_call_r(const Op* op, Cpu* cpu) {
  const std::uint64_t target = reg<std::uint64_t>(cpu, op->dst);
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - 8;
  if (!push_return(op, cpu, rsp)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_BRANCH_TO(target, rsp);
}

template <Ea kEa>
void op_call_m(const Op* op, Cpu* cpu) {
  std::uint64_t target;
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - 8;
  if (!load_operand<std::uint64_t, kEa>(op, cpu, target) || !push_return(op, cpu, rsp)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_BRANCH_TO(target, rsp);
}

/// Op::immediate is what RET releases besides the return address.
void op_return(const Op* op, Cpu* cpu) {
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset);
  std::uint64_t target;
  if (!load(cpu, rsp, target, x86::kSs)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_BRANCH_TO(target, rsp + 8 + op->immediate);
}

// The stack in 64-bit code.

template <class T>
void op_push_r(const Op* op, Cpu* cpu) {
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - sizeof(T);
  if (!store<T>(cpu, rsp, reg<T>(cpu, op->dst), x86::kSs)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = rsp;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

void op_push_i(const Op* op, Cpu* cpu) {
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - 8;
  if (!store(cpu, rsp, op->immediate, x86::kSs)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = rsp;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <Ea kEa>
void op_push_m(const Op* op, Cpu* cpu) {
  std::uint64_t data;
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset) - 8;
  if (!load_operand<std::uint64_t, kEa>(op, cpu, data) || !store(cpu, rsp, data, x86::kSs))
      [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = rsp;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_pop_r(const Op* op, Cpu* cpu) {
  const std::uint64_t rsp = reg<std::uint64_t>(cpu, kRspOffset);
  T data;
  if (!load(cpu, rsp, data, x86::kSs)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = rsp + sizeof(T);
  write_reg<T>(cpu, op->dst, data);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

void op_leave(const Op* op, Cpu* cpu) {
  constexpr std::uint16_t kRbpOffset = offsetof(Cpu, state) + 8 * x86::kRbp;
  const std::uint64_t frame = reg<std::uint64_t>(cpu, kRbpOffset);
  std::uint64_t data;
  if (!load(cpu, frame, data, x86::kSs)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  reg<std::uint64_t>(cpu, kRspOffset) = frame + 8;
  reg<std::uint64_t>(cpu, kRbpOffset) = data;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

constexpr x86::Mnemonic kJumps[16] = {
    ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_JB,  ZYDIS_MNEMONIC_JNB,
    ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_JNBE,
    ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_JP,  ZYDIS_MNEMONIC_JNP,
    ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_JNLE};

template <unsigned... cc>
OpHandler jump_if(unsigned condition, std::integer_sequence<unsigned, cc...>) {
  OpHandler result = nullptr;
  ((condition == cc ? void(result = op_jump_if<cc>) : void()), ...);
  return result;
}

}  // namespace

unsigned jump_condition(x86::Mnemonic mnemonic) {
  for (unsigned cc = 0; cc < 16; ++cc)
    if (kJumps[cc] == mnemonic) return cc;
  return kNoCondition;
}

void op_fall_through(const Op* op, Cpu* cpu) {
  cpu->state.rip = rip_at(cpu, op->offset);
  const Op* next = fixed_target(op, cpu);
  if (next == nullptr) [[unlikely]]
    return;
  VIREO_TAIL next->run(next, cpu);
}

OpHandler branch_handler(const Shape& shape) {
  if (!shape.code64) return nullptr;
  const bool memory = shape.form == Form::kMem && shape.width == 8;
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
      if (shape.form == Form::kRelative) return op_jump;
      if (memory) return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_jump_m<kEa>; });
      return shape.form == Form::kReg && shape.width == 8 ? op_jump_r : nullptr;
    case ZYDIS_MNEMONIC_CALL:
      if (shape.form == Form::kRelative) return op_call;
      if (memory) return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_call_m<kEa>; });
      return shape.form == Form::kReg && shape.width == 8 ? op_call_r : nullptr;
    case ZYDIS_MNEMONIC_RET:
      return op_return;
    default: {
      const unsigned cc = jump_condition(shape.mnemonic);
      if (cc == kNoCondition) return nullptr;
      return jump_if(cc, std::make_integer_sequence<unsigned, 16>());
    }
  }
}

OpHandler stack_handler(const Shape& shape) {
  if (!shape.code64) return nullptr;
  const bool memory = shape.form == Form::kMem && shape.width == 8;
  const bool wide = shape.form == Form::kReg && shape.width == 8;
  const bool word = shape.form == Form::kReg && shape.width == 2;
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
      if (memory) return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_push_m<kEa>; });
      if (shape.form == Form::kImm && shape.operand_width == 8) return op_push_i;
      return wide ? op_push_r<std::uint64_t> : word ? op_push_r<std::uint16_t> : nullptr;
    case ZYDIS_MNEMONIC_POP:
      return wide ? op_pop_r<std::uint64_t> : word ? op_pop_r<std::uint16_t> : nullptr;
    case ZYDIS_MNEMONIC_LEAVE:
      return shape.operand_width == 8 ? op_leave : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace vireo::engine::interpreter
