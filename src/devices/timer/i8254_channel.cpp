#include "devices/timer/i8254_channel.h"

namespace vireo::devices {
namespace {

constexpr unsigned kLowOnly = 1, kHighOnly = 2;

constexpr unsigned access_mode(std::uint8_t control) { return control >> 4 & 3; }

constexpr std::uint32_t from_bcd(std::uint32_t value) {
  return (value & 15) + 10 * (value >> 4 & 15) + 100 * (value >> 8 & 15) + 1000 * (value >> 12);
}
constexpr std::uint16_t to_bcd(std::uint32_t value) {
  return static_cast<std::uint16_t>(value % 10 | (value / 10 % 10) << 4 | (value / 100 % 10) << 8 |
                                    (value / 1000 % 10) << 12);
}

}  // namespace

unsigned I8254Channel::mode() const {
  const unsigned mode = state_.control >> 1 & 7;
  return mode > 5 ? mode - 4 : mode;  // 6 and 7 are 2 and 3
}

void I8254Channel::write_control(std::uint8_t control) {
  const auto gate = state_.gate;
  state_ = {};
  state_.gate = gate;
  state_.control = control & 0x3f;
}

void I8254Channel::write_count(std::uint8_t byte, std::uint64_t now) {
  switch (access_mode(state_.control)) {
    case kLowOnly:
      return load(byte, now);
    case kHighOnly:
      return load(static_cast<std::uint16_t>(byte << 8), now);
    default:
      break;
  }
  if (!state_.write_high_next) {
    state_.write_low = byte;
    state_.write_high_next = 1;
    if (mode() == 0) {  // the first byte stops the count and lowers OUT
      state_.loaded = 0;
      state_.counting = 0;
    }
    return;
  }
  state_.write_high_next = 0;
  load(static_cast<std::uint16_t>(byte << 8 | state_.write_low), now);
}

std::uint8_t I8254Channel::read(std::uint64_t now) {
  if (state_.status_latched) {
    state_.status_latched = 0;
    return state_.latched_status;
  }
  const std::uint16_t count = state_.latched_bytes ? state_.latched_count : current(now);
  const unsigned access = access_mode(state_.control);
  bool high = access == kHighOnly;
  if (access != kLowOnly && access != kHighOnly) {
    high = state_.read_high_next;
    state_.read_high_next = !state_.read_high_next;
  }
  if (state_.latched_bytes) --state_.latched_bytes;
  return static_cast<std::uint8_t>(high ? count >> 8 : count);
}

void I8254Channel::latch_count(std::uint64_t now) {
  if (state_.latched_bytes) return;  // the first latch holds until it is read
  const unsigned access = access_mode(state_.control);
  state_.latched_count = current(now);
  state_.latched_bytes = access == kLowOnly || access == kHighOnly ? 1 : 2;
  state_.read_high_next = 0;
}

void I8254Channel::latch_status(std::uint64_t now) {
  if (state_.status_latched) return;
  const bool null_count = !state_.loaded || state_.next_reload != 0 || elapsed(now) == 0;
  state_.latched_status =
      static_cast<std::uint8_t>(output(now) << 7 | null_count << 6 | state_.control);
  state_.status_latched = 1;
}

void I8254Channel::set_gate(bool high, std::uint64_t now) {
  if (high == (state_.gate != 0)) return;
  state_.gate = high;
  if (!state_.loaded) return;
  switch (mode()) {
    case 1:
    case 5:
      if (!high) return;
      if (state_.next_reload) state_.reload = state_.next_reload;
      state_.next_reload = 0;
      state_.triggered = 1;
      return start(now);
    case 2:
    case 3:
      if (high) return start(now);
      break;
    default:
      if (high) {
        state_.start_tick = now - state_.elapsed;
        state_.counting = 1;
        return;
      }
      break;
  }
  state_.elapsed = elapsed(now);
  state_.counting = 0;
}

bool I8254Channel::output(std::uint64_t now) const {
  const bool started = state_.loaded && elapsed(now) > 0;
  const std::uint64_t ticks = counted(now);
  switch (mode()) {
    case 0:
      return started && ticks >= state_.reload;
    case 1:
      return !state_.triggered || !started || ticks >= state_.reload;
    case 2:
      return !started || !state_.gate || ticks % state_.reload != state_.reload - 1;
    case 3:
      return !started || !state_.gate || ticks % state_.reload < (state_.reload + 1) / 2;
    case 4:
      return !started || ticks != state_.reload;
    default:
      return !state_.triggered || !started || ticks != state_.reload;
  }
}

bool I8254Channel::advance(std::uint64_t now) {
  bool rose = false;
  if (state_.next_reload && state_.switch_tick != kNever && now >= state_.switch_tick) {
    rose = rises(state_.switch_tick) > state_.rises_seen;
    state_.reload = state_.next_reload;
    state_.next_reload = 0;
    state_.start_tick = state_.switch_tick - 1;
    state_.rises_seen = 0;
  }
  const std::uint64_t seen = rises(now);
  rose |= seen > state_.rises_seen;
  state_.rises_seen = seen;
  return rose;
}

std::uint64_t I8254Channel::next_change(std::uint64_t now) const {
  if (!state_.loaded || !state_.counting) return kNever;
  const std::uint64_t loaded = state_.start_tick + 1;
  const std::uint64_t ticks = counted(now);
  const std::uint64_t period = ticks - (state_.reload ? ticks % state_.reload : 0);
  const std::uint64_t half = period + (state_.reload + 1) / 2;
  switch (mode()) {
    case 0:
    case 1:
      return ticks < state_.reload ? loaded + state_.reload : kNever;
    case 2:
      return loaded + period + state_.reload;
    case 3:
      return loaded + (ticks < half ? half : period + state_.reload);
    default:
      return ticks <= state_.reload ? loaded + state_.reload + 1 : kNever;
  }
}

Result<> I8254Channel::restore(const I8254ChannelState& state) {
  const auto flag = [](std::uint8_t value) { return value <= 1; };
  if (state.control > 0x3f || !flag(state.gate) || !flag(state.loaded) || !flag(state.counting) ||
      !flag(state.triggered) || !flag(state.write_high_next) || !flag(state.read_high_next) ||
      !flag(state.status_latched) || state.latched_bytes > 2 || state.reload > 65536 ||
      state.next_reload > 65536 || (state.loaded && state.reload == 0) ||
      (state.counting && !state.loaded))
    return host_error("i8254: the saved state could not have been this chip's");
  state_ = state;
  return Unit{};
}

std::uint64_t I8254Channel::counted(std::uint64_t now) const {
  const std::uint64_t ticks = elapsed(now);
  return ticks > 0 ? ticks - 1 : 0;
}

/// How often OUT has risen since the count was loaded.
std::uint64_t I8254Channel::rises(std::uint64_t now) const {
  if (!state_.loaded || !state_.counting) return state_.rises_seen;
  const std::uint64_t ticks = counted(now);
  switch (mode()) {
    case 0:
    case 1:
      return ticks >= state_.reload;
    case 2:
    case 3:
      return ticks / state_.reload;
    default:
      return ticks > state_.reload;
  }
}

std::uint16_t I8254Channel::current(std::uint64_t now) const {
  if (!state_.loaded) return 0;
  const std::uint64_t ticks = counted(now);
  std::uint64_t value = 0;
  if (mode() == 2) {
    value = state_.reload - ticks % state_.reload;
  } else if (mode() == 3) {
    const std::uint64_t high = (state_.reload + 1) / 2;
    const std::uint64_t into = ticks % state_.reload;
    value = (state_.reload & ~1U) - 2 * (into < high ? into : into - high);
  } else {
    value = state_.reload + modulus() - ticks % modulus();
  }
  const auto shown = static_cast<std::uint32_t>(value % modulus());
  return bcd() ? to_bcd(shown) : static_cast<std::uint16_t>(shown);
}

void I8254Channel::start(std::uint64_t now) {
  state_.start_tick = now;
  state_.counting = 1;
  state_.rises_seen = 0;
}

void I8254Channel::load(std::uint16_t written, std::uint64_t now) {
  const std::uint32_t number = bcd() ? from_bcd(written) % 10000 : written;
  const std::uint32_t count = number ? number : modulus();
  const bool was_loaded = state_.loaded;
  state_.loaded = 1;
  switch (mode()) {
    case 1:
    case 5:  // loaded by the next trigger
      if (was_loaded && state_.triggered) {
        state_.next_reload = count;
        state_.switch_tick = kNever;
      } else {
        state_.reload = count;
      }
      return;
    case 2:
    case 3:
      if (was_loaded && state_.counting) {  // loaded when the period ends
        const std::uint64_t ticks = counted(now);
        state_.next_reload = count;
        state_.switch_tick = state_.start_tick + 1 + ticks - ticks % state_.reload + state_.reload;
        return;
      }
      break;
    default:
      break;
  }
  state_.reload = count;
  if (state_.gate) return start(now);
  state_.elapsed = 1;  // loaded, but held
  state_.rises_seen = 0;
}

}  // namespace vireo::devices
