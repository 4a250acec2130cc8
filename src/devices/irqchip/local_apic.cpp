#include "devices/irqchip/local_apic.h"

#include <bit>

namespace vireo::devices {
namespace {

// A guest that asks for a shorter period gets one interrupt for several of its periods.
constexpr std::uint64_t kMinimumPeriodNs = 20'000;
constexpr std::uint8_t kFirstLegalVector = 16;

// identity_: the id below, then the xAPIC logical id and the modes.
constexpr unsigned kLogicalIdShift = 32;
constexpr std::uint64_t kIdentityEnabled = 1ULL << 40, kIdentityX2apic = 1ULL << 41;
constexpr std::uint64_t kIdentityFlat = 1ULL << 42, kIdentityTakesVectors = 1ULL << 43;

constexpr std::uint32_t vector_bit(unsigned vector) { return 1U << (vector & 31); }

/// The highest vector in the set, 0 if it is empty: vectors below 16 are never in one.
unsigned highest(const LocalApicState::Vectors& set) {
  for (unsigned i = 8; i-- > 0;)
    if (set[i]) return i * 32 + 31 - static_cast<unsigned>(std::countl_zero(set[i]));
  return 0;
}

constexpr DeliveryMode delivery_mode(std::uint32_t lvt) {
  return static_cast<DeliveryMode>(lvt >> 8 & 7);
}

}  // namespace

LocalApic::LocalApic(const Config& config, const Clock& clock, TimerService& timers, ApicBus& bus,
                     CpuSignals& signals)
    : config_(config),
      clock_(clock),
      bus_(bus),
      signals_(signals),
      timer_(clock, config.timer_hz),
      alarm_(timers.create_timer([this] { on_timer(); })) {
  for (unsigned pin = 0; pin < lint_.size(); ++pin) {
    lint_[pin].owner = this;
    lint_[pin].pin = pin;
  }
  reset();
}

std::optional<std::uint8_t> LocalApic::acknowledge_interrupt() {
  bool from_pic = false;
  {
    const std::lock_guard lock(mutex_);
    from_pic = ext_int_ready();
    if (from_pic) state_.ext_int_request = 0;
  }
  std::optional<std::uint8_t> vector;
  if (from_pic) vector = bus_.acknowledge_ext_int();
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    if (!vector && vector_ready()) {
      vector = static_cast<std::uint8_t>(highest(state_.irr));
      state_.irr[*vector / 32] &= ~vector_bit(*vector);
      state_.isr[*vector / 32] |= vector_bit(*vector);
    }
    publish(effects, true);
  }
  finish(effects);
  return vector;
}

bool LocalApic::enabled() const {
  return identity_.load(std::memory_order_acquire) & kIdentityEnabled;
}

bool LocalApic::takes_vectors() const {
  return identity_.load(std::memory_order_acquire) & kIdentityTakesVectors;
}

/// SDM vol. 3A, 10.6.2 and 10.12.10.
bool LocalApic::is_addressed_by(const InterruptMessage& message) const {
  const auto identity = identity_.load(std::memory_order_acquire);
  if (!(identity & kIdentityEnabled)) return false;
  if (message.broadcast) return true;
  const auto id = static_cast<std::uint32_t>(identity);
  const auto destination = message.destination;
  if (!message.logical) return id == destination;
  if (identity & kIdentityX2apic)
    return id >> 4 == destination >> 16 && ((1U << (id & 15)) & destination) != 0;
  const auto logical_id = static_cast<std::uint32_t>(identity >> kLogicalIdShift & 0xff);
  if (identity & kIdentityFlat) return (logical_id & destination) != 0;
  return logical_id >> 4 == destination >> 4 && (logical_id & destination & 0xf) != 0;
}

bool LocalApic::accept(const InterruptMessage& message) {
  Effects effects;
  bool accepted = true;
  {
    const std::lock_guard lock(mutex_);
    if (!enabled_locked()) return false;
    switch (message.mode) {
      case DeliveryMode::kFixed:
      case DeliveryMode::kLowestPriority:
        accepted = accept_vector(message.vector, message.level_triggered, effects);
        break;
      case DeliveryMode::kSmi:  // there is no system management mode to enter
        break;
      case DeliveryMode::kNmi:
        effects.nmi = true;
        break;
      case DeliveryMode::kInit:
        reset_registers();
        effects.init = true;
        break;
      case DeliveryMode::kStartup:
        effects.startup = message.vector;
        break;
      case DeliveryMode::kExtInt:
        state_.ext_int_request = 1;
        break;
      case DeliveryMode::kReserved:
        accepted = false;
        break;
    }
    publish(effects, message.mode == DeliveryMode::kExtInt);
  }
  finish(effects);
  return accepted;
}

void LocalApic::reset() {
  Effects effects;
  const std::lock_guard lock(mutex_);
  state_.base = LocalApicState{}.base | (config_.bootstrap ? apic::kBaseBsp : 0);
  state_.id = config_.id & 0xff;
  state_.errors = 0;
  reset_registers();
  publish(effects);
}

