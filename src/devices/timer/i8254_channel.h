#pragma once
#include <cstdint>

#include "base/result.h"

namespace vireo::devices {

/// What one counter of an 8254 remembers. Ticks are those of its 1.193182 MHz clock.
struct I8254ChannelState {
  std::uint8_t control = 0;  ///< read/write mode, mode and BCD, as in the control word
  std::uint8_t gate = 1;
  std::uint8_t loaded = 0;        ///< a count was written since the control word
  std::uint8_t counting = 0;      ///< else `elapsed` says how far it got
  std::uint8_t triggered = 0;     ///< modes 1 and 5
  std::uint32_t reload = 0;       ///< 1-65536, or 1-10000
  std::uint32_t next_reload = 0;  ///< takes effect at `switch_tick`; 0: none
  std::uint64_t switch_tick = 0;
  std::uint64_t start_tick = 0;  ///< when the count was written; it is loaded one tick later
  std::uint64_t elapsed = 0;
  std::uint64_t rises_seen = 0;  ///< edges of OUT since start_tick that were reported
  std::uint8_t write_low = 0;    ///< the first of two bytes
  std::uint8_t write_high_next = 0;
  std::uint8_t read_high_next = 0;
  std::uint8_t latched_bytes = 0;  ///< still to be read, 0-2
  std::uint16_t latched_count = 0;
  std::uint8_t status_latched = 0;
  std::uint8_t latched_status = 0;

  bool operator==(const I8254ChannelState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [control, gate, loaded, counting, triggered, reload, next_reload, switch_tick, start_tick,
           elapsed, rises_seen, write_low, write_high_next, read_high_next, latched_bytes,
           latched_count, status_latched, latched_status] = self;
    visit("control", control), visit("gate", gate), visit("loaded", loaded);
    visit("counting", counting), visit("triggered", triggered), visit("reload", reload);
    visit("next_reload", next_reload), visit("switch_tick", switch_tick);
    visit("start_tick", start_tick), visit("elapsed", elapsed), visit("rises_seen", rises_seen);
    visit("write_low", write_low), visit("write_high_next", write_high_next);
    visit("read_high_next", read_high_next), visit("latched_bytes", latched_bytes);
    visit("latched_count", latched_count), visit("status_latched", status_latched);
    visit("latched_status", latched_status);
  }
};

/// One counter of an 8254 (Intel 231164). Computes from the tick it is told what the chip would
/// show; nothing happens between calls. Not thread safe.
class I8254Channel {
 public:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  void write_control(std::uint8_t control);
  void write_count(std::uint8_t byte, std::uint64_t now);
  std::uint8_t read(std::uint64_t now);
  void latch_count(std::uint64_t now);
  void latch_status(std::uint64_t now);
  void set_gate(bool high, std::uint64_t now);
  bool gate() const { return state_.gate; }

  bool output(std::uint64_t now) const;
  /// Whether OUT has risen since this was asked last. Call before anything that changes the state.
  bool advance(std::uint64_t now);
  /// When OUT changes next (a low of a single tick is left out); kNever if it does not.
  std::uint64_t next_change(std::uint64_t now) const;

  const I8254ChannelState& state() const { return state_; }
  Result<> restore(const I8254ChannelState& state);

 private:
  unsigned mode() const;
  bool bcd() const { return state_.control & 1; }
  std::uint32_t modulus() const { return bcd() ? 10000 : 65536; }
  std::uint64_t elapsed(std::uint64_t now) const {
    return state_.counting ? now - state_.start_tick : state_.elapsed;
  }
  /// Ticks since the count was loaded.
  std::uint64_t counted(std::uint64_t now) const;
  std::uint64_t rises(std::uint64_t now) const;
  std::uint16_t current(std::uint64_t now) const;
  void start(std::uint64_t now);
  void load(std::uint16_t written, std::uint64_t now);

  I8254ChannelState state_;
};

}  // namespace vireo::devices
