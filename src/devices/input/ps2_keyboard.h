#pragma once
#include <cstdint>
#include <optional>

#include "devices/input/fixed_queue.h"

namespace vireo::devices {

struct Ps2KeyboardState {
  FixedQueue<32> output;
  std::uint8_t scanning = 1;
  std::uint8_t scancode_set = 2;
  std::uint8_t leds = 0;
  std::uint8_t typematic = 0x2b;
  std::uint8_t awaiting = 0;  ///< the command whose parameter comes next, 0: none
  std::uint8_t last_sent = 0;

  bool operator==(const Ps2KeyboardState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [output, scanning, set, leds, typematic, awaiting, last] = self;
    visit("output", output), visit("scanning", scanning), visit("scancode_set", set);
    visit("leds", leds), visit("typematic", typematic), visit("awaiting", awaiting);
    visit("last_sent", last);
  }
  bool valid() const {
    return output.valid() && scanning <= 1 && (scancode_set == 1 || scancode_set == 2);
  }
};

/// A PS/2 keyboard with scan code sets 1 and 2. IBM PS/2 Hardware Interface Technical Reference,
/// "Keyboard (101- and 102-key)". Not thread safe: it belongs to its controller.
class Ps2Keyboard {
 public:
  /// A byte from the controller.
  void command(std::uint8_t byte);
  /// The next byte for the controller.
  std::optional<std::uint8_t> pop();
  bool has_output() const { return !state_.output.empty(); }
  /// A key of the real keyboard: its set 1 make code, with 0xe0 in the upper byte for extended keys
  /// (0xe048 is cursor up) and 0xe11d for Pause. Forgotten when the queue has no room.
  void key(std::uint16_t code, bool pressed);
  void reset() { state_ = {}; }

  const Ps2KeyboardState& state() const { return state_; }
  void restore(const Ps2KeyboardState& state) { state_ = state; }

 private:
  void parameter(std::uint8_t command, std::uint8_t byte);
  void set_defaults();
  Ps2KeyboardState state_;
};

/// What the controller makes of a set 2 byte when it translates.
std::uint8_t translate_set2(std::uint8_t byte);

}  // namespace vireo::devices
