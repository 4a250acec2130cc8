#include <bit>

#include "x86/semantics/alu.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

// Decimal adjustment, which the host has no instructions for in 64-bit mode. SDM vol. 2A, AAA, AAD,
// AAM, AAS, DAA, DAS. Flags that are undefined there are set as Intel's silicon sets them.

std::uint8_t al(const CpuState& state) { return static_cast<std::uint8_t>(state.gpr[kRax]); }
std::uint8_t ah(const CpuState& state) { return static_cast<std::uint8_t>(state.gpr[kRax] >> 8); }

void set_ax(CpuState& state, unsigned ax) {
  state.gpr[kRax] = (state.gpr[kRax] & ~0xffffull) | (ax & 0xffff);
}

void set_flag(CpuState& state, std::uint64_t flag, bool on) {
  state.rflags = on ? state.rflags | flag : state.rflags & ~flag;
}

void set_result_flags(CpuState& state, std::uint8_t result) {
  set_flag(state, rflags::kZf, result == 0);
  set_flag(state, rflags::kSf, (result & 0x80) != 0);
  set_flag(state, rflags::kPf, std::popcount(result) % 2 == 0);
}

bool low_digit_adjusts(const CpuState& state) {
  return (al(state) & 0x0f) > 9 || (state.rflags & rflags::kAf) != 0;
}

template <bool kSubtract>
OrFault<> daa_das(CpuState& state, CpuPort&, const Insn&) {
  const std::uint8_t old_al = al(state);
  const bool old_cf = (state.rflags & rflags::kCf) != 0;
  const bool low = low_digit_adjusts(state);
  const bool high = old_al > 0x99 || old_cf;
  unsigned result = old_al;
  bool carry = false;
  if (low) {
    result = kSubtract ? result - 6 : result + 6;
    carry = old_cf || (result & 0x100) != 0;
  }
  if (high) {
    result = kSubtract ? result - 0x60 : result + 0x60;
    carry = true;
  }
  const auto byte = static_cast<std::uint8_t>(result);
  set_ax(state, static_cast<unsigned>(ah(state)) << 8 | byte);
  set_flag(state, rflags::kAf, low);
  set_flag(state, rflags::kCf, carry);
  set_flag(state, rflags::kOf, false);
  set_result_flags(state, byte);
  return Unit{};
}

template <bool kSubtract>
OrFault<> aaa_aas(CpuState& state, CpuPort&, const Insn&) {
  const bool adjust = low_digit_adjusts(state);
  const unsigned ax = static_cast<unsigned>(state.gpr[kRax] & 0xffff);
  const unsigned adjusted = adjust ? (kSubtract ? ax - 0x106 : ax + 0x106) : ax;
  set_ax(state, adjusted & 0xff0f);
  set_flag(state, rflags::kAf, adjust);
  set_flag(state, rflags::kCf, adjust);
  set_flag(state, rflags::kOf, false);
  set_result_flags(state, al(state));
  return Unit{};
}

OrFault<> aam(CpuState& state, CpuPort&, const Insn& insn) {
  const auto base = static_cast<std::uint8_t>(insn.immediate);
  if (base == 0) return fault(Vector::kDE);
  const std::uint8_t old_al = al(state);
  set_ax(state, static_cast<unsigned>(old_al / base) << 8 | old_al % base);
  state.rflags &= ~(rflags::kAf | rflags::kCf | rflags::kOf);
  set_result_flags(state, al(state));
  return Unit{};
}

OrFault<> aad(CpuState& state, CpuPort&, const Insn& insn) {
  const auto base = static_cast<std::uint8_t>(insn.immediate);
  const auto product = static_cast<std::uint8_t>(ah(state) * base);
  HostFlags flags;
  set_ax(state, Add::apply(al(state), product, flags));
  state.rflags = merge_flags(state.rflags, flags);
  return Unit{};
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_DAA, daa_das<false>},
    {ZYDIS_MNEMONIC_DAS, daa_das<true>},
    {ZYDIS_MNEMONIC_AAA, aaa_aas<false>},
    {ZYDIS_MNEMONIC_AAS, aaa_aas<true>},
    {ZYDIS_MNEMONIC_AAM, aam},
    {ZYDIS_MNEMONIC_AAD, aad},
};

}  // namespace

std::span<const HandlerRow> decimal_handlers() { return kRows; }

}  // namespace vireo::x86