void LocalApic::set_virtual_wire() {
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    state_.svr = 0xff | apic::kSvrEnable;
    if (config_.bootstrap)
      lvt(apic::kLvtLint0) = static_cast<std::uint32_t>(DeliveryMode::kExtInt) << 8;
    lvt(apic::kLvtLint1) = static_cast<std::uint32_t>(DeliveryMode::kNmi) << 8;
    publish(effects, true);
  }
  finish(effects);
}

LocalApicState LocalApic::state() const {
  const std::lock_guard lock(mutex_);
  LocalApicState copy = state_;
  copy.timer = timer_.state();
  return copy;
}

Result<> LocalApic::restore(const LocalApicState& state) {
  const std::uint64_t page = (1ULL << config_.physical_address_bits) - 0x1000;
  const bool mode_known =
      !(state.base & apic::kBaseX2apic) ||
      ((state.base & apic::kBaseEnable) && config_.x2apic && state.id == config_.id);
  const bool no_illegal_vector = ((state.isr[0] | state.irr[0]) & 0xffff) == 0;
  bool sane = mode_known && no_illegal_vector && state.lint_levels <= 3 &&
              state.ext_int_request <= 1 && (state.svr & ~apic::kSvrWritable) == 0 &&
              (state.timer.divide & ~apic::kDivideWritable) == 0 &&
              ((state.base & apic::kBaseX2apic) || state.id <= 0xff) &&
              (state.base & ~(page | apic::kBaseBsp | apic::kBaseX2apic | apic::kBaseEnable)) == 0;
  for (unsigned reg = apic::kLvtTimer; reg <= apic::kLvtError; ++reg)
    sane = sane &&
           (state.lvt[reg - apic::kLvtTimer] & ~(lvt_writable(reg) | apic::kLvtRemoteIrr)) == 0;
  if (!sane) return host_error("local APIC: the saved state could not have been this CPU's");
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    state_ = state;
    timer_.restore(state.timer);
    publish(effects, true);
    arm_timer();
  }
  finish(effects);
  return Unit{};
}

void LocalApic::set_lint(unsigned pin, bool high) {
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    const auto bit = static_cast<std::uint8_t>(1U << pin);
    const bool rose = high && !(state_.lint_levels & bit);
    state_.lint_levels =
        static_cast<std::uint8_t>(high ? state_.lint_levels | bit : state_.lint_levels & ~bit);
    const unsigned reg = pin == 0 ? apic::kLvtLint0 : apic::kLvtLint1;
    // Without an APIC the pins are the CPU's INTR and NMI. SDM vol. 3A, 10.4.3.
    if (!enabled_locked())
      effects.nmi = rose && pin == 1;
    else if (rose)
      trigger(reg, effects);
    publish(effects, rose);
  }
  finish(effects);
}

void LocalApic::trigger_local(unsigned lvt_register) {
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    if (enabled_locked() && trigger(lvt_register, effects) && lvt_register == apic::kLvtPerf)
      lvt(apic::kLvtPerf) |= apic::kLvtMasked;  // SDM vol. 3A, 10.5.1
    publish(effects);
  }
  finish(effects);
}

void LocalApic::on_timer() {
  Effects effects;
  {
    const std::lock_guard lock(mutex_);
    poll_timer(effects);
    arm_timer(clock_.now_ns() + kMinimumPeriodNs);
    publish(effects);
  }
  finish(effects);
}

void LocalApic::finish(const Effects& effects) {
  if (effects.init) signals_.init();
  if (effects.startup) signals_.startup(*effects.startup);
  if (effects.nmi) signals_.nmi();
  if (effects.interrupt) signals_.interrupt();
  if (effects.eoi) bus_.broadcast_eoi(*effects.eoi);
  if (effects.ipi) bus_.send_ipi(*this, *effects.ipi);
}

/// PPR. SDM vol. 3A, 10.8.3.1.
std::uint8_t LocalApic::processor_priority_locked() const {
  const unsigned serviced = highest(state_.isr) & 0xf0;
  return static_cast<std::uint8_t>((state_.tpr & 0xf0U) >= serviced ? state_.tpr : serviced);
}

bool LocalApic::ext_int_ready() const {
  if (state_.ext_int_request) return true;
  if (!(state_.lint_levels & 1)) return false;
  if (!enabled_locked()) return true;
  const auto entry = lvt(apic::kLvtLint0);
  return !(entry & apic::kLvtMasked) && delivery_mode(entry) == DeliveryMode::kExtInt;
}

bool LocalApic::vector_ready() const {
  return highest(state_.irr) >> 4 > unsigned{processor_priority_locked()} >> 4;
}

