#include "x86/semantics/bit.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/update.h"

namespace vireo::x86 {
namespace {

/// BT, BTS, BTR, BTC. A bit number in a register reaches beyond the memory operand, to both sides.
/// SDM vol. 2A, BT, and 3.1.1.9.
template <class Op, bool kWrites>
OrFault<> bit_test(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  return with_width(width, [&]<class T>() -> OrFault<> {
    if constexpr (sizeof(T) == 1) {
      return undefined_opcode();
    } else {
      const std::uint64_t number = TRY(read_operand(state, port, insn, 1));
      if (insn.operands[0].kind != OperandKind::kMemory)
        return update_operand<T>(state, port, insn, 0, [&](T word, HostFlags& flags) {
          return Op::apply(word, static_cast<T>(number), flags);
        });
      std::uint64_t offset = effective_address(state, insn);
      if (insn.operands[1].kind == OperandKind::kGpr) {
        const unsigned unused = 64 - width * 8;
        const auto index = static_cast<std::int64_t>(number << unused) >> unused;
        const std::int64_t words = index >> (width == 8 ? 6 : width == 4 ? 5 : 4);
        offset += static_cast<std::uint64_t>(words) * width;
        offset &= width_mask(insn.address_width);
      }
      const auto address = TRY(linear_address(state, insn.memory.segment, offset, sizeof(T),
                                              kWrites ? Use::kWrite : Use::kRead));
      const HostFlags before = to_host_flags(state.rflags);
      HostFlags flags = before;
      if constexpr (kWrites) {
        TRY(update_memory<T>(port, address, insn.lock, [&](T word) {
          flags = before;
          return Op::apply(word, static_cast<T>(number), flags);
        }));
      } else {
        const T word = TRY(port.read<T>(address, Privilege::kCurrent));
        Op::apply(word, static_cast<T>(number), flags);
      }
      state.rflags = merge_flags(state.rflags, flags);
      return Unit{};
    }
  });
}

template <class Op>
OrFault<> bit_scan(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t source = TRY(read_operand(state, port, insn, 1));
  return with_width(insn.operands[0].width, [&]<class T>() -> OrFault<> {
    if constexpr (sizeof(T) == 1) {
      return undefined_opcode();
    } else {
      const T old = static_cast<T>(read_gpr(state, insn.operands[0]));
      HostFlags flags = to_host_flags(state.rflags);
      const T result = Op::apply(old, static_cast<T>(source), flags);
      state.rflags = merge_flags(state.rflags, flags);
      // BSF and BSR of zero leave all 64 bits of the destination alone.
      const bool untouched = source == 0 && (insn.mnemonic == ZYDIS_MNEMONIC_BSF ||
                                             insn.mnemonic == ZYDIS_MNEMONIC_BSR);
      if (!untouched) write_gpr(state, insn.operands[0], result);
      return Unit{};
    }
  });
}

// BMI1, BMI2 and ADX, by the host's own instruction: a model has them only where the host does.
// SDM vol. 2.

#define VIREO_TWO_SOURCES(name, mnemonic)                   \
  struct name {                                             \
    template <class T>                                      \
    static T apply(T a, T b, HostFlags& flags) {            \
      T result;                                             \
      asm(VIREO_LOAD_FLAGS mnemonic VIREO_TAKE_FLAGS        \
          : [result] "=&r"(result), [flags] "+&a"(flags.ax) \
          : [a] "r"(a), [b] "r"(b)                          \
          : "cc");                                          \
      return result;                                        \
    }                                                       \
  }
VIREO_TWO_SOURCES(Andn, "andn %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Bextr, "bextr %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Bzhi, "bzhi %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Pdep, "pdep %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Pext, "pext %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Sarx, "sarx %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Shlx, "shlx %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Shrx, "shrx %[b], %[a], %[result]");
VIREO_TWO_SOURCES(Blsi, "blsi %[a], %[result]");
VIREO_TWO_SOURCES(Blsr, "blsr %[a], %[result]");
VIREO_TWO_SOURCES(Blsmsk, "blsmsk %[a], %[result]");
VIREO_TWO_SOURCES(Adcx, "mov %[a], %[result]\n\tadcx %[b], %[result]");
VIREO_TWO_SOURCES(Adox, "mov %[a], %[result]\n\tadox %[b], %[result]");
#undef VIREO_TWO_SOURCES

/// result register, operands a and b by their position (b may be the same as a).
template <class Op, unsigned kA, unsigned kB>
OrFault<> from_two(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t a = TRY(read_operand(state, port, insn, kA));
  const std::uint64_t b = TRY(read_operand(state, port, insn, kB));
  HostFlags flags = to_host_flags(state.rflags);
  const std::uint64_t result =
      insn.operands[0].width == 8
          ? Op::apply(a, b, flags)
          : Op::apply(static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b), flags);
  state.rflags = merge_flags(state.rflags, flags);
  write_gpr(state, insn.operands[0], result);
  return Unit{};
}

OrFault<> mulx(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t a = TRY(read_operand(state, port, insn, 2));
  const unsigned bits = insn.operands[0].width * 8u;
  const std::uint64_t b = state.gpr[kRdx] & width_mask(insn.operands[0].width);
  const auto product = static_cast<unsigned __int128>(a) * b;
  write_gpr(state, insn.operands[1], static_cast<std::uint64_t>(product));
  write_gpr(state, insn.operands[0], static_cast<std::uint64_t>(product >> bits));
  return Unit{};
}

OrFault<> rorx(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t data = TRY(read_operand(state, port, insn, 1));
  const unsigned bits = insn.operands[0].width * 8u;
  const unsigned count = static_cast<unsigned>(insn.immediate) & (bits - 1);
  const std::uint64_t rotated = count ? data >> count | data << (bits - count) : data;
  write_gpr(state, insn.operands[0], rotated);
  return Unit{};
}

OrFault<> crc32(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t data = TRY(read_operand(state, port, insn, 1));
  std::uint64_t sum = static_cast<std::uint32_t>(state.gpr[insn.operands[0].number]);
  switch (insn.operands[1].width) {
    case 1:
      sum = __builtin_ia32_crc32qi(static_cast<unsigned>(sum), static_cast<unsigned char>(data));
      break;
    case 2:
      sum = __builtin_ia32_crc32hi(static_cast<unsigned>(sum), static_cast<unsigned short>(data));
      break;
    case 4:
      sum = __builtin_ia32_crc32si(static_cast<unsigned>(sum), static_cast<unsigned>(data));
      break;
    default:
      sum = __builtin_ia32_crc32di(sum, data);
      break;
  }
  state.gpr[insn.operands[0].number] = sum;
  return Unit{};
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_BT, bit_test<Bt, false>},
    {ZYDIS_MNEMONIC_BTS, bit_test<Bts, true>},
    {ZYDIS_MNEMONIC_BTR, bit_test<Btr, true>},
    {ZYDIS_MNEMONIC_BTC, bit_test<Btc, true>},
    {ZYDIS_MNEMONIC_BSF, bit_scan<Bsf>},
    {ZYDIS_MNEMONIC_BSR, bit_scan<Bsr>},
    {ZYDIS_MNEMONIC_TZCNT, bit_scan<Tzcnt>},
    {ZYDIS_MNEMONIC_LZCNT, bit_scan<Lzcnt>},
    {ZYDIS_MNEMONIC_POPCNT, bit_scan<Popcnt>},
    {ZYDIS_MNEMONIC_ANDN, from_two<Andn, 1, 2>},
    {ZYDIS_MNEMONIC_BEXTR, from_two<Bextr, 1, 2>},
    {ZYDIS_MNEMONIC_BZHI, from_two<Bzhi, 1, 2>},
    {ZYDIS_MNEMONIC_PDEP, from_two<Pdep, 1, 2>},
    {ZYDIS_MNEMONIC_PEXT, from_two<Pext, 1, 2>},
    {ZYDIS_MNEMONIC_SARX, from_two<Sarx, 1, 2>},
    {ZYDIS_MNEMONIC_SHLX, from_two<Shlx, 1, 2>},
    {ZYDIS_MNEMONIC_SHRX, from_two<Shrx, 1, 2>},
    {ZYDIS_MNEMONIC_BLSI, from_two<Blsi, 1, 1>},
    {ZYDIS_MNEMONIC_BLSR, from_two<Blsr, 1, 1>},
    {ZYDIS_MNEMONIC_BLSMSK, from_two<Blsmsk, 1, 1>},
    {ZYDIS_MNEMONIC_ADCX, from_two<Adcx, 0, 1>},
    {ZYDIS_MNEMONIC_ADOX, from_two<Adox, 0, 1>},
    {ZYDIS_MNEMONIC_MULX, mulx},
    {ZYDIS_MNEMONIC_RORX, rorx},
    {ZYDIS_MNEMONIC_CRC32, crc32},
};

}  // namespace

std::span<const HandlerRow> bit_handlers() { return kRows; }

}  // namespace vireo::x86
