#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "devices/input/fixed_queue.h"

namespace vireo::devices {

struct Ps2MouseState {
  FixedQueue<32> output;
  std::uint8_t reporting = 0;
  std::uint8_t remote = 0;  ///< reports only when asked
  std::uint8_t wrap = 0;    ///< echoes every byte
  std::uint8_t doubled = 0;
  std::uint8_t resolution = 2;
  std::uint8_t sample_rate = 100;
  std::array<std::uint8_t, 2> earlier_rates{};  ///< the knock by which drivers ask for wheels
  std::uint8_t identity = 0;                    ///< 0: plain, 3: wheel, 4: wheel and five buttons
  std::uint8_t awaiting = 0;
  std::uint8_t last_sent = 0;
  std::uint8_t buttons = 0;  ///< left 1, right 2, middle 4, fourth 8, fifth 16
  // Not yet reported, two's complement.
  std::uint32_t dx = 0, dy = 0, dz = 0;
  std::uint8_t changed = 0;

  bool operator==(const Ps2MouseState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [output, reporting, remote, wrap, doubled, resolution, rate, earlier, identity, awaiting,
           last, buttons, dx, dy, dz, changed] = self;
    visit("output", output), visit("reporting", reporting), visit("remote", remote);
    visit("wrap", wrap), visit("doubled", doubled), visit("resolution", resolution);
    visit("sample_rate", rate), visit("earlier_rates", earlier), visit("identity", identity);
    visit("awaiting", awaiting), visit("last_sent", last), visit("buttons", buttons);
    visit("dx", dx), visit("dy", dy), visit("dz", dz), visit("changed", changed);
  }
  bool valid() const {
    return output.valid() && (reporting | remote | wrap | doubled | changed) <= 1 &&
           resolution <= 3 && (identity == 0 || identity == 3 || identity == 4) && buttons < 32;
  }
};

/// A PS/2 mouse that turns into a wheel mouse when a driver knocks. IBM PS/2 Hardware Interface
/// Technical Reference, "Mouse". Not thread safe: it belongs to its controller.
class Ps2Mouse {
 public:
  void command(std::uint8_t byte);
  std::optional<std::uint8_t> pop();
  bool has_output() const { return !state_.output.empty(); }
  /// Movement in counts, to the right, downwards and of the wheel towards the user, and the buttons
  /// that are down now.
  void move(int right, int down, int wheel, std::uint8_t buttons);
  void reset() { state_ = {}; }

  const Ps2MouseState& state() const { return state_; }
  void restore(const Ps2MouseState& state) { state_ = state; }

 private:
  void parameter(std::uint8_t command, std::uint8_t byte);
  void set_sample_rate(std::uint8_t rate);
  void set_defaults();
  void push_status();
  void push_packet();
  void report();
  Ps2MouseState state_;
};

}  // namespace vireo::devices