void LocalApic::publish(Effects& effects, bool raised) {
  const bool before = pending_.load(std::memory_order_relaxed);
  const bool pending = ext_int_ready() || vector_ready();
  pending_.store(pending, std::memory_order_release);
  effects.interrupt |= pending && (raised || !before);
  priority_.store(processor_priority_locked(), std::memory_order_relaxed);

  std::uint64_t identity = state_.id | std::uint64_t{state_.ldr} << kLogicalIdShift;
  if (enabled_locked()) identity |= kIdentityEnabled;
  if (enabled_locked() && software_enabled()) identity |= kIdentityTakesVectors;
  if (x2apic()) identity |= kIdentityX2apic;
  if (state_.dfr >> 28 == 0xf) identity |= kIdentityFlat;
  identity_.store(identity, std::memory_order_release);
  const bool has_page = enabled_locked() && !x2apic();
  page_.store(has_page ? state_.base & ~std::uint64_t{0xfff} : kNoPage, std::memory_order_release);
}

bool LocalApic::accept_vector(std::uint8_t vector, bool level, Effects& effects) {
  if (!software_enabled()) return false;
  if (vector < kFirstLegalVector) {
    log_error(apic::kErrorReceiveVector, effects);
    return false;
  }
  const unsigned word = vector / 32;
  state_.irr[word] |= vector_bit(vector);
  state_.tmr[word] &= ~vector_bit(vector);
  if (level) state_.tmr[word] |= vector_bit(vector);
  publish(effects, true);
  return true;
}

/// A local source asks for its interrupt. False if it does not get it.
bool LocalApic::trigger(unsigned lvt_register, Effects& effects) {
  auto& entry = lvt(lvt_register);
  if (entry & apic::kLvtMasked) return false;
  switch (delivery_mode(entry)) {
    case DeliveryMode::kFixed: {
      const bool level = lvt_register == apic::kLvtLint0 && (entry & apic::kLvtLevel);
      if (level && (entry & apic::kLvtRemoteIrr)) return false;
      if (!accept_vector(static_cast<std::uint8_t>(entry), level, effects)) return false;
      if (level) entry |= apic::kLvtRemoteIrr;
      return true;
    }
    case DeliveryMode::kNmi:
      effects.nmi = true;
      return true;
    case DeliveryMode::kInit:
      reset_registers();
      effects.init = true;
      return true;
    default:
      return true;  // ExtINT is a level that ext_int_ready() looks at
  }
}

/// One error interrupt until ESR is written. SDM vol. 3A, 10.5.3.
void LocalApic::log_error(std::uint32_t error, Effects& effects) {
  const bool first = state_.errors == 0;
  state_.errors |= error;
  if (first) trigger(apic::kLvtError, effects);
}

void LocalApic::sense_lint0_level(Effects& effects) {
  const auto entry = lvt(apic::kLvtLint0);
  if ((entry & apic::kLvtLevel) && delivery_mode(entry) == DeliveryMode::kFixed &&
      (state_.lint_levels & 1))
    trigger(apic::kLvtLint0, effects);
}

/// SDM vol. 3A, 10.8.5.
void LocalApic::end_of_interrupt(Effects& effects) {
  const auto vector = static_cast<std::uint8_t>(highest(state_.isr));
  if (vector == 0) return;
  state_.isr[vector / 32] &= ~vector_bit(vector);
  if (!(state_.tmr[vector / 32] & vector_bit(vector))) return;
  if (!(state_.svr & apic::kSvrSuppressEoi)) effects.eoi = vector;
  auto& lint0 = lvt(apic::kLvtLint0);
  if ((lint0 & apic::kLvtRemoteIrr) && static_cast<std::uint8_t>(lint0) == vector) {
    lint0 &= ~apic::kLvtRemoteIrr;
    sense_lint0_level(effects);
  }
}

/// INIT: everything but the mode, the ids and the pins. SDM vol. 3A, 10.4.7.3.
void LocalApic::reset_registers() {
  LocalApicState fresh;
  fresh.base = state_.base;
  fresh.id = state_.id;
  fresh.lint_levels = state_.lint_levels;
  state_ = fresh;
  timer_.restore({});
  alarm_->cancel();
}

void LocalApic::poll_timer(Effects& effects) {
  if (timer_.expire(timer_mode())) trigger(apic::kLvtTimer, effects);
}

void LocalApic::arm_timer(std::uint64_t earliest_ns) {
  const auto deadline = timer_.deadline_ns(timer_mode());
  // While it is masked nobody hears it expire; poll_timer() catches up.
  if (deadline == TickRate::kNever || (lvt(apic::kLvtTimer) & apic::kLvtMasked))
    alarm_->cancel();
  else
    alarm_->arm(deadline > earliest_ns ? deadline : earliest_ns);
}

ApicTimerMode LocalApic::timer_mode() const {
  const auto bits = lvt(apic::kLvtTimer) >> apic::kLvtTimerModeShift & 3;
  if (bits & 2) return ApicTimerMode::kTscDeadline;
  return bits ? ApicTimerMode::kPeriodic : ApicTimerMode::kOneShot;
}

}  // namespace vireo::devices
