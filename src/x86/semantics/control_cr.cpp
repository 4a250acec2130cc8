#include <array>

#include "x86/paging/page_table_entry.h"
#include "x86/paging/paging_mode.h"
#include "x86/semantics/control.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kCr0Bits = cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs | cr0::kEt | cr0::kNe |
                                   cr0::kWp | cr0::kAm | cr0::kNw | cr0::kCd | cr0::kPg;
constexpr std::uint64_t kNoFlush = 1ull << 63;

bool differ(std::uint64_t a, std::uint64_t b, std::uint64_t bits) { return ((a ^ b) & bits) != 0; }

bool pae_paging(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer) {
  return (cr0 & cr0::kPg) && (cr4 & cr4::kPae) && !(efer & efer::kLma);
}

OrFault<std::array<std::uint64_t, 4>> read_pdptes(CpuPort& port, std::uint64_t cr3) {
  return load_pdptes(port, cr3, port.cpuid().physical_address_bits());
}

bool has_16bit_tss(const CpuState& state) {
  return state.tr.usable() && (state.tr.type() & 0xd) == 1;  // available or busy
}

/// EFER after paging goes on or off: IA-32e mode begins or ends. SDM vol. 3A, 9.8.5.
OrFault<std::uint64_t> efer_after_paging_change(const CpuState& state, bool paging) {
  const std::uint64_t efer = state.msr.efer;
  if (!(efer & efer::kLme)) return efer;
  if (!paging) {
    if (state.code64()) return general_protection();
    return efer & ~efer::kLma;
  }
  if (!(state.cr4 & cr4::kPae) || state.segment[kCs].is_long() || has_16bit_tss(state))
    return general_protection();
  return efer | efer::kLma;
}

OrFault<> check_cr0(const CpuState& state, std::uint64_t value) {
  if (value >> 32) return general_protection();
  if ((value & cr0::kPg) && !(value & cr0::kPe)) return general_protection();
  if ((value & cr0::kNw) && !(value & cr0::kCd)) return general_protection();
  if ((state.cr4 & cr4::kPcide) && !(value & cr0::kPg)) return general_protection();
  return Unit{};
}

/// What MOV to CR4 must find in IA-32e mode.
OrFault<> check_cr4_in_long_mode(const CpuState& state, std::uint64_t value) {
  if (!(value & cr4::kPae)) return general_protection();
  if (differ(value, state.cr4, cr4::kLa57)) return general_protection();
  return Unit{};
}

OrFault<std::uint64_t> read_control(const CpuState& state, CpuPort& port, unsigned number) {
  switch (number) {
    case 0:
      return state.cr0;
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    case 4:
      return state.cr4;
    case 8:
      return std::uint64_t{port.read_cr8()};
    default:
      return undefined_opcode();
  }
}

OrFault<> write_control(CpuState& state, CpuPort& port, unsigned number, std::uint64_t value) {
  switch (number) {
    case 0:
      return write_cr0(state, port, value);
    case 2:
      state.cr2 = value;
      return Unit{};
    case 3:
      return write_cr3(state, port, value);
    case 4:
      return write_cr4(state, port, value);
    case 8:
      if (value > 15) return general_protection();
      port.write_cr8(static_cast<std::uint8_t>(value));
      return Unit{};
    default:
      return undefined_opcode();
  }
}

}  // namespace

OrFault<> write_cr0(CpuState& state, CpuPort& port, std::uint64_t value) {
  TRY(check_cr0(state, value));
  value = (value & kCr0Bits) | cr0::kEt;  // writes of other bits are ignored
  std::uint64_t efer = state.msr.efer;
  if (differ(value, state.cr0, cr0::kPg))
    efer = TRY(efer_after_paging_change(state, (value & cr0::kPg) != 0));
  if (pae_paging(value, state.cr4, efer) &&
      differ(value, state.cr0, cr0::kPg | cr0::kCd | cr0::kNw))
    state.pdpte = TRY(read_pdptes(port, state.cr3));

  const bool flush = differ(value, state.cr0, cr0::kPg | cr0::kPe | cr0::kWp);
  state.cr0 = value;
  state.msr.efer = efer;
  if (flush) port.flush_tlb(TlbFlush::kAll);
  port.mode_changed();
  return Unit{};
}

