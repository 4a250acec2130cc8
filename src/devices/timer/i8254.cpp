#include "devices/timer/i8254.h"

#include <algorithm>

#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr unsigned kControlPort = 3;
constexpr std::uint8_t kReadBackNoCount = 0x20, kReadBackNoStatus = 0x10;
constexpr std::uint8_t kGate2 = 0x01, kPort61Writable = 0x0f;
constexpr std::uint8_t kRefreshToggle = 0x10, kOutput2 = 0x20;
constexpr std::uint64_t kRefreshNs = 15'085;
// A guest that asks for a shorter period gets one interrupt for several of its periods.
constexpr std::uint64_t kMinimumPeriodNs = 20'000;

}  // namespace

Pit::Pit(const Clock& clock, TimerService& timers, bus::IrqLine& irq0)
    : clock_(clock), irq0_(irq0), port61_(*this), alarm_(timers, [this] { on_timer(); }) {
  reset();
}

void Pit::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t tick = catch_up();
  bus::for_each_byte(offset, data, [&](std::uint64_t port, std::uint8_t& byte) {
    byte = port < kControlPort ? channels_[port].read(tick) : 0;
  });
  update(tick);
}

void Pit::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t tick = catch_up();
  for (std::size_t i = 0; i < data.size(); ++i)
    write_byte(static_cast<unsigned>((offset + i) & 3), std::to_integer<std::uint8_t>(data[i]),
               tick);
  update(tick);
}

PitState Pit::state() const {
  const std::lock_guard lock(mutex_);
  return {{channels_[0].state(), channels_[1].state(), channels_[2].state()}, port61_bits_};
}

Result<> Pit::restore(const PitState& state) {
  std::array<I8254Channel, 3> channels;
  for (unsigned i = 0; i < 3; ++i) TRY(channels[i].restore(state.channels[i]));
  if ((state.port61 & ~kPort61Writable) != 0 || !channels[0].gate() || !channels[1].gate() ||
      channels[2].gate() != ((state.port61 & kGate2) != 0))
    return host_error("i8254: the saved gates contradict port 0x61");
  const std::lock_guard lock(mutex_);
  channels_ = channels;
  port61_bits_ = state.port61;
  update(now());
  return Unit{};
}

void Pit::reset() {
  const std::lock_guard lock(mutex_);
  channels_ = {};
  channels_[2].set_gate(false, now());
  port61_bits_ = 0;
  update(now());
}

void Pit::write_byte(unsigned port, std::uint8_t value, std::uint64_t tick) {
  if (port == kControlPort)
    write_control(value, tick);
  else
    channels_[port].write_count(value, tick);
}

void Pit::write_control(std::uint8_t value, std::uint64_t tick) {
  const unsigned select = value >> 6;
  if (select < 3) {
    if ((value & 0x30) == 0)
      channels_[select].latch_count(tick);
    else
      channels_[select].write_control(value);
    return;
  }
  for (unsigned i = 0; i < 3; ++i) {
    if (!(value & (2U << i))) continue;
    if (!(value & kReadBackNoCount)) channels_[i].latch_count(tick);
    if (!(value & kReadBackNoStatus)) channels_[i].latch_status(tick);
  }
}

void Pit::on_timer() {
  const std::lock_guard lock(mutex_);
  alarm_.expired();
  update(catch_up(), clock_.now_ns() + kMinimumPeriodNs);
}

std::uint64_t Pit::catch_up() {
  const std::uint64_t tick = now();
  channels_[1].advance(tick);
  channels_[2].advance(tick);
  if (channels_[0].advance(tick)) {
    set_line(false);
    set_line(true);
  }
  return tick;
}

void Pit::update(std::uint64_t tick, std::uint64_t earliest_ns) {
  set_line(channels_[0].output(tick));
  const std::uint64_t next = channels_[0].next_change(tick);
  const bool never = next == I8254Channel::kNever;
  alarm_.set(never ? TickRate::kNever : std::max(rate_.ns_at(next), earliest_ns));
}

void Pit::set_line(bool high) {
  if (high == line_) return;
  line_ = high;
  irq0_.set_level(high);
}

void Pit::Port61::read(std::uint64_t, std::span<std::byte> data) {
  const std::lock_guard lock(pit.mutex_);
  const std::uint64_t tick = pit.catch_up();
  std::uint8_t value = pit.port61_bits_;
  if (pit.clock_.now_ns() / kRefreshNs & 1) value |= kRefreshToggle;
  if (pit.channels_[2].output(tick)) value |= kOutput2;
  bus::from_number(data, value);
  pit.update(tick);
}

void Pit::Port61::write(std::uint64_t, std::span<const std::byte> data) {
  const std::lock_guard lock(pit.mutex_);
  const std::uint64_t tick = pit.catch_up();
  pit.port61_bits_ = static_cast<std::uint8_t>(bus::to_number(data) & kPort61Writable);
  pit.channels_[2].set_gate(pit.port61_bits_ & kGate2, tick);
  pit.update(tick);
}

}  // namespace vireo::devices
