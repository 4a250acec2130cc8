#include <array>

#include "x86/semantics/base_address.h"
#include "x86/semantics/control.h"
#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

/// Stores an address; #GP(0) unless canonical.
template <std::uint64_t MsrState::*kField>
OrFault<> store_address(const MsrAccess& access, std::uint64_t value) {
  if (!canonical_base(access.port, value)) return general_protection();
  return msr_store<kField>(access, value);
}

template <SegmentIndex kSegment>
OrFault<std::uint64_t> load_base(const MsrAccess& access) {
  return access.state.segment[kSegment].base;
}
template <SegmentIndex kSegment>
OrFault<> store_base(const MsrAccess& access, std::uint64_t value) {
  if (!canonical_base(access.port, value)) return general_protection();
  access.state.segment[kSegment].base = value;
  return Unit{};
}

OrFault<std::uint64_t> load_efer(const MsrAccess& access) {
  if (access.model().efer_allowed() == 0) return general_protection();
  return access.state.msr.efer;
}
OrFault<> store_efer(const MsrAccess& access, std::uint64_t value) {
  if (access.model().efer_allowed() == 0) return general_protection();
  return write_efer(access.state, access.port, value);
}

bool has_tsc_aux(const MsrAccess& access) {
  const FeatureSet& features = access.model().features();
  return features.has(Feature::kRdtscp) || features.has(Feature::kRdpid);
}
OrFault<std::uint64_t> load_tsc_aux(const MsrAccess& access) {
  if (!has_tsc_aux(access)) return general_protection();
  return access.state.msr.tsc_aux;
}
OrFault<> store_tsc_aux(const MsrAccess& access, std::uint64_t value) {
  if (!has_tsc_aux(access)) return general_protection();
  if ((value >> 32) && access.model().vendor() == Vendor::kIntel) return general_protection();
  access.state.msr.tsc_aux = value & 0xffffffff;
  return Unit{};
}

/// No supervisor state component is offered.
OrFault<> store_xss(const MsrAccess& access, std::uint64_t value) {
  return msr_store_bits<&MsrState::xss, 0>(access, value);
}

}  // namespace

std::span<const MsrRow> msr_rows::system() {
  using enum Feature;
  static constexpr std::array kRows = {
      MsrRow{0x174, 1, msr_load<&MsrState::sysenter_cs>,
             msr_store_bits<&MsrState::sysenter_cs, 0xffffffff>, kSep},
      MsrRow{0x175, 1, msr_load<&MsrState::sysenter_esp>, store_address<&MsrState::sysenter_esp>,
             kSep},
      MsrRow{0x176, 1, msr_load<&MsrState::sysenter_eip>, store_address<&MsrState::sysenter_eip>,
             kSep},
      MsrRow{0xda0, 1, msr_load<&MsrState::xss>, store_xss, kXsaves},
      MsrRow{0xc0000080, 1, load_efer, store_efer},
      MsrRow{0xc0000081, 1, msr_load<&MsrState::star>, msr_store<&MsrState::star>, kSyscall},
      MsrRow{0xc0000082, 1, msr_load<&MsrState::lstar>, store_address<&MsrState::lstar>, kLm},
      MsrRow{0xc0000083, 1, msr_load<&MsrState::cstar>, store_address<&MsrState::cstar>, kLm},
      MsrRow{0xc0000084, 1, msr_load<&MsrState::fmask>,
             msr_store_bits<&MsrState::fmask, 0xffffffff>, kLm},
      MsrRow{0xc0000100, 1, load_base<kFs>, store_base<kFs>, kLm},
      MsrRow{0xc0000101, 1, load_base<kGs>, store_base<kGs>, kLm},
      MsrRow{0xc0000102, 1, msr_load<&MsrState::kernel_gs_base>,
             store_address<&MsrState::kernel_gs_base>, kLm},
      MsrRow{0xc0000103, 1, load_tsc_aux, store_tsc_aux},
  };
  return kRows;
}

}  // namespace vireo::x86
