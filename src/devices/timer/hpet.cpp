#include "devices/timer/hpet.h"

#include <algorithm>

#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kCapabilities = 0x00, kConfig = 0x10, kStatus = 0x20, kCounter = 0xf0;
constexpr std::uint64_t kFirstTimer = 0x100, kTimerStride = 0x20;
constexpr std::uint64_t kTimerConfig = 0x00, kTimerComparator = 0x08, kTimerFsb = 0x10;

constexpr std::uint64_t kEnable = 1, kLegacy = 2;

constexpr std::uint64_t kLevel = 1U << 1, kInterrupt = 1U << 2, kPeriodic = 1U << 3;
constexpr std::uint64_t kPeriodicCapable = 1U << 4, kWideCapable = 1U << 5, kSetValue = 1U << 6;
constexpr std::uint64_t k32Bits = 1U << 8, kFsb = 1U << 14, kFsbCapable = 1U << 15;
constexpr unsigned kRouteShift = 9;
constexpr std::uint64_t kRouteMask = 0x1fU << kRouteShift;
constexpr std::uint64_t kTimerWritable =
    kLevel | kInterrupt | kPeriodic | kSetValue | k32Bits | kRouteMask | kFsb;

// A guest that asks for a shorter period gets one interrupt for several of its periods.
constexpr std::uint64_t kMinimumPeriodNs = 20'000;

}  // namespace

Hpet::Hpet(const Clock& clock, TimerService& timers, const Wiring& wiring)
    : clock_(clock), wiring_(wiring), alarm_(timers, [this] {
        const std::lock_guard lock(mutex_);
        alarm_.expired();
        advance(now());
        arm(clock_.now_ns() + kMinimumPeriodNs);
      }) {}

void Hpet::read(std::uint64_t offset, std::span<std::byte> data) {
  if ((data.size() != 4 && data.size() != 8) || offset % data.size() != 0)
    return bus::from_number(data, ~std::uint64_t{0});
  const std::lock_guard lock(mutex_);
  const std::uint64_t tick = now();
  advance(tick);
  const std::uint64_t value = read_register(offset & ~std::uint64_t{7}, tick);
  bus::from_number(data, offset & 4 ? value >> 32 : value);
  arm();
}

void Hpet::write(std::uint64_t offset, std::span<const std::byte> data) {
  if ((data.size() != 4 && data.size() != 8) || offset % data.size() != 0) return;
  const std::lock_guard lock(mutex_);
  const std::uint64_t tick = now();
  advance(tick);
  const std::uint64_t reg = offset & ~std::uint64_t{7};
  std::uint64_t value = bus::to_number(data);
  std::uint64_t written = ~std::uint64_t{0};
  if (data.size() == 4) {
    const unsigned shift = offset & 4 ? 32 : 0;
    written = std::uint64_t{0xffffffff} << shift;
    value <<= shift;
  }
  write_register(reg, value, written, tick);
  arm();
}

HpetState Hpet::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<> Hpet::restore(const HpetState& state) {
  bool sane = (state.config & ~(kEnable | (wiring_.legacy ? kLegacy : 0))) == 0 &&
              state.status >> kTimers == 0;
  for (const auto& timer : state.timers)
    sane = sane && (timer.config & ~kTimerWritable) == 0 && timer.armed <= 1 &&
           (!(timer.config & kFsb) || wiring_.messages);
  if (!sane) return host_error("hpet: the saved state could not have been this chip's");
  const std::lock_guard lock(mutex_);
  state_ = state;
  if (wiring_.legacy) wiring_.legacy->set_replacement(legacy());
  update_lines();
  arm();
  return Unit{};
}

void Hpet::reset() {
  const std::lock_guard lock(mutex_);
  state_ = {};
  if (wiring_.legacy) wiring_.legacy->set_replacement(false);
  update_lines();
  arm();
}

bool Hpet::running() const { return state_.config & kEnable; }
bool Hpet::legacy() const { return state_.config & kLegacy; }
bool Hpet::periodic(unsigned n) const { return state_.timers[n].config & kPeriodic; }

std::uint64_t Hpet::counter(std::uint64_t tick) const {
  return running() ? state_.counter + tick : state_.counter;
}

std::uint64_t Hpet::width_mask(unsigned n) const {
  return state_.timers[n].config & k32Bits ? 0xffffffff : ~std::uint64_t{0};
}

