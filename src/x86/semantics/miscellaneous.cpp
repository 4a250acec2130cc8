#include "x86/semantics/flags_transfer.h"
#include "x86/semantics/host_flags.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

OrFault<> nop(CpuState&, CpuPort&, const Insn&) { return Unit{}; }

OrFault<> pause(CpuState&, CpuPort& port, const Insn&) {
  port.pause();
  return Unit{};
}

OrFault<> undefined(CpuState&, CpuPort&, const Insn&) { return undefined_opcode(); }

OrFault<> in(CpuState& state, CpuPort& port, const Insn& insn) {
  const auto number = static_cast<std::uint16_t>(TRY(read_operand(state, port, insn, 1)));
  const unsigned width = insn.operands[0].width;
  TRY(check_io_permission(state, port, number, width));
  std::uint64_t data = 0;
  port.pio_read(number, std::as_writable_bytes(std::span(&data, 1)).first(width));
  write_gpr(state, insn.operands[0], data);
  return Unit{};
}

OrFault<> out(CpuState& state, CpuPort& port, const Insn& insn) {
  const auto number = static_cast<std::uint16_t>(TRY(read_operand(state, port, insn, 0)));
  const unsigned width = insn.operands[1].width;
  TRY(check_io_permission(state, port, number, width));
  const std::uint64_t data = read_gpr(state, insn.operands[1]);
  port.pio_write(number, std::as_bytes(std::span(&data, 1)).first(width));
  return Unit{};
}

OrFault<> hlt(CpuState& state, CpuPort&, const Insn&) {
  if (state.cpl() != 0) return general_protection();
  state.activity = static_cast<std::uint8_t>(Activity::kHalted);
  return Unit{};
}

template <std::uint64_t kFlag>
OrFault<> set_flag(CpuState& state, CpuPort&, const Insn&) {
  state.rflags |= kFlag;
  return Unit{};
}
template <std::uint64_t kFlag>
OrFault<> clear_flag(CpuState& state, CpuPort&, const Insn&) {
  state.rflags &= ~kFlag;
  return Unit{};
}
OrFault<> complement_carry(CpuState& state, CpuPort&, const Insn&) {
  state.rflags ^= rflags::kCf;
  return Unit{};
}

constexpr std::uint64_t kLahfFlags =
    rflags::kSf | rflags::kZf | rflags::kAf | rflags::kPf | rflags::kCf;

OrFault<> lahf(CpuState& state, CpuPort&, const Insn&) {
  const std::uint64_t flags = (state.rflags & kLahfFlags) | rflags::kFixed1;
  state.gpr[kRax] = (state.gpr[kRax] & ~0xff00ull) | flags << 8;
  return Unit{};
}

OrFault<> sahf(CpuState& state, CpuPort&, const Insn&) {
  state.rflags = (state.rflags & ~kLahfFlags) | ((state.gpr[kRax] >> 8) & kLahfFlags);
  return Unit{};
}

OrFault<> salc(CpuState& state, CpuPort&, const Insn&) {
  write_gpr(state, {OperandKind::kGpr, kRax, 1}, (state.rflags & rflags::kCf) ? 0xff : 0);
  return Unit{};
}

OrFault<> xlat(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t offset =
      (state.gpr[kRbx] + (state.gpr[kRax] & 0xff)) & width_mask(insn.address_width);
  const auto address = TRY(linear_address(state, insn.memory.segment, offset, 1, Use::kRead));
  const auto data = TRY(port.read<std::uint8_t>(address, Privilege::kCurrent));
  write_gpr(state, {OperandKind::kGpr, kRax, 1}, data);
  return Unit{};
}

OrFault<> bound(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operands[0].width;
  const auto address = TRY(memory_address(state, insn, 2 * std::size_t{width}, Use::kRead));
  std::uint64_t both = 0;
  TRY(port.read(address, std::as_writable_bytes(std::span(&both, 1)).first(2 * std::size_t{width}),
                Privilege::kCurrent));
  const unsigned unused = 64 - width * 8;
  const auto extend = [unused](std::uint64_t data) {
    return static_cast<std::int64_t>(data << unused) >> unused;
  };
  const std::int64_t index = extend(read_gpr(state, insn.operands[0]));
  if (index < extend(both) || index > extend(both >> (width * 8))) return fault(Vector::kBR);
  return Unit{};
}

/// CLFLUSH, CLFLUSHOPT, CLWB: nothing to write back, but the address is checked as by a byte load.
OrFault<> flush_line(CpuState& state, CpuPort& port, const Insn& insn) {
  const auto address = TRY(memory_address(state, insn, 1, Use::kRead));
  if (!port.is_device(address)) TRY(port.read<std::uint8_t>(address, Privilege::kCurrent));
  return Unit{};
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_NOP, nop},
    {ZYDIS_MNEMONIC_PAUSE, pause},
    {ZYDIS_MNEMONIC_LFENCE, nop},
    {ZYDIS_MNEMONIC_SFENCE, nop},
    {ZYDIS_MNEMONIC_MFENCE, serializing<nop>},
    {ZYDIS_MNEMONIC_PREFETCH, nop},
    {ZYDIS_MNEMONIC_PREFETCHNTA, nop},
    {ZYDIS_MNEMONIC_PREFETCHT0, nop},
    {ZYDIS_MNEMONIC_PREFETCHT1, nop},
    {ZYDIS_MNEMONIC_PREFETCHT2, nop},
    {ZYDIS_MNEMONIC_PREFETCHW, nop},
    {ZYDIS_MNEMONIC_PREFETCHWT1, nop},
    {ZYDIS_MNEMONIC_CLFLUSH, flush_line},
    {ZYDIS_MNEMONIC_CLFLUSHOPT, flush_line},
    {ZYDIS_MNEMONIC_CLWB, flush_line},
    {ZYDIS_MNEMONIC_UD0, undefined},
    {ZYDIS_MNEMONIC_UD1, undefined},
    {ZYDIS_MNEMONIC_UD2, undefined},
    {ZYDIS_MNEMONIC_IN, serializing<in>},
    {ZYDIS_MNEMONIC_OUT, serializing<out>},
    {ZYDIS_MNEMONIC_HLT, hlt},
    {ZYDIS_MNEMONIC_CLC, clear_flag<rflags::kCf>},
    {ZYDIS_MNEMONIC_STC, set_flag<rflags::kCf>},
    {ZYDIS_MNEMONIC_CMC, complement_carry},
    {ZYDIS_MNEMONIC_CLD, clear_flag<rflags::kDf>},
    {ZYDIS_MNEMONIC_STD, set_flag<rflags::kDf>},
    {ZYDIS_MNEMONIC_LAHF, lahf},
    {ZYDIS_MNEMONIC_SAHF, sahf},
    {ZYDIS_MNEMONIC_SALC, salc},
    {ZYDIS_MNEMONIC_XLAT, xlat},
    {ZYDIS_MNEMONIC_BOUND, bound},
};

}  // namespace

std::span<const HandlerRow> miscellaneous_handlers() { return kRows; }

}  // namespace vireo::x86
