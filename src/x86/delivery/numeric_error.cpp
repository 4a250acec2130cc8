#include "x86/delivery/numeric_error.h"

#include "x86/semantics/fpu_state.h"

namespace vireo::x86 {

bool reported_by_ferr(const CpuState& state, const Fault& fault) {
  return fault.vector == Vector::kMF && (state.cr0 & cr0::kNe) == 0;
}

void freeze(CpuState& state, CpuPort& port) {
  state.activity = static_cast<std::uint8_t>(Activity::kHalted);
  if (state.ferr) return;
  state.ferr = 1;
  port.set_ferr(true);
}

void follow_error_summary(CpuState& state, CpuPort& port) {
  if (!state.ferr || (state.fpu.status & x87_status::kErrorSummary) != 0) return;
  state.ferr = 0;
  port.set_ferr(false);
}

IgnoredExceptions::IgnoredExceptions(FpuState& fpu)
    : flags_(static_cast<std::uint16_t>(fpu.status & fp_exception::kAll)) {
  fpu.status = loaded_status(fpu.control, static_cast<std::uint16_t>(fpu.status & ~flags_));
}

void IgnoredExceptions::put_back(FpuState& fpu) const {
  fpu.status = loaded_status(fpu.control, static_cast<std::uint16_t>(fpu.status | flags_));
}

}  // namespace vireo::x86
