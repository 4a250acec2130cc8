#pragma once
#include <cstdint>
#include <optional>

#include "x86/fault.h"

namespace vireo::x86 {

/// Why control goes through the IDT: it decides about privilege checks, the EXT bit of error codes
/// and virtual-8086 redirection. SDM vol. 3A, 6.3-6.5; vol. 3C, 24.8.3.
enum class EventSource : std::uint8_t {
  kExternalInterrupt,
  kNmi,
  kException,
  kSoftwareInterrupt,  ///< INT n
  kSoftwareException,  ///< INT3 and INTO
  kIcebp,              ///< INT1: no privilege check
};

/// One interrupt or exception. RIP of the state it is delivered to is what is pushed: the faulting
/// instruction for a fault, else the next instruction. RFLAGS.RF is pushed as it is except for
/// faults, where 1 is pushed; whoever interrupts a repeated string instruction between two
/// iterations sets RF first (SDM vol. 3B, 17.3.1.1).
struct Event {
  std::uint8_t vector = 0;
  EventSource source = EventSource::kException;
  std::optional<std::uint32_t> error_code;
  std::uint64_t dr6 = 0;  ///< for #DB: bits to set in DR6

  static constexpr Event external_interrupt(std::uint8_t vector) {
    return {vector, EventSource::kExternalInterrupt, {}, 0};
  }
  static constexpr Event nmi() { return {2, EventSource::kNmi, {}, 0}; }
  static constexpr Event software_interrupt(std::uint8_t vector) {
    return {vector, EventSource::kSoftwareInterrupt, {}, 0};
  }
  /// The error code only where the vector has one. CR2 is not part of an event.
  static constexpr Event exception(const Fault& fault) {
    Event event{static_cast<std::uint8_t>(fault.vector), EventSource::kException, {}, fault.dr6};
    if (has_error_code(fault.vector)) event.error_code = fault.error_code;
    return event;
  }

  /// INT n, INT3 and INTO: the gate's DPL is checked, and faults in the delivery have EXT clear.
  constexpr bool software() const {
    return source == EventSource::kSoftwareInterrupt || source == EventSource::kSoftwareException;
  }
  constexpr bool external() const { return !software(); }

  bool operator==(const Event&) const = default;
};

}  // namespace vireo::x86
