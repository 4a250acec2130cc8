#include "x86/semantics/integer.h"

#include "x86/semantics/alu.h"
#include "x86/semantics/muldiv.h"
#include "x86/semantics/shift.h"
#include "x86/semantics/update.h"

namespace vireo::x86 {
namespace {

template <class Op>
OrFault<> binary(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    const T source = static_cast<T>(TRY(read_operand(state, port, insn, 1)));
    if constexpr (Op::kWrites) {
      return update_operand<T>(state, port, insn, 0, [source](T old, HostFlags& flags) {
        return Op::apply(old, source, flags);
      });
    } else {
      HostFlags flags;
      Op::apply(static_cast<T>(TRY(read_operand(state, port, insn, 0))), source, flags);
      state.rflags = merge_flags(state.rflags, flags);
      return Unit{};
    }
  });
}

template <class Op>
OrFault<> unary(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    return update_operand<T>(state, port, insn, 0,
                             [](T old, HostFlags& flags) { return Op::apply(old, flags); });
  });
}

template <class Op>
OrFault<> shift(CpuState& state, CpuPort& port, const Insn& insn) {
  const auto count = static_cast<std::uint8_t>(TRY(read_operand(state, port, insn, 1)));
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    return update_operand<T>(state, port, insn, 0, [count](T old, HostFlags& flags) {
      return Op::apply(old, count, flags);
    });
  });
}

template <class Op>
OrFault<> rotate(CpuState& state, CpuPort& port, const Insn& insn) {
  const bool by_immediate = insn.operands[1].kind == OperandKind::kImmediate;
  if (by_immediate && insn.operands[0].kind != OperandKind::kMemory)
    return shift<ByImmediate<Op>>(state, port, insn);
  return shift<Op>(state, port, insn);
}

template <class Op>
OrFault<> double_shift(CpuState& state, CpuPort& port, const Insn& insn) {
  const auto count = static_cast<std::uint8_t>(TRY(read_operand(state, port, insn, 2)));
  const std::uint64_t source = TRY(read_operand(state, port, insn, 1));
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    if constexpr (sizeof(T) == 1)
      return undefined_opcode();
    else
      return update_operand<T>(state, port, insn, 0, [&](T old, HostFlags& flags) {
        return Op::apply(old, static_cast<T>(source), count, flags);
      });
  });
}

/// The accumulator pair of a multiplication or division: AL and AH for bytes.
template <class T>
struct Pair {
  T low, high;

  static Pair of(const CpuState& state) {
    if constexpr (sizeof(T) == 1)
      return {static_cast<T>(state.gpr[kRax]), static_cast<T>(state.gpr[kRax] >> 8)};
    else
      return {static_cast<T>(state.gpr[kRax]), static_cast<T>(state.gpr[kRdx])};
  }
  void put(CpuState& state) const {
    constexpr auto kWidth = static_cast<std::uint16_t>(sizeof(T));
    if constexpr (sizeof(T) == 1) {
      write_gpr(state, {OperandKind::kGpr, kRax, 2}, static_cast<std::uint64_t>(high) << 8 | low);
    } else {
      write_gpr(state, {OperandKind::kGpr, kRax, kWidth}, low);
      write_gpr(state, {OperandKind::kGpr, kRdx, kWidth}, high);
    }
  }
};

template <class Op>
OrFault<> multiply(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    const T factor = static_cast<T>(TRY(read_operand(state, port, insn, 0)));
    auto pair = Pair<T>::of(state);
    HostFlags flags;
    Op::apply(pair.low, pair.high, factor, flags);
    pair.put(state);
    state.rflags = merge_flags(state.rflags, flags);
    return Unit{};
  });
}

OrFault<> imul(CpuState& state, CpuPort& port, const Insn& insn) {
  if (insn.operand_count == 1) return multiply<Imul>(state, port, insn);
  const bool three = insn.operand_count == 3;
  const std::uint64_t a = TRY(read_operand(state, port, insn, three ? 1 : 0));
  const std::uint64_t b = TRY(read_operand(state, port, insn, three ? 2 : 1));
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    if constexpr (sizeof(T) == 1) {
      return undefined_opcode();
    } else {
      HostFlags flags;
      write_gpr(state, insn.operands[0],
                ImulTruncated::apply(static_cast<T>(a), static_cast<T>(b), flags));
      state.rflags = merge_flags(state.rflags, flags);
      return Unit{};
    }
  });
}