OrFault<> write_cr3(CpuState& state, CpuPort& port, std::uint64_t value) {
  const bool keep = (state.cr4 & cr4::kPcide) != 0 && (value & kNoFlush) != 0;
  if (state.cr4 & cr4::kPcide) value &= ~kNoFlush;
  if (state.long_mode() && (value & pte::above(port.cpuid().physical_address_bits(), 63)))
    return general_protection();
  if (pae_paging(state.cr0, state.cr4, state.msr.efer)) state.pdpte = TRY(read_pdptes(port, value));
  state.cr3 = value;
  port.page_tables_changed(keep);
  return Unit{};
}

OrFault<> write_cr4(CpuState& state, CpuPort& port, std::uint64_t value) {
  if (value & ~port.cpuid().cr4_allowed()) return general_protection();
  if (state.long_mode()) TRY(check_cr4_in_long_mode(state, value));
  const bool pcide_set = (value & ~state.cr4 & cr4::kPcide) != 0;
  if (pcide_set && (!state.long_mode() || (state.cr3 & 0xfff))) return general_protection();
  constexpr std::uint64_t kReloads = cr4::kPae | cr4::kPge | cr4::kPse | cr4::kSmep;
  if (pae_paging(state.cr0, value, state.msr.efer) && differ(value, state.cr4, kReloads))
    state.pdpte = TRY(read_pdptes(port, state.cr3));

  constexpr std::uint64_t kFlushes = kReloads | cr4::kPcide | cr4::kLa57 | cr4::kSmap | cr4::kPke;
  const bool flush = differ(value, state.cr4, kFlushes);
  state.cr4 = value;
  if (flush) port.flush_tlb(TlbFlush::kAll);
  port.mode_changed();
  return Unit{};
}

OrFault<> write_efer(CpuState& state, CpuPort& port, std::uint64_t value) {
  if (value & ~port.cpuid().efer_allowed()) return general_protection();
  if (state.paging() && differ(value, state.msr.efer, efer::kLme)) return general_protection();
  value = (value & ~efer::kLma) | (state.msr.efer & efer::kLma);
  const bool flush = differ(value, state.msr.efer, efer::kNxe);
  state.msr.efer = value;
  if (flush) port.flush_tlb(TlbFlush::kAll);
  port.mode_changed();
  return Unit{};
}

OrFault<> write_xcr0(CpuState& state, CpuPort& port, std::uint64_t value) {
  if (value & ~port.cpuid().xcr0_allowed()) return general_protection();
  if (!(value & xcr0::kX87)) return general_protection();
  if ((value & xcr0::kAvx) && !(value & xcr0::kSse)) return general_protection();
  state.xcr0 = value;
  port.mode_changed();
  return Unit{};
}

// The operand size is 64 bits in 64-bit mode and else 32, whatever the prefixes say. Only MOV to
// CR8 does not serialize.
OrFault<> move_control_register(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_cpl0(state));
  const bool to_control = insn.operands[0].kind == OperandKind::kControl;
  const Operand& control = insn.operands[to_control ? 0 : 1];
  const Operand& general = insn.operands[to_control ? 1 : 0];
  const std::uint64_t mask = width_mask(state.code64() ? 8 : 4);
  std::uint64_t& reg = state.gpr[general.number & 0xf];
  if (to_control && control.number != 8) drain_stores();
  if (to_control) return write_control(state, port, control.number, reg & mask);
  reg = TRY(read_control(state, port, control.number)) & mask;
  return Unit{};
}

}  // namespace vireo::x86
