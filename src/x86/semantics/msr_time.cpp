#include <algorithm>
#include <array>

#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kTscMsr = 0x10, kTscDeadlineMsr = 0x6e0;

std::uint64_t guest_tsc(const MsrAccess& access) {
  return access.port.clock_tsc() + access.state.tsc_offset;
}

OrFault<std::uint64_t> load_platform(const MsrAccess& access) {
  if (const auto value = access.port.read_platform_msr(access.index)) return *value;
  return general_protection();
}
OrFault<> store_platform(const MsrAccess& access, std::uint64_t value) {
  if (!access.port.write_platform_msr(access.index, value)) return general_protection();
  return Unit{};
}

// The machine's timer counts the clock's TSC; the guest means its own. 0 is "disarmed" to both.
OrFault<std::uint64_t> load_deadline(const MsrAccess& access) {
  const std::uint64_t deadline = TRY(load_platform(access));
  return deadline == 0 ? 0 : deadline + access.state.tsc_offset;
}
OrFault<> store_deadline(const MsrAccess& access, std::uint64_t value) {
  if (value == 0) return store_platform(access, 0);
  const std::uint64_t clock = access.port.clock_tsc();
  const std::uint64_t now = clock + access.state.tsc_offset;
  if (value <= now) return store_platform(access, 1);  // long past: fires at once
  const std::uint64_t ahead = std::min(value - now, ~clock);
  return store_platform(access, clock + ahead);
}

/// The machine's clock for the guest says what the guest's TSC reads; so the machine must know.
void tell_offset(const MsrAccess& access) {
  (void)access.port.write_platform_msr(kTscMsr, access.state.tsc_offset);
}
OrFault<> store_kvm_clock(const MsrAccess& access, std::uint64_t value) {
  tell_offset(access);
  return store_platform(access, value);
}

/// Moves the guest's TSC; a deadline that is armed stays where it is on the guest's scale.
void shift_tsc(const MsrAccess& access, std::uint64_t delta) {
  const MsrAccess timer{access.state, access.port, kTscDeadlineMsr, 0};
  const bool has_deadline = access.model().features().has(Feature::kTscDeadline);
  const auto deadline = has_deadline ? load_deadline(timer) : OrFault<std::uint64_t>(0);
  access.state.tsc_offset += delta;
  access.state.msr.tsc_adjust += delta;
  if (deadline && *deadline != 0) (void)store_deadline(timer, *deadline);
  if (access.model().features().has(Feature::kKvmClock)) tell_offset(access);
}

OrFault<std::uint64_t> load_tsc(const MsrAccess& access) { return guest_tsc(access); }
OrFault<> store_tsc(const MsrAccess& access, std::uint64_t value) {
  shift_tsc(access, value - guest_tsc(access));
  return Unit{};
}
OrFault<> store_tsc_adjust(const MsrAccess& access, std::uint64_t value) {
  shift_tsc(access, value - access.state.msr.tsc_adjust);
  return Unit{};
}

}  // namespace

std::span<const MsrRow> msr_rows::time() {
  using enum Feature;
  static constexpr std::array kRows = {
      MsrRow{kTscMsr, 1, load_tsc, store_tsc, kTsc},
      MsrRow{0x1b, 1, load_platform, store_platform, kApic},
      MsrRow{0x3b, 1, msr_load<&MsrState::tsc_adjust>, store_tsc_adjust, kTscAdjust},
      MsrRow{kTscDeadlineMsr, 1, load_deadline, store_deadline, kTscDeadline},
      MsrRow{0x800, 0x100, load_platform, store_platform, kX2apic},
      // Documentation/virt/kvm/x86/msr.rst: wall clock, clock, steal time.
      MsrRow{0x4b564d00, 1, load_platform, store_platform, kKvmClock},
      MsrRow{0x4b564d01, 1, load_platform, store_kvm_clock, kKvmClock},
      MsrRow{0x4b564d03, 1, load_platform, store_platform, kKvmStealTime},
  };
  return kRows;
}

}  // namespace vireo::x86