template <class Op>
OrFault<> divide(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    const T divisor = static_cast<T>(TRY(read_operand(state, port, insn, 0)));
    auto pair = Pair<T>::of(state);
    if (!Op::apply(pair.low, pair.high, divisor)) return fault(Vector::kDE);
    pair.put(state);
    return Unit{};
  });
}

/// XCHG with memory is locked whether it says so or not. SDM vol. 2D, XCHG.
OrFault<> exchange(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned memory = insn.operands[0].kind == OperandKind::kMemory ? 0 : 1;
  const Operand& other = insn.operands[1 - memory];
  if (insn.operands[memory].kind != OperandKind::kMemory) {
    const std::uint64_t a = read_gpr(state, insn.operands[0]);
    const std::uint64_t b = read_gpr(state, insn.operands[1]);
    write_gpr(state, insn.operands[0], b);
    write_gpr(state, insn.operands[1], a);
    return Unit{};
  }
  return with_width(other.width, [&]<class T>() -> OrFault<> {
    const T fresh = static_cast<T>(read_gpr(state, other));
    T was = 0;
    const auto address = TRY(memory_address(state, insn, sizeof(T), Use::kWrite));
    TRY(update_memory<T>(port, address, true, [&](T old) {
      was = old;
      return fresh;
    }));
    write_gpr(state, other, was);
    return Unit{};
  });
}

OrFault<> exchange_and_add(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    const T addend = static_cast<T>(read_gpr(state, insn.operands[1]));
    T was = 0;
    // A register exchanged with itself ends as the sum: the destination is written last.
    if (insn.operands[0].kind != OperandKind::kMemory) {
      HostFlags flags;
      was = static_cast<T>(read_gpr(state, insn.operands[0]));
      const T sum = Add::apply(was, addend, flags);
      write_gpr(state, insn.operands[1], was);
      write_gpr(state, insn.operands[0], sum);
      state.rflags = merge_flags(state.rflags, flags);
      return Unit{};
    }
    TRY(update_operand<T>(state, port, insn, 0, [&](T old, HostFlags& flags) {
      was = old;
      return Add::apply(old, addend, flags);
    }));
    write_gpr(state, insn.operands[1], was);
    return Unit{};
  });
}

/// A destination in memory is written in either case, with its own value if the comparison fails.
/// Of a register and the accumulator only the one that changes is written: the other keeps even the
/// upper half that a 32-bit write would clear.
OrFault<> compare_and_exchange(CpuState& state, CpuPort& port, const Insn& insn) {
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    const Operand accumulator{OperandKind::kGpr, kRax, static_cast<std::uint16_t>(sizeof(T))};
    const T expected = static_cast<T>(read_gpr(state, accumulator));
    const T fresh = static_cast<T>(read_gpr(state, insn.operands[1]));
    HostFlags flags;
    T was = 0;
    if (insn.operands[0].kind == OperandKind::kMemory) {
      const auto address = TRY(memory_address(state, insn, sizeof(T), Use::kWrite));
      TRY(update_memory<T>(port, address, insn.lock, [&](T old) {
        was = old;
        return old == expected ? fresh : old;
      }));
    } else {
      was = static_cast<T>(read_gpr(state, insn.operands[0]));
      if (was == expected) write_gpr(state, insn.operands[0], fresh);
    }
    Cmp::apply(expected, was, flags);
    state.rflags = merge_flags(state.rflags, flags);
    if (was != expected) write_gpr(state, accumulator, was);
    return Unit{};
  });
}

/// CMPXCHG8B and CMPXCHG16B. SDM vol. 2A.
template <class T>
OrFault<> compare_and_exchange_pair(CpuState& state, CpuPort& port, const Insn& insn) {
  struct Two {
    T low, high;
  };
  const auto address = TRY(memory_address(state, insn, sizeof(Two), Use::kWrite));
  if (sizeof(T) == 8 && (value(address) & 15) != 0) return general_protection();
  const Two expected{static_cast<T>(state.gpr[kRax]), static_cast<T>(state.gpr[kRdx])};
  const Two fresh{static_cast<T>(state.gpr[kRbx]), static_cast<T>(state.gpr[kRcx])};
  Two seen = expected;
  const bool equal =
      TRY(port.compare_exchange(address, std::as_writable_bytes(std::span(&seen, 1)),
                                std::as_bytes(std::span(&fresh, 1)), Privilege::kCurrent));
  if (!equal) {
    constexpr auto kWidth = static_cast<std::uint16_t>(sizeof(T));
    write_gpr(state, {OperandKind::kGpr, kRax, kWidth}, seen.low);
    write_gpr(state, {OperandKind::kGpr, kRdx, kWidth}, seen.high);
  }
  state.rflags = equal ? state.rflags | rflags::kZf : state.rflags & ~rflags::kZf;
  return Unit{};
}

