#include "x86/paging/paging_mode.h"

#include "x86/cpuid/cpuid_model.h"
#include "x86/paging/page_table_entry.h"

namespace vireo::x86 {
namespace {

PagingMode::Kind kind_of(const CpuState& state) {
  if (!state.paging()) return PagingMode::Kind::kNone;
  if (state.long_mode())
    return state.cr4 & cr4::kLa57 ? PagingMode::Kind::k5Level : PagingMode::Kind::k4Level;
  return state.cr4 & cr4::kPae ? PagingMode::Kind::kPae : PagingMode::Kind::k32Bit;
}

}  // namespace

PagingMode PagingMode::of(const CpuState& state, const CpuidModel& model) {
  PagingMode mode;
  mode.kind = kind_of(state);
  mode.write_protect = (state.cr0 & cr0::kWp) != 0;
  mode.smep = (state.cr4 & cr4::kSmep) != 0;
  mode.smap = (state.cr4 & cr4::kSmap) != 0;
  mode.execute_disable = (state.msr.efer & efer::kNxe) != 0;
  mode.large_pages = (state.cr4 & cr4::kPse) != 0;
  mode.pse36 = model.features().has(Feature::kPse36);
  mode.huge_pages = model.features().has(Feature::kPdpe1gb);
  mode.global_pages = (state.cr4 & cr4::kPge) != 0;
  mode.attributes = model.features().has(Feature::kPat);
  mode.protection_keys = state.long_mode() && (state.cr4 & cr4::kPke) != 0;
  mode.physical_address_bits = static_cast<std::uint8_t>(model.physical_address_bits());
  mode.pkru = state.pkru;
  mode.cr3 = state.cr3;
  mode.pdpte = state.pdpte;
  return mode;
}

OrFault<std::array<std::uint64_t, 4>> load_pdptes(CpuPort& port, std::uint64_t cr3,
                                                  unsigned physical_address_bits) {
  const std::uint64_t reserved =
      pte::range(1, 2) | pte::range(5, 8) | pte::above(physical_address_bits, 63);
  const PhysAddr table{cr3 & pte::range(5, 31)};
  std::array<std::uint64_t, 4> entries{};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i] = port.read_physical(table + i * 8, 8);
    if ((entries[i] & pte::kPresent) && (entries[i] & reserved)) return general_protection();
  }
  return entries;
}

}  // namespace vireo::x86
