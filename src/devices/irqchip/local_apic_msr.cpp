// The local APIC as RDMSR and WRMSR see it: its mode, x2APIC registers and the TSC deadline.
#include "devices/irqchip/local_apic.h"

namespace vireo::devices {

std::optional<std::uint64_t> LocalApic::read_msr(std::uint32_t index) {
  const std::lock_guard lock(mutex_);
  if (index == apic::kMsrApicBase) return state_.base;
  if (index == apic::kMsrTscDeadline) {
    if (!config_.tsc_deadline) return std::nullopt;
    return timer_.state().tsc_deadline;
  }
  if (index < apic::kMsrX2apicFirst || index > apic::kMsrX2apicLast || !x2apic())
    return std::nullopt;
  const unsigned reg = index - apic::kMsrX2apicFirst;
  if (!apic::readable_in_x2apic(reg)) return std::nullopt;
  return reg == apic::kIcr ? state_.icr : read_register(reg);
}

bool LocalApic::write_msr(std::uint32_t index, std::uint64_t value) {
  Effects effects;
  bool accepted = false;
  {
    const std::lock_guard lock(mutex_);
    if (index == apic::kMsrApicBase)
      accepted = write_base(value, effects);
    else if (index == apic::kMsrTscDeadline)
      accepted = write_tsc_deadline(value, effects);
    else if (index >= apic::kMsrX2apicFirst && index <= apic::kMsrX2apicLast && x2apic())
      accepted = write_x2apic(index - apic::kMsrX2apicFirst, value, effects);
    publish(effects);
  }
  finish(effects);
  return accepted;
}

/// The bits that a write may set without #GP; empty if the register cannot be written.
std::optional<std::uint32_t> LocalApic::x2apic_writable(unsigned reg) const {
  switch (reg) {
    case apic::kTpr:
    case apic::kSelfIpi:
      return 0xff;
    case apic::kEoi:
    case apic::kEsr:
      return 0;
    case apic::kSvr:
      return apic::kSvrWritable;
    case apic::kIcr:
      return apic::kIcrWritable | apic::kIcrStatus;
    case apic::kLvtLint0:
    case apic::kLvtLint1:
      return lvt_writable(reg) | apic::kLvtStatus | apic::kLvtRemoteIrr;
    case apic::kInitialCount:
      return 0xffffffff;
    case apic::kDivide:
      return apic::kDivideWritable;
    default:
      if (apic::is_lvt(reg)) return lvt_writable(reg) | apic::kLvtStatus;
      return std::nullopt;
  }
}

/// SDM vol. 3A, 10.12.5: the only ways between disabled, xAPIC and x2APIC.
bool LocalApic::write_base(std::uint64_t value, Effects& effects) {
  const std::uint64_t page = (1ULL << config_.physical_address_bits) - 0x1000;
  const std::uint64_t x2apic_bit = config_.x2apic ? apic::kBaseX2apic : 0;
  if (value & ~(page | apic::kBaseBsp | apic::kBaseEnable | x2apic_bit)) return false;
  const bool enable = value & apic::kBaseEnable, extend = value & apic::kBaseX2apic;
  if (extend && !enable) return false;
  if (extend && !enabled_locked()) return false;
  if (x2apic() && enable && !extend) return false;
  const bool becomes_x2apic = extend && !x2apic();
  const bool becomes_disabled = !enable && enabled_locked();
  state_.base = value;
  if (becomes_x2apic) {
    state_.id = config_.id;
    state_.icr &= 0xffffffff;
  }
  if (becomes_disabled) {
    const auto tpr = state_.tpr;  // CR8 works without an APIC
    reset_registers();
    state_.id = config_.id & 0xff;
    state_.tpr = tpr;
  }
  publish(effects, true);
  return true;
}

bool LocalApic::write_x2apic(unsigned reg, std::uint64_t value, Effects& effects) {
  const auto writable = x2apic_writable(reg);
  const std::uint64_t high_writable = reg == apic::kIcr ? 0xffffffff00000000 : 0;
  if (!writable || (value & ~(high_writable | *writable)) != 0) return false;
  if (reg == apic::kIcr) {
    state_.icr = value & ~std::uint64_t{apic::kIcrStatus};
    write_icr(effects);
  } else if (reg == apic::kSelfIpi) {
    const auto vector = static_cast<std::uint8_t>(value);
    if (vector < 16)
      log_error(apic::kErrorSendVector, effects);
    else
      accept_vector(vector, false, effects);
  } else {
    write_register(reg, static_cast<std::uint32_t>(value), effects);
  }
  return true;
}

bool LocalApic::write_tsc_deadline(std::uint64_t value, Effects& effects) {
  if (!config_.tsc_deadline) return false;
  if (timer_mode() != ApicTimerMode::kTscDeadline) return true;  // ignored
  poll_timer(effects);
  timer_.set_tsc_deadline(value);
  poll_timer(effects);  // a deadline in the past is now
  arm_timer();
  return true;
}

}  // namespace vireo::devices