OrFault<> move(CpuState& state, CpuPort& port, const Insn& insn) {
  return write_operand(state, port, insn, 0, TRY(read_operand(state, port, insn, 1)));
}

OrFault<> move_sign_extended(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t data = TRY(read_operand(state, port, insn, 1));
  const unsigned shift_by = 64 - insn.operands[1].width * 8u;
  const auto extended = static_cast<std::int64_t>(data << shift_by) >> shift_by;
  write_gpr(state, insn.operands[0], static_cast<std::uint64_t>(extended));
  return Unit{};
}

OrFault<> move_byte_swapped(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t data = TRY(read_operand(state, port, insn, 1));
  const std::uint64_t swapped = __builtin_bswap64(data) >> (64 - insn.operands[0].width * 8u);
  return write_operand(state, port, insn, 0, swapped);
}

/// With a 16-bit operand the result is undefined; silicon clears the word.
OrFault<> byte_swap(CpuState& state, CpuPort&, const Insn& insn) {
  const std::uint64_t data = read_gpr(state, insn.operands[0]);
  const unsigned width = insn.operands[0].width;
  const std::uint64_t swapped = width == 2 ? 0 : __builtin_bswap64(data) >> (64 - width * 8u);
  write_gpr(state, insn.operands[0], swapped);
  return Unit{};
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_ADD, binary<Add>},
    {ZYDIS_MNEMONIC_OR, binary<Or>},
    {ZYDIS_MNEMONIC_ADC, binary<Adc>},
    {ZYDIS_MNEMONIC_SBB, binary<Sbb>},
    {ZYDIS_MNEMONIC_AND, binary<And>},
    {ZYDIS_MNEMONIC_SUB, binary<Sub>},
    {ZYDIS_MNEMONIC_XOR, binary<Xor>},
    {ZYDIS_MNEMONIC_CMP, binary<Cmp>},
    {ZYDIS_MNEMONIC_TEST, binary<Test>},
    {ZYDIS_MNEMONIC_INC, unary<Inc>},
    {ZYDIS_MNEMONIC_DEC, unary<Dec>},
    {ZYDIS_MNEMONIC_NEG, unary<Neg>},
    {ZYDIS_MNEMONIC_NOT, unary<Not>},
    {ZYDIS_MNEMONIC_ROL, rotate<Rol>},
    {ZYDIS_MNEMONIC_ROR, rotate<Ror>},
    {ZYDIS_MNEMONIC_RCL, shift<Rcl>},
    {ZYDIS_MNEMONIC_RCR, shift<Rcr>},
    {ZYDIS_MNEMONIC_SHL, shift<Shl>},
    {ZYDIS_MNEMONIC_SHR, shift<Shr>},
    {ZYDIS_MNEMONIC_SAR, shift<Sar>},
    {ZYDIS_MNEMONIC_SHLD, double_shift<Shld>},
    {ZYDIS_MNEMONIC_SHRD, double_shift<Shrd>},
    {ZYDIS_MNEMONIC_MUL, multiply<Mul>},
    {ZYDIS_MNEMONIC_IMUL, imul},
    {ZYDIS_MNEMONIC_DIV, divide<Div>},
    {ZYDIS_MNEMONIC_IDIV, divide<Idiv>},
    {ZYDIS_MNEMONIC_XCHG, exchange},
    {ZYDIS_MNEMONIC_XADD, exchange_and_add},
    {ZYDIS_MNEMONIC_CMPXCHG, compare_and_exchange},
    {ZYDIS_MNEMONIC_CMPXCHG8B, compare_and_exchange_pair<std::uint32_t>},
    {ZYDIS_MNEMONIC_CMPXCHG16B, compare_and_exchange_pair<std::uint64_t>},
    {ZYDIS_MNEMONIC_MOV, move},
    {ZYDIS_MNEMONIC_MOVZX, move},
    {ZYDIS_MNEMONIC_MOVSX, move_sign_extended},
    {ZYDIS_MNEMONIC_MOVSXD, move_sign_extended},
    {ZYDIS_MNEMONIC_MOVNTI, move},
    {ZYDIS_MNEMONIC_MOVBE, move_byte_swapped},
    {ZYDIS_MNEMONIC_BSWAP, byte_swap},
};

}  // namespace

std::span<const HandlerRow> integer_handlers() { return kRows; }

}  // namespace vireo::x86
