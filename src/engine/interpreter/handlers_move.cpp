#include <type_traits>
#include <utility>

#include "engine/interpreter/handlers.h"

namespace vireo::engine::interpreter {
namespace {

template <class T>
void op_mov_rr(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst, reg<T>(cpu, op->src));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_mov_ri(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst, static_cast<T>(op->immediate));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, Ea kEa>
void op_mov_rm(const Op* op, Cpu* cpu) {
  T data;
  if (!load_operand<T, kEa>(op, cpu, data)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  write_reg<T>(cpu, op->dst, data);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, Ea kEa>
void op_mov_mr(const Op* op, Cpu* cpu) {
  std::uint64_t linear;
  if (!address<kEa>(op, cpu, true, linear) ||
      !store<T>(cpu, linear, reg<T>(cpu, op->src), op->segment)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, Ea kEa>
void op_mov_mi(const Op* op, Cpu* cpu) {
  std::uint64_t linear;
  if (!address<kEa>(op, cpu, true, linear) ||
      !store<T>(cpu, linear, static_cast<T>(op->immediate), op->segment)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

/// MOVZX, MOVSX and MOVSXD: a source of type S (signed to extend the sign) in a register of type T.
template <class T, class S>
void op_extend_r(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst,
               static_cast<T>(static_cast<S>(reg<std::make_unsigned_t<S>>(cpu, op->src))));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, class S, Ea kEa>
void op_extend_m(const Op* op, Cpu* cpu) {
  std::make_unsigned_t<S> data;
  if (!load_operand<std::make_unsigned_t<S>, kEa>(op, cpu, data)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  write_reg<T>(cpu, op->dst, static_cast<T>(static_cast<S>(data)));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_lea(const Op* op, Cpu* cpu) {
  std::uint64_t offset = offset_of(op, cpu);
  if (op->address_width == 4) offset &= 0xffffffff;
  if (op->address_width == 2) offset &= 0xffff;
  write_reg<T>(cpu, op->dst, static_cast<T>(offset));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_xchg_rr(const Op* op, Cpu* cpu) {
  const T dst = reg<T>(cpu, op->dst), src = reg<T>(cpu, op->src);
  write_reg<T>(cpu, op->dst, src);
  write_reg<T>(cpu, op->src, dst);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

/// CBW, CWDE, CDQE (T is the wider) and CWD, CDQ, CQO.
template <class T, class S>
void op_extend_accumulator(const Op* op, Cpu* cpu) {
  constexpr std::uint16_t kAccumulator = offsetof(Cpu, state);
  write_reg<T>(cpu, kAccumulator,
               static_cast<T>(static_cast<S>(reg<std::make_unsigned_t<S>>(cpu, kAccumulator))));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_extend_into_rdx(const Op* op, Cpu* cpu) {
  constexpr std::uint16_t kAccumulator = offsetof(Cpu, state);
  const bool negative = static_cast<std::make_signed_t<T>>(reg<T>(cpu, kAccumulator)) < 0;
  write_reg<T>(cpu, kAccumulator + 8 * x86::kRdx, negative ? static_cast<T>(~T{0}) : T{0});
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_bswap(const Op* op, Cpu* cpu) {
  const T data = reg<T>(cpu, op->dst);
  if constexpr (sizeof(T) == 8)
    write_reg<T>(cpu, op->dst, __builtin_bswap64(data));
  else
    write_reg<T>(cpu, op->dst, __builtin_bswap32(data));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, unsigned cc>
void op_cmov_r(const Op* op, Cpu* cpu) {
  // A false condition still clears the upper half of a 32-bit destination.
  const T data = x86::condition<cc>(cpu->flags) ? reg<T>(cpu, op->src) : reg<T>(cpu, op->dst);
  write_reg<T>(cpu, op->dst, data);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, unsigned cc>
void op_cmov_m(const Op* op, Cpu* cpu) {
  T data;
  if (!load_operand<T, Ea::kGeneral>(op, cpu, data)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  if (!x86::condition<cc>(cpu->flags)) data = reg<T>(cpu, op->dst);
  write_reg<T>(cpu, op->dst, data);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <unsigned cc>
void op_setcc_r(const Op* op, Cpu* cpu) {
  reg<std::uint8_t>(cpu, op->dst) = x86::condition<cc>(cpu->flags) ? 1 : 0;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <unsigned cc>
void op_setcc_m(const Op* op, Cpu* cpu) {
  std::uint64_t linear;
  const std::uint8_t data = x86::condition<cc>(cpu->flags) ? 1 : 0;
  if (!address<Ea::kGeneral>(op, cpu, true, linear) || !store(cpu, linear, data, op->segment))
      [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <template <unsigned> class Pick, unsigned... cc>
OpHandler by_condition(unsigned condition, bool memory, unsigned width,
                       std::integer_sequence<unsigned, cc...>) {
  OpHandler result = nullptr;
  ((condition == cc ? void(result = Pick<cc>::pick(memory, width)) : void()), ...);
  return result;
}

template <unsigned cc>
struct PickCmov {
  static OpHandler pick(bool memory, unsigned width) {
    return by_width(width, [&]<class T>() -> OpHandler {
      if constexpr (sizeof(T) == 1)
        return nullptr;
      else
        return memory ? op_cmov_m<T, cc> : op_cmov_r<T, cc>;
    });
  }
};

template <unsigned cc>
struct PickSetcc {
  static OpHandler pick(bool memory, unsigned) { return memory ? op_setcc_m<cc> : op_setcc_r<cc>; }
};

OpHandler mov_handler(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    switch (shape.form) {
      case Form::kRegReg:
        return op_mov_rr<T>;
      case Form::kRegImm:
        return op_mov_ri<T>;
      case Form::kRegMem:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_mov_rm<T, kEa>; });
      case Form::kMemReg:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_mov_mr<T, kEa>; });
      case Form::kMemImm:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_mov_mi<T, kEa>; });
      default:
        return nullptr;
    }
  });
}

template <class T, class S>
OpHandler extend(const Shape& shape) {
  if (shape.form == Form::kRegReg) return op_extend_r<T, S>;
  return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_extend_m<T, S, kEa>; });
}

template <class S>
OpHandler extend_to_width(const Shape& shape) {
  switch (shape.width) {
    case 2:
      return extend<std::uint16_t, S>(shape);
    case 4:
      return extend<std::uint32_t, S>(shape);
    default:
      return extend<std::uint64_t, S>(shape);
  }
}

OpHandler extension_handler(const Shape& shape, bool sign) {
  switch (shape.source_width) {
    case 1:
      return sign ? extend_to_width<std::int8_t>(shape) : extend_to_width<std::uint8_t>(shape);
    case 2:
      return sign ? extend_to_width<std::int16_t>(shape) : extend_to_width<std::uint16_t>(shape);
    case 4:
      return extend_to_width<std::int32_t>(shape);
    default:
      return nullptr;
  }
}

/// The condition of a Jcc, SETcc or CMOVcc that Zydis names; 16 if it is none.
struct ConditionName {
  x86::Mnemonic set, cmov;
};
constexpr ConditionName kConditions[16] = {
    {ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_CMOVO},   {ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_CMOVNO},
    {ZYDIS_MNEMONIC_SETB, ZYDIS_MNEMONIC_CMOVB},   {ZYDIS_MNEMONIC_SETNB, ZYDIS_MNEMONIC_CMOVNB},
    {ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_CMOVZ},   {ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_CMOVNZ},
    {ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_CMOVBE}, {ZYDIS_MNEMONIC_SETNBE, ZYDIS_MNEMONIC_CMOVNBE},
    {ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_CMOVS},   {ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_CMOVNS},
    {ZYDIS_MNEMONIC_SETP, ZYDIS_MNEMONIC_CMOVP},   {ZYDIS_MNEMONIC_SETNP, ZYDIS_MNEMONIC_CMOVNP},
    {ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_CMOVL},   {ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_CMOVNL},
    {ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_CMOVLE}, {ZYDIS_MNEMONIC_SETNLE, ZYDIS_MNEMONIC_CMOVNLE},
};

OpHandler conditional_handler(const Shape& shape) {
  const bool memory = shape.form == Form::kMem || shape.form == Form::kRegMem;
  constexpr auto kAll = std::make_integer_sequence<unsigned, 16>();
  for (unsigned cc = 0; cc < 16; ++cc) {
    if (shape.mnemonic == kConditions[cc].set) return by_condition<PickSetcc>(cc, memory, 1, kAll);
    if (shape.mnemonic == kConditions[cc].cmov)
      return by_condition<PickCmov>(cc, memory, shape.width, kAll);
  }
  return nullptr;
}

}  // namespace

OpHandler move_handler(const Shape& shape) {
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
      return mov_handler(shape);
    case ZYDIS_MNEMONIC_MOVZX:
      return extension_handler(shape, false);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
      // MOVSXD without REX.W moves without extending.
      if (shape.width == shape.source_width) {
        Shape plain = shape;
        plain.mnemonic = ZYDIS_MNEMONIC_MOV;
        return mov_handler(plain);
      }
      return shape.width < shape.source_width ? nullptr : extension_handler(shape, true);
    case ZYDIS_MNEMONIC_LEA:
      return by_width(shape.width, []<class T>() -> OpHandler {
        if constexpr (sizeof(T) == 1)
          return nullptr;
        else
          return op_lea<T>;
      });
    case ZYDIS_MNEMONIC_XCHG:
      if (shape.form != Form::kRegReg) return nullptr;
      return by_width(shape.width, []<class T>() -> OpHandler { return op_xchg_rr<T>; });
    case ZYDIS_MNEMONIC_CBW:
      return op_extend_accumulator<std::uint16_t, std::int8_t>;
    case ZYDIS_MNEMONIC_CWDE:
      return op_extend_accumulator<std::uint32_t, std::int16_t>;
    case ZYDIS_MNEMONIC_CDQE:
      return op_extend_accumulator<std::uint64_t, std::int32_t>;
    case ZYDIS_MNEMONIC_CWD:
      return op_extend_into_rdx<std::uint16_t>;
    case ZYDIS_MNEMONIC_CDQ:
      return op_extend_into_rdx<std::uint32_t>;
    case ZYDIS_MNEMONIC_CQO:
      return op_extend_into_rdx<std::uint64_t>;
    case ZYDIS_MNEMONIC_BSWAP:
      if (shape.width == 4) return op_bswap<std::uint32_t>;
      return shape.width == 8 ? op_bswap<std::uint64_t> : nullptr;
    default:
      return conditional_handler(shape);
  }
}

}  // namespace vireo::engine::interpreter
