#include <array>

#include "x86/semantics/base_address.h"
#include "x86/semantics/control.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

OrFault<> invlpg(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_cpl0(state));
  // No segment check applies, and an address that is not canonical makes it a NOP. SDM vol. 2A.
  const SegmentIndex segment = insn.memory.segment;
  const bool flat = state.code64() && segment < kFs;
  std::uint64_t address = effective_address(state, insn);
  if (!flat) address += state.segment[segment].base;
  if (!state.code64()) address &= 0xffffffff;
  if (canonical(state, address)) port.invalidate_page(LinearAddr{address});
  return Unit{};
}

enum InvpcidType : std::uint64_t { kAddress, kContext, kEverything, kEverythingButGlobal };

OrFault<> invpcid(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_cpl0(state));
  const std::uint64_t type =
      state.gpr[insn.operands[0].number & 0xf] & width_mask(state.code64() ? 8 : 4);
  using Descriptor = std::array<std::uint64_t, 2>;
  const auto where = TRY(memory_address(state, insn, sizeof(Descriptor), Use::kRead));
  const auto [pcid, address] = TRY(port.read<Descriptor>(where, Privilege::kCurrent));
  if (type > kEverythingButGlobal || pcid > 0xfff) return general_protection();

  const bool pcids = (state.cr4 & cr4::kPcide) != 0;
  if (type <= kContext && !pcids && pcid != 0) return general_protection();
  if (type == kAddress && !canonical_base(port, address)) return general_protection();
  const bool current = !pcids || pcid == (state.cr3 & 0xfff);
  if (type == kAddress && current)
    port.invalidate_page(LinearAddr{address});
  else if ((type == kContext && current) || (type == kEverythingButGlobal && !pcids))
    port.flush_tlb(TlbFlush::kNonGlobal);
  else if (type <= kContext)
    port.forget_pcid(static_cast<std::uint16_t>(pcid));  // of one address, more than asked for
  else
    port.flush_tlb(type == kEverything ? TlbFlush::kAll : TlbFlush::kAnyPcid);
  return Unit{};
}

/// INVD and WBINVD: the caches that a guest sees are always coherent.
OrFault<> flush_caches(CpuState& state, CpuPort&, const Insn&) { return require_cpl0(state); }

}  // namespace

std::span<const HandlerRow> control_rows::translation() {
  static constexpr std::array kRows = {
      HandlerRow{ZYDIS_MNEMONIC_INVLPG, serializing<invlpg>},
      HandlerRow{ZYDIS_MNEMONIC_INVPCID, serializing<invpcid>},
      HandlerRow{ZYDIS_MNEMONIC_INVD, serializing<flush_caches>},
      HandlerRow{ZYDIS_MNEMONIC_WBINVD, serializing<flush_caches>},
  };
  return kRows;
}

}  // namespace vireo::x86
