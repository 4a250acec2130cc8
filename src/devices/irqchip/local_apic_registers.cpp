// The local APIC as software sees it: its registers in memory, and CR8.
#include "bus/access_split.h"
#include "devices/irqchip/local_apic.h"

namespace vireo::devices {
std::uint8_t LocalApic::read_cr8() const {
  const std::lock_guard lock(mutex_);
  return state_.tpr >> 4;
}

void LocalApic::write_cr8(std::uint8_t value) {
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    state_.tpr = static_cast<std::uint8_t>((value & 15) << 4);
    publish(effects);
  }
  finish(effects);
}

bool LocalApic::mmio_read(std::uint64_t address, std::span<std::byte> data) {
  const std::uint64_t offset = address - page_.load(std::memory_order_acquire);
  if (offset >= 0x1000) return false;
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    const auto reg = static_cast<unsigned>(offset >> 4);
    // Registers are the first 4 of 16 bytes each; the rest reads as zero.
    const unsigned shift = (offset & 15) * 8;
    if (!apic::exists_in_xapic(reg)) log_error(apic::kErrorRegister, effects);
    const std::uint32_t value = apic::exists_in_xapic(reg) ? read_register(reg) : 0;
    bus::from_number(data, shift < 32 ? value >> shift : 0);
    publish(effects);
  }
  finish(effects);
  return true;
}

bool LocalApic::mmio_write(std::uint64_t address, std::span<const std::byte> data) {
  const std::uint64_t offset = address - page_.load(std::memory_order_acquire);
  if (offset >= 0x1000) return false;
  if ((offset & 15) != 0 || data.size() != 4) return true;  // undefined; nothing happens
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    const auto reg = static_cast<unsigned>(offset >> 4);
    if (apic::exists_in_xapic(reg))
      write_register(reg, static_cast<std::uint32_t>(bus::to_number(data)), effects);
    else
      log_error(apic::kErrorRegister, effects);
    publish(effects);
  }
  finish(effects);
  return true;
}

/// A register that exists, whether or not it means anything to read it.
std::uint32_t LocalApic::read_register(unsigned reg) const {
  if (apic::is_lvt(reg)) return lvt(reg);
  if (reg >= apic::kIrr && reg < apic::kEsr) return state_.irr[reg - apic::kIrr];
  if (reg >= apic::kTmr && reg < apic::kIrr) return state_.tmr[reg - apic::kTmr];
  if (reg >= apic::kIsr && reg < apic::kTmr) return state_.isr[reg - apic::kIsr];
  switch (reg) {
    case apic::kId:
      return x2apic() ? state_.id : state_.id << 24;
    case apic::kVersion:
      return apic::kVersionValue;
    case apic::kTpr:
      return state_.tpr;
    case apic::kPpr:
      return processor_priority_locked();
    case apic::kLdr:  // SDM vol. 3A, 10.12.10.2
      return x2apic() ? (state_.id >> 4) << 16 | 1U << (state_.id & 15)
                      : std::uint32_t{state_.ldr} << 24;
    case apic::kDfr:
      return state_.dfr;
    case apic::kSvr:
      return state_.svr;
    case apic::kEsr:
      return state_.esr;
    case apic::kIcr:
      return static_cast<std::uint32_t>(state_.icr);
    case apic::kIcrHigh:
      return static_cast<std::uint32_t>(state_.icr >> 32);
    case apic::kInitialCount:
      return timer_.state().initial_count;
    case apic::kCurrentCount:
      return timer_.current_count(timer_mode());
    case apic::kDivide:
      return timer_.state().divide;
    default:
      return 0;
  }
}