std::uint64_t Hpet::capabilities() const {
  return kPeriodFs << 32 | std::uint64_t{0x8086} << 16 |
         (wiring_.legacy ? std::uint64_t{1} << 15 : 0) | 1U << 13 | (kTimers - 1) << 8 | 0x01;
}

std::uint64_t Hpet::timer_capabilities(unsigned) const {
  std::uint64_t routes = 0;
  for (unsigned i = 0; i < kRoutes; ++i)
    if (wiring_.inputs[i]) routes |= std::uint64_t{1} << i;
  return routes << 32 | kPeriodicCapable | kWideCapable | (wiring_.messages ? kFsbCapable : 0);
}

std::uint64_t Hpet::read_register(std::uint64_t reg, std::uint64_t tick) const {
  switch (reg) {
    case kCapabilities:
      return capabilities();
    case kConfig:
      return state_.config;
    case kStatus:
      return state_.status;
    case kCounter:
      return counter(tick);
    default:
      break;
  }
  const std::uint64_t n = reg >= kFirstTimer ? (reg - kFirstTimer) / kTimerStride : kTimers;
  return n < kTimers ? read_timer(static_cast<unsigned>(n), reg % kTimerStride) : 0;
}

std::uint64_t Hpet::read_timer(unsigned n, std::uint64_t reg) const {
  const auto& timer = state_.timers[n];
  switch (reg) {
    case kTimerConfig:
      return timer.config | timer_capabilities(n);
    case kTimerComparator:
      return timer.comparator & width_mask(n);
    case kTimerFsb:
      return timer.fsb_route;
    default:
      return 0;
  }
}

/// `written` has the bits set that the access wrote.
void Hpet::write_register(std::uint64_t reg, std::uint64_t value, std::uint64_t written,
                          std::uint64_t tick) {
  switch (reg) {
    case kConfig:
      return write_config(value | (state_.config & ~written), tick);
    case kStatus:
      state_.status &= ~value;
      return update_lines();
    case kCounter: {
      const std::uint64_t merged = value | (counter(tick) & ~written);
      state_.counter = running() ? merged - tick : merged;
      return schedule_all(tick);
    }
    default:
      break;
  }
  const std::uint64_t n = reg >= kFirstTimer ? (reg - kFirstTimer) / kTimerStride : kTimers;
  if (n < kTimers) write_timer(static_cast<unsigned>(n), reg % kTimerStride, value, written, tick);
}

void Hpet::write_config(std::uint64_t value, std::uint64_t tick) {
  const std::uint64_t count = counter(tick);
  state_.config = value & (kEnable | (wiring_.legacy ? kLegacy : 0));
  state_.counter = running() ? count - tick : count;
  update_lines();
  if (wiring_.legacy) wiring_.legacy->set_replacement(legacy());
  schedule_all(tick);
}

void Hpet::write_timer(unsigned n, std::uint64_t reg, std::uint64_t value, std::uint64_t written,
                       std::uint64_t tick) {
  auto& timer = state_.timers[n];
  switch (reg) {
    case kTimerConfig:
      return write_timer_config(n, value | (timer.config & ~written), tick);
    case kTimerComparator:
      return write_comparator(n, value, written, tick);
    case kTimerFsb:
      timer.fsb_route = value | (timer.fsb_route & ~written);
      return;
    default:
      return;
  }
}

void Hpet::write_timer_config(unsigned n, std::uint64_t value, std::uint64_t tick) {
  auto& timer = state_.timers[n];
  const auto before = timer.config;
  timer.config = value & kTimerWritable;
  if (!wiring_.messages) timer.config &= ~kFsb;
  // A route that does not exist reads back as something else. HPET 1.0a, 2.3.8.
  const auto route = (timer.config & kRouteMask) >> kRouteShift;
  if (!wiring_.inputs[route]) timer.config = (timer.config & ~kRouteMask) | (before & kRouteMask);
  if (timer.config & k32Bits) {
    timer.comparator &= 0xffffffff;
    timer.period &= 0xffffffff;
  }
  update_line(n);
  if ((before ^ timer.config) & (k32Bits | kPeriodic)) schedule(n, tick);
}

