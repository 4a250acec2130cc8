#include "engine/interpreter/handlers.h"
#include "x86/semantics/bit.h"
#include "x86/semantics/muldiv.h"
#include "x86/semantics/shift.h"

namespace vireo::engine::interpreter {
namespace {

constexpr std::uint16_t kRaxOffset = offsetof(Cpu, state);
constexpr std::uint16_t kRcxOffset = kRaxOffset + 8 * x86::kRcx;
constexpr std::uint16_t kRdxOffset = kRaxOffset + 8 * x86::kRdx;

// Shifts and rotates of registers.

template <class O, class T>
void op_shift_ri(const Op* op, Cpu* cpu) {
  const auto count = static_cast<std::uint8_t>(op->immediate);
  write_reg<T>(cpu, op->dst, O::apply(reg<T>(cpu, op->dst), count, cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T>
void op_shift_rc(const Op* op, Cpu* cpu) {
  const std::uint8_t count = reg<std::uint8_t>(cpu, kRcxOffset);
  write_reg<T>(cpu, op->dst, O::apply(reg<T>(cpu, op->dst), count, cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O>
OpHandler shift(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    if (shape.form == Form::kRegImm) return op_shift_ri<O, T>;
    return shape.form == Form::kRegReg ? op_shift_rc<O, T> : nullptr;
  });
}

template <class O>
OpHandler rotate(const Shape& shape) {
  return shape.form == Form::kRegImm ? shift<x86::ByImmediate<O>>(shape) : shift<O>(shape);
}

// Multiplication and division by a register.

template <class O, class T>
void op_multiply_r(const Op* op, Cpu* cpu) {
  if constexpr (sizeof(T) == 1) {
    T low = reg<T>(cpu, kRaxOffset), high = 0;
    O::apply(low, high, reg<T>(cpu, op->dst), cpu->flags);
    reg<std::uint16_t>(cpu, kRaxOffset) = static_cast<std::uint16_t>(high << 8 | low);
  } else {
    T low = reg<T>(cpu, kRaxOffset), high = 0;
    O::apply(low, high, reg<T>(cpu, op->dst), cpu->flags);
    write_reg<T>(cpu, kRaxOffset, low);
    write_reg<T>(cpu, kRdxOffset, high);
  }
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T>
void op_divide_r(const Op* op, Cpu* cpu) {
  T low = reg<T>(cpu, kRaxOffset), high = reg<T>(cpu, kRdxOffset);
  if (!O::apply(low, high, reg<T>(cpu, op->dst))) [[unlikely]] {
    cpu->raise({x86::Vector::kDE});
    VIREO_TAIL leave_before(op, cpu);
  }
  write_reg<T>(cpu, kRaxOffset, low);
  write_reg<T>(cpu, kRdxOffset, high);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O>
OpHandler multiply(const Shape& shape) {
  if (shape.form != Form::kReg) return nullptr;
  return by_width(shape.width, []<class T>() -> OpHandler { return op_multiply_r<O, T>; });
}

template <class O>
OpHandler divide(const Shape& shape) {
  if (shape.form != Form::kReg) return nullptr;
  return by_width(shape.width, []<class T>() -> OpHandler {
    if constexpr (sizeof(T) == 1)
      return nullptr;
    else
      return op_divide_r<O, T>;
  });
}

template <class T>
void op_imul_rr(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst,
               x86::ImulTruncated::apply(reg<T>(cpu, op->dst), reg<T>(cpu, op->src), cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T>
void op_imul_rri(const Op* op, Cpu* cpu) {
  write_reg<T>(
      cpu, op->dst,
      x86::ImulTruncated::apply(reg<T>(cpu, op->src), static_cast<T>(op->immediate), cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class T, Ea kEa>
void op_imul_rm(const Op* op, Cpu* cpu) {
  T source;
  if (!load_operand<T, kEa>(op, cpu, source)) [[unlikely]]
    VIREO_TAIL leave_before(op, cpu);
  write_reg<T>(cpu, op->dst, x86::ImulTruncated::apply(reg<T>(cpu, op->dst), source, cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

OpHandler imul(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    if (shape.form == Form::kReg) return op_multiply_r<x86::Imul, T>;
    if constexpr (sizeof(T) == 1) {
      return nullptr;
    } else {
      if (shape.form == Form::kRegReg) return op_imul_rr<T>;
      if (shape.form == Form::kRegRegImm) return op_imul_rri<T>;
      if (shape.form != Form::kRegMem) return nullptr;
      return by_ea(shape.ea, []<Ea kEa>() -> OpHandler { return op_imul_rm<T, kEa>; });
    }
  });
}

// Bit tests and scans in registers.

template <class O, bool kWrites, class T>
void op_bit_test_ri(const Op* op, Cpu* cpu) {
  const T word = O::apply(reg<T>(cpu, op->dst), static_cast<T>(op->immediate), cpu->flags);
  if constexpr (kWrites) write_reg<T>(cpu, op->dst, word);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, bool kWrites, class T>
void op_bit_test_rr(const Op* op, Cpu* cpu) {
  const T word = O::apply(reg<T>(cpu, op->dst), reg<T>(cpu, op->src), cpu->flags);
  if constexpr (kWrites) write_reg<T>(cpu, op->dst, word);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, class T>
void op_bit_count_rr(const Op* op, Cpu* cpu) {
  write_reg<T>(cpu, op->dst, O::apply(T{0}, reg<T>(cpu, op->src), cpu->flags));
  VIREO_TAIL op[1].run(op + 1, cpu);
}

/// BSF and BSR of zero leave all 64 bits of the destination alone.
template <class O, class T>
void op_bit_scan_rr(const Op* op, Cpu* cpu) {
  const T source = reg<T>(cpu, op->src);
  const T result = O::apply(T{0}, source, cpu->flags);
  if (source != 0) write_reg<T>(cpu, op->dst, result);
  VIREO_TAIL op[1].run(op + 1, cpu);
}

template <class O, bool kWrites>
OpHandler bit_test(const Shape& shape) {
  return by_width(shape.width, [&]<class T>() -> OpHandler {
    if constexpr (sizeof(T) == 1) {
      return nullptr;
    } else {
      if (shape.form == Form::kRegImm) return op_bit_test_ri<O, kWrites, T>;
      return shape.form == Form::kRegReg ? op_bit_test_rr<O, kWrites, T> : nullptr;
    }
  });
}

template <class O, bool kScan>
OpHandler bit_search(const Shape& shape) {
  if (shape.form != Form::kRegReg) return nullptr;
  return by_width(shape.width, []<class T>() -> OpHandler {
    if constexpr (sizeof(T) == 1)
      return nullptr;
    else if constexpr (kScan)
      return op_bit_scan_rr<O, T>;
    else
      return op_bit_count_rr<O, T>;
  });
}

}  // namespace

OpHandler shift_handler(const Shape& shape) {
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_ROL:
      return rotate<x86::Rol>(shape);
    case ZYDIS_MNEMONIC_ROR:
      return rotate<x86::Ror>(shape);
    case ZYDIS_MNEMONIC_RCL:
      return shift<x86::Rcl>(shape);
    case ZYDIS_MNEMONIC_RCR:
      return shift<x86::Rcr>(shape);
    case ZYDIS_MNEMONIC_SHL:
      return shift<x86::Shl>(shape);
    case ZYDIS_MNEMONIC_SHR:
      return shift<x86::Shr>(shape);
    case ZYDIS_MNEMONIC_SAR:
      return shift<x86::Sar>(shape);
    default:
      return nullptr;
  }
}

OpHandler multiply_handler(const Shape& shape) {
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_MUL:
      return multiply<x86::Mul>(shape);
    case ZYDIS_MNEMONIC_IMUL:
      return imul(shape);
    case ZYDIS_MNEMONIC_DIV:
      return divide<x86::Div>(shape);
    case ZYDIS_MNEMONIC_IDIV:
      return divide<x86::Idiv>(shape);
    default:
      return nullptr;
  }
}

OpHandler bit_handler(const Shape& shape) {
  switch (shape.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
      return bit_test<x86::Bt, false>(shape);
    case ZYDIS_MNEMONIC_BTS:
      return bit_test<x86::Bts, true>(shape);
    case ZYDIS_MNEMONIC_BTR:
      return bit_test<x86::Btr, true>(shape);
    case ZYDIS_MNEMONIC_BTC:
      return bit_test<x86::Btc, true>(shape);
    case ZYDIS_MNEMONIC_BSF:
      return bit_search<x86::Bsf, true>(shape);
    case ZYDIS_MNEMONIC_BSR:
      return bit_search<x86::Bsr, true>(shape);
    case ZYDIS_MNEMONIC_TZCNT:
      return bit_search<x86::Tzcnt, false>(shape);
    case ZYDIS_MNEMONIC_LZCNT:
      return bit_search<x86::Lzcnt, false>(shape);
    case ZYDIS_MNEMONIC_POPCNT:
      return bit_search<x86::Popcnt, false>(shape);
    default:
      return nullptr;
  }
}

}  // namespace vireo::engine::interpreter
