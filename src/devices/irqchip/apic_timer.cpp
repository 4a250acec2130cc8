#include "devices/irqchip/apic_timer.h"

namespace vireo::devices {

std::uint32_t ApicTimer::current_count(ApicTimerMode mode) const {
  if (mode == ApicTimerMode::kTscDeadline || state_.count == 0) return 0;
  const std::uint64_t counted = (now_ticks() - state_.base_tick) / divisor();
  if (counted < state_.count) return static_cast<std::uint32_t>(state_.count - counted);
  if (mode == ApicTimerMode::kOneShot || state_.initial_count == 0) return 0;
  const std::uint64_t into_period = (counted - state_.count) % state_.initial_count;
  return static_cast<std::uint32_t>(state_.initial_count - into_period);
}

void ApicTimer::start(std::uint32_t initial_count) {
  state_.initial_count = initial_count;
  state_.count = initial_count;
  state_.base_tick = now_ticks();
}

void ApicTimer::set_divide(std::uint32_t divide, ApicTimerMode mode) {
  state_.count = current_count(mode);
  state_.base_tick = now_ticks();
  state_.divide = divide;
}

void ApicTimer::change_mode(ApicTimerMode from, ApicTimerMode to) {
  if (from == to) return;
  if (from == ApicTimerMode::kTscDeadline || to == ApicTimerMode::kTscDeadline) {
    state_.initial_count = 0;
    state_.count = 0;
    state_.tsc_deadline = 0;
    return;
  }
  state_.count = current_count(from);
  state_.base_tick = now_ticks();
}

std::uint64_t ApicTimer::deadline_ns(ApicTimerMode mode) const {
  if (mode != ApicTimerMode::kTscDeadline)
    return state_.count == 0 ? TickRate::kNever
                             : rate_.ns_at(add_saturating(state_.base_tick, ticks_to_zero()));
  if (state_.tsc_deadline == 0) return TickRate::kNever;
  const std::uint64_t now_ns = clock_.now_ns();
  const std::uint64_t tsc = clock_.tsc();
  if (state_.tsc_deadline <= tsc) return now_ns;
  return add_saturating(now_ns, TickRate(clock_.tsc_hz()).ns_at(state_.tsc_deadline - tsc));
}

bool ApicTimer::expire(ApicTimerMode mode) {
  if (mode == ApicTimerMode::kTscDeadline) {
    if (state_.tsc_deadline == 0 || clock_.tsc() < state_.tsc_deadline) return false;
    state_.tsc_deadline = 0;
    return true;
  }
  const std::uint64_t now = now_ticks();
  const std::uint64_t elapsed = now - state_.base_tick;
  if (state_.count == 0 || elapsed < ticks_to_zero()) return false;
  const std::uint64_t zero_tick = state_.base_tick + ticks_to_zero();
  state_.count = mode == ApicTimerMode::kPeriodic ? state_.initial_count : 0;
  if (state_.count == 0) return true;
  state_.base_tick = now - (now - zero_tick) % ticks_to_zero();
  return true;
}

std::uint64_t ApicTimer::divisor() const {
  // 000 is 2, 001 is 4, ... 110 is 128, and 111 is 1.
  const std::uint32_t code = (state_.divide & 3) | (state_.divide >> 1 & 4);
  return std::uint64_t{1} << ((code + 1) & 7);
}

}  // namespace vireo::devices