void LocalApic::write_register(unsigned reg, std::uint32_t value, Effects& effects) {
  if (apic::is_timer(reg)) poll_timer(effects);
  if (apic::is_lvt(reg)) return write_lvt(reg, value, effects);
  switch (reg) {
    case apic::kId:
      if (!x2apic()) state_.id = value >> 24;
      break;
    case apic::kTpr:
      state_.tpr = static_cast<std::uint8_t>(value);
      break;
    case apic::kEoi:
      end_of_interrupt(effects);
      break;
    case apic::kLdr:
      state_.ldr = static_cast<std::uint8_t>(value >> 24);
      break;
    case apic::kDfr:
      state_.dfr = value | 0x0fffffff;
      break;
    case apic::kSvr:
      write_svr(value);
      break;
    case apic::kEsr:
      state_.esr = state_.errors;
      state_.errors = 0;
      break;
    case apic::kIcr:
      state_.icr = (state_.icr & 0xffffffff00000000) | (value & apic::kIcrWritable);
      write_icr(effects);
      break;
    case apic::kIcrHigh:
      state_.icr = (state_.icr & 0xffffffff) | std::uint64_t{value & 0xff000000} << 32;
      break;
    case apic::kInitialCount:
      if (timer_mode() == ApicTimerMode::kTscDeadline) break;  // SDM vol. 3A, 10.5.4.1
      timer_.start(value);
      arm_timer();
      break;
    case apic::kDivide:
      timer_.set_divide(value & apic::kDivideWritable, timer_mode());
      arm_timer();
      break;
    default:
      break;  // read only
  }
}

void LocalApic::write_lvt(unsigned reg, std::uint32_t value, Effects& effects) {
  const auto mode_before = timer_mode();
  auto& entry = lvt(reg);
  entry = (value & lvt_writable(reg)) | (entry & apic::kLvtRemoteIrr);
  if (!software_enabled()) entry |= apic::kLvtMasked;
  if (reg == apic::kLvtTimer) {
    timer_.change_mode(mode_before, timer_mode());
    arm_timer();
  }
  if (reg == apic::kLvtLint0) {
    if (!(entry & apic::kLvtLevel)) entry &= ~apic::kLvtRemoteIrr;
    sense_lint0_level(effects);
  }
}

void LocalApic::write_svr(std::uint32_t value) {
  state_.svr = value & apic::kSvrWritable;
  if (software_enabled()) return;
  for (auto& entry : state_.lvt) entry |= apic::kLvtMasked;  // SDM vol. 3A, 10.4.7.2
  arm_timer();
}

/// Sends what ICR says. SDM vol. 3A, 10.6.1 and 10.12.9.
void LocalApic::write_icr(Effects& effects) {
  const auto low = static_cast<std::uint32_t>(state_.icr);
  const auto mode = static_cast<DeliveryMode>(low >> 8 & 7);
  const auto vector = static_cast<std::uint8_t>(low);
  const bool is_vector = mode == DeliveryMode::kFixed || mode == DeliveryMode::kLowestPriority;
  if (is_vector && vector < 16) return log_error(apic::kErrorSendVector, effects);
  if (mode == DeliveryMode::kReserved || mode == DeliveryMode::kExtInt) return;
  const bool deassert = (low & apic::kIcrLevel) && !(low & apic::kIcrAssert);
  if (mode == DeliveryMode::kInit && deassert) return;  // only synchronized arbitration ids once

  const auto high = static_cast<std::uint32_t>(state_.icr >> 32);
  Ipi ipi;
  ipi.shorthand = static_cast<Ipi::Shorthand>(low >> 18 & 3);
  // IPIs are edges, whatever the trigger mode says. SDM vol. 3A, 10.6.1.
  ipi.message = {.destination = x2apic() ? high : high >> 24,
                 .logical = (low & apic::kIcrLogical) != 0,
                 .broadcast = high == (x2apic() ? 0xffffffff : 0xff000000),
                 .mode = mode,
                 .lowest_priority = mode == DeliveryMode::kLowestPriority,
                 .vector = vector};
  effects.ipi = ipi;
}

std::uint32_t LocalApic::lvt_writable(unsigned reg) const {
  switch (reg) {
    case apic::kLvtTimer:
      return config_.tsc_deadline ? 0x700ff : 0x300ff;
    case apic::kLvtThermal:
    case apic::kLvtPerf:
      return 0x107ff;
    case apic::kLvtLint0:
    case apic::kLvtLint1:
      return 0x1a7ff;
    default:
      return 0x100ff;
  }
}

}  // namespace vireo::devices
