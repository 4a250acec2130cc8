#include "engine/interpreter/handlers.h"
#include "x86/semantics/alu.h"

namespace vireo::engine::interpreter {
namespace {

template <class O, class T>
void op_rr(const Op* op, Cpu* cpu) {
  const T result = O::apply(reg<T>(cpu, op->dst), reg<T>(cpu, op->src), cpu->flags);
  if constexpr (O::kWrites) write_reg<T>(cpu, op->dst, result);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T>
void op_ri(const Op* op, Cpu* cpu) {
  const T result = O::apply(reg<T>(cpu, op->dst), static_cast<T>(op->immediate), cpu->flags);
  if constexpr (O::kWrites) write_reg<T>(cpu, op->dst, result);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T, Ea kEa>
void op_rm(const Op* op, Cpu* cpu) {
  T source;
  if (!load_operand<T, kEa>(op, cpu, source)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  const T result = O::apply(reg<T>(cpu, op->dst), source, cpu->flags);
  if constexpr (O::kWrites) write_reg<T>(cpu, op->dst, result);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

/// The shape of every read-modify-write: the flags are committed last.
template <class T, Ea kEa, bool kWrites, class Apply>
[[gnu::always_inline]] inline bool modify(const Op* op, Cpu* cpu, Apply apply) {
  std::uint64_t linear;
  if (!address<kEa>(op, cpu, kWrites, linear)) return false;
  x86::HostFlags flags = cpu->flags;
  if constexpr (kWrites) {
    const auto compute = [&](T data) { return apply(data, flags); };
    if (!update<T>(cpu, linear, op->segment, compute)) return false;
  } else {
    T data;
    if (!load<T>(cpu, linear, data, op->segment)) return false;
    apply(data, flags);
  }
  cpu->flags = flags;
  return true;
}

template <class O, class T, Ea kEa>
void op_mr(const Op* op, Cpu* cpu) {
  const T source = reg<T>(cpu, op->src);
  if (!modify<T, kEa, O::kWrites>(op, cpu, [source](T data, x86::HostFlags& flags) {
        return O::apply(data, source, flags);
      })) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T, Ea kEa>
void op_mi(const Op* op, Cpu* cpu) {
  const T source = static_cast<T>(op->immediate);
  if (!modify<T, kEa, O::kWrites>(op, cpu, [source](T data, x86::HostFlags& flags) {
        return O::apply(data, source, flags);
      })) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T>
void op_unary_r(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst, O::apply(reg<T>(cpu, op->dst), cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T, Ea kEa>
void op_unary_m(const Op* op, Cpu* cpu) {
  if (!modify<T, kEa, true>(op, cpu, [](T data, x86::HostFlags& flags) {
        return O::apply(data, flags);
      })) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O>
OpHandler binary(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    switch (shape.form) {
      case Form::kRegReg:
        return op_rr<O, T>;
      case Form::kRegImm:
        return op_ri<O, T>;
      case Form::kRegMem:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_rm<O, T, kEa>; });
      case Form::kMemReg:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_mr<O, T, kEa>; });
      case Form::kMemImm:
        return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_mi<O, T, kEa>; });
      default:
        return nullptr;
    }
  });
}

template <class O>
OpHandler unary(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    if (shape.form == Form::kReg) return op_unary_r<O, T>;
    return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_unary_m<O, T, kEa>; });
  });
}

}  // namespace

OpHandler alu_handler(const Shape& shape) {
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
      return binary<x86::Add>(shape);
    case ZYDIS_MNEMONIC_OR:
      return binary<x86::Or>(shape);
    case ZYDIS_MNEMONIC_ADC:
      return binary<x86::Adc>(shape);
    case ZYDIS_MNEMONIC_SBB:
      return binary<x86::Sbb>(shape);
    case ZYDIS_MNEMONIC_AND:
      return binary<x86::And>(shape);
    case ZYDIS_MNEMONIC_SUB:
      return binary<x86::Sub>(shape);
    case ZYDIS_MNEMONIC_XOR:
      return binary<x86::Xor>(shape);
    case ZYDIS_MNEMONIC_CMP:
      return binary<x86::Cmp>(shape);
    case ZYDIS_MNEMONIC_TEST:
      return binary<x86::Test>(shape);
    case ZYDIS_MNEMONIC_INC:
      return unary<x86::Inc>(shape);
    case ZYDIS_MNEMONIC_DEC:
      return unary<x86::Dec>(shape);
    case ZYDIS_MNEMONIC_NEG:
      return unary<x86::Neg>(shape);
    case ZYDIS_MNEMONIC_NOT:
      return unary<x86::Not>(shape);
    default:
      return nullptr;
  }
}

}  // namespace vireo::engine::interpreter