/// HPET 1.0a, 2.3.9.2.2: in periodic mode the value written last is the period; VAL_SET makes the
/// next write one of the comparator as well, and goes away with it.
void Hpet::write_comparator(unsigned n, std::uint64_t value, std::uint64_t written,
                            std::uint64_t tick) {
  auto& timer = state_.timers[n];
  const auto merge = [&](std::uint64_t old) { return (value | (old & ~written)) & width_mask(n); };
  if (periodic(n)) timer.period = merge(timer.period);
  if (!periodic(n) || (timer.config & kSetValue)) timer.comparator = merge(timer.comparator);
  timer.config &= ~kSetValue;
  schedule(n, tick);
}

void Hpet::schedule(unsigned n, std::uint64_t tick) {
  auto& timer = state_.timers[n];
  const std::uint64_t distance = (timer.comparator - counter(tick)) & width_mask(n);
  timer.match_tick = tick + distance;
  timer.armed = running() && distance < TickRate::kNever - tick;
}

void Hpet::schedule_all(std::uint64_t tick) {
  for (unsigned n = 0; n < kTimers; ++n) schedule(n, tick);
}

/// Carries out the matches until `tick`.
void Hpet::advance(std::uint64_t tick) {
  for (unsigned n = 0; n < kTimers; ++n) {
    auto& timer = state_.timers[n];
    if (!timer.armed || timer.match_tick > tick) continue;
    match(n);
    if (periodic(n) && timer.period != 0) {
      // Periods that were missed are one interrupt, but count.
      const std::uint64_t periods = (tick - timer.match_tick) / timer.period + 1;
      timer.comparator = (timer.comparator + periods * timer.period) & width_mask(n);
      timer.match_tick += periods * timer.period;
    } else if (width_mask(n) == 0xffffffff) {
      const std::uint64_t wraps = ((tick - timer.match_tick) >> 32) + 1;
      timer.match_tick += wraps << 32;
    } else {
      timer.armed = 0;
    }
  }
}

void Hpet::match(unsigned n) {
  const auto& timer = state_.timers[n];
  if (timer.config & kLevel) {
    state_.status |= std::uint64_t{1} << n;
    return update_line(n);
  }
  if (!(timer.config & kInterrupt)) return;
  const bool replaced = legacy() && n < 2;
  if ((timer.config & kFsb) && !replaced) {
    wiring_.messages->send_msi(timer.fsb_route >> 32, static_cast<std::uint32_t>(timer.fsb_route));
    return;
  }
  drive(n, line(n), false);
  drive(n, line(n), true);
  // The I/O APIC remembers an edge, and others may share its input; the 8259A forgets one.
  if (!replaced) drive(n, line(n), false);
}

void Hpet::arm(std::uint64_t earliest_ns) {
  std::uint64_t next = TickRate::kNever;
  for (const auto& timer : state_.timers) {
    // Nobody hears the others; advance() catches up with them.
    if (timer.armed && (timer.config & kInterrupt)) next = std::min(next, timer.match_tick);
  }
  alarm_.set(next == TickRate::kNever ? next : std::max(rate_.ns_at(next), earliest_ns));
}

/// Where timer n's interrupt goes; null: nowhere, or by message.
bus::IrqLine* Hpet::line(unsigned n) const {
  const auto& timer = state_.timers[n];
  if (legacy() && n < 2)
    return n == 0 ? &wiring_.legacy->hpet_timer0() : &wiring_.legacy->hpet_timer1();
  if (timer.config & kFsb) return nullptr;
  return wiring_.inputs[(timer.config & kRouteMask) >> kRouteShift];
}

/// The line after a change of anything but a match: high only for a level interrupt that waits, or
/// after the edge of a legacy one that has not been switched off or elsewhere since.
void Hpet::update_line(unsigned n) {
  const auto& timer = state_.timers[n];
  bus::IrqLine* target = line(n);
  const bool enabled = running() && (timer.config & kInterrupt);
  if (timer.config & kLevel)
    drive(n, target, enabled && (state_.status >> n & 1));
  else
    drive(n, target, enabled && driven_[n].high && driven_[n].line == target);
}

void Hpet::update_lines() {
  for (unsigned n = 0; n < kTimers; ++n) update_line(n);
}

void Hpet::drive(unsigned n, bus::IrqLine* target, bool high) {
  auto& driven = driven_[n];
  if (driven.line != target && driven.line && driven.high) driven.line->set_level(false);
  if (target && (driven.line == target ? driven.high != high : high)) target->set_level(high);
  driven = {target, target && high};
}

}  // namespace vireo::devices
