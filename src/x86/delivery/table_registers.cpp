#include "x86/delivery/table_registers.h"

#include <array>

#include "x86/delivery/descriptor.h"
#include "x86/delivery/segment_rules.h"
#include "x86/semantics/base_address.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

OrFault<> require_supervisor(const CpuState& state) {
  if (state.protected_mode() && state.cpl() != 0) return general_protection();
  return Unit{};
}

/// LDTR and TR do not exist for code in real-address and virtual-8086 mode.
OrFault<> require_protected(const CpuState& state) {
  if (!state.protected_mode() || state.virtual8086()) return undefined_opcode();
  return Unit{};
}

OrFault<> check_umip(const CpuState& state) {
  if (state.cr4 & cr4::kUmip) return require_supervisor(state);
  return Unit{};
}

/// Bytes of the base in memory: the limit is in the 2 bytes before.
unsigned base_size(const CpuState& state) { return state.code64() ? 8 : 4; }

OrFault<DescriptorTable> read_table_operand(const CpuState& state, CpuPort& port,
                                            const Insn& insn) {
  TRY(require_supervisor(state));
  const unsigned size = base_size(state);
  const auto address = TRY(memory_address(state, insn, size + 2u, Use::kRead));
  std::array<std::byte, 10> bytes{};
  TRY(port.read(address, std::span(bytes).first(size + 2u), Privilege::kCurrent));
  DescriptorTable table;
  std::memcpy(&table.limit, bytes.data(), sizeof(table.limit));
  std::memcpy(&table.base, &bytes[2], size);
  if (size == 8 && !canonical_base(port, table.base)) return general_protection();
  if (size == 4 && insn.operand_width == 2) table.base &= 0xffffff;
  return table;
}

OrFault<> store_table(const CpuState& state, CpuPort& port, const Insn& insn,
                      const DescriptorTable& table) {
  TRY(check_umip(state));
  const unsigned size = base_size(state);
  const auto address = TRY(memory_address(state, insn, size + 2u, Use::kWrite));
  std::array<std::byte, 10> bytes{};
  std::memcpy(bytes.data(), &table.limit, sizeof(table.limit));
  std::memcpy(&bytes[2], &table.base, size);
  return port.write(address, std::span(bytes).first(size + 2u), Privilege::kCurrent);
}

OrFault<> lgdt(CpuState& state, CpuPort& port, const Insn& insn) {
  state.gdtr = TRY(read_table_operand(state, port, insn));
  return Unit{};
}
OrFault<> lidt(CpuState& state, CpuPort& port, const Insn& insn) {
  state.idtr = TRY(read_table_operand(state, port, insn));
  return Unit{};
}
OrFault<> sgdt(CpuState& state, CpuPort& port, const Insn& insn) {
  return store_table(state, port, insn, state.gdtr);
}
OrFault<> sidt(CpuState& state, CpuPort& port, const Insn& insn) {
  return store_table(state, port, insn, state.idtr);
}

/// A register takes the selector zero-extended to the operand size; memory always takes 2 bytes.
OrFault<> store_selector(CpuState& state, CpuPort& port, const Insn& insn, std::uint16_t selector) {
  TRY(require_protected(state));
  TRY(check_umip(state));
  if (insn.operands[0].kind != OperandKind::kMemory)
    return write_operand(state, port, insn, 0, selector);
  const auto address = TRY(memory_address(state, insn, 2, Use::kWrite));
  return port.write_value(address, selector, Privilege::kCurrent);
}

OrFault<> sldt(CpuState& state, CpuPort& port, const Insn& insn) {
  return store_selector(state, port, insn, state.ldtr.selector);
}
OrFault<> str(CpuState& state, CpuPort& port, const Insn& insn) {
  return store_selector(state, port, insn, state.tr.selector);
}

OrFault<std::uint16_t> read_selector(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  TRY(require_supervisor(state));
  return static_cast<std::uint16_t>(TRY(read_operand(state, port, insn, 0)));
}

bool base_reachable(const CpuState& state, const CpuPort& port, const Descriptor& descriptor) {
  return !state.long_mode() || canonical_base(port, descriptor.segment(0).base);
}

OrFault<> lldt(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint16_t selector = TRY(read_selector(state, port, insn));
  const Raise raise;
  if (is_null(selector)) {
    state.ldtr = null_segment(selector);
    return Unit{};
  }
  if (selector & 4) return raise.at(selector);
  const Descriptor ldt = TRY(read_wide_descriptor(state, port, selector, raise));
  if (!ldt.is(SystemType::kLdt)) return raise.at(selector);
  if (!ldt.present()) return raise.not_present(selector);
  if (!base_reachable(state, port, ldt)) return raise.at(selector);
  state.ldtr = ldt.segment(selector);
  return Unit{};
}

OrFault<> ltr(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint16_t selector = TRY(read_selector(state, port, insn));
  const Raise raise;
  if (is_null(selector)) return raise.at(0);
  if (selector & 4) return raise.at(selector);
  Descriptor tss = TRY(read_wide_descriptor(state, port, selector, raise));
  const bool right_size = !state.long_mode() || tss.is(SystemType::kTss32);
  if (!tss.available_tss() || !right_size) return raise.at(selector);
  if (!tss.present()) return raise.not_present(selector);
  if (!base_reachable(state, port, tss)) return raise.at(selector);
  if (!TRY(mark_busy(port, tss))) return raise.at(selector);
  state.tr = tss.segment(selector);
  return Unit{};
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_LGDT, serializing<lgdt>},
    HandlerRow{ZYDIS_MNEMONIC_LIDT, serializing<lidt>},
    HandlerRow{ZYDIS_MNEMONIC_SGDT, sgdt},
    HandlerRow{ZYDIS_MNEMONIC_SIDT, sidt},
    HandlerRow{ZYDIS_MNEMONIC_LLDT, serializing<lldt>},
    HandlerRow{ZYDIS_MNEMONIC_SLDT, sldt},
    HandlerRow{ZYDIS_MNEMONIC_LTR, serializing<ltr>},
    HandlerRow{ZYDIS_MNEMONIC_STR, str},
};

}  // namespace

std::span<const HandlerRow> table_register_handlers() { return kRows; }

}  // namespace vireo::x86
