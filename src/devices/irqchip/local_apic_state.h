#pragma once
#include <array>
#include <cstdint>

#include "devices/irqchip/apic_registers.h"
#include "devices/irqchip/apic_timer.h"

namespace vireo::devices {

/// What a local APIC remembers. SDM vol. 3A, 10.4.7.1: the values after power-up.
struct LocalApicState {
  using Vectors = std::array<std::uint32_t, 8>;  ///< one bit per vector

  std::uint64_t base = 0xfee00000 | apic::kBaseEnable;
  std::uint32_t id = 0;  ///< 8 bits in xAPIC mode
  std::uint8_t tpr = 0;
  std::uint8_t ldr = 0;  ///< bits 31:24 of the xAPIC register
  std::uint32_t dfr = 0xffffffff;
  std::uint32_t svr = 0xff;
  std::uint32_t esr = 0;
  std::uint32_t errors = 0;  ///< since ESR was written
  std::uint64_t icr = 0;
  std::array<std::uint32_t, apic::kLvtCount> lvt{apic::kLvtMasked, apic::kLvtMasked,
                                                 apic::kLvtMasked, apic::kLvtMasked,
                                                 apic::kLvtMasked, apic::kLvtMasked};
  Vectors isr{};
  Vectors tmr{};
  Vectors irr{};
  std::uint8_t lint_levels = 0;      ///< the pins
  std::uint8_t ext_int_request = 0;  ///< an ExtINT message waits for its acknowledge cycle
  ApicTimerState timer;

  bool operator==(const LocalApicState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [base, id, tpr, ldr, dfr, svr, esr, errors, icr, lvt, isr, tmr, irr, lint_levels,
           ext_int_request, timer] = self;
    visit("base", base), visit("id", id), visit("tpr", tpr), visit("ldr", ldr);
    visit("dfr", dfr), visit("svr", svr), visit("esr", esr), visit("errors", errors);
    visit("icr", icr), visit("lvt", lvt), visit("isr", isr), visit("tmr", tmr);
    visit("irr", irr), visit("lint_levels", lint_levels);
    visit("ext_int_request", ext_int_request), visit("timer", timer);
  }
};

}  // namespace vireo::devices
