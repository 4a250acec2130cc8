#pragma once
#include <cstdint>

#include "base/result.h"

namespace vireo::devices {

/// What one 8259A remembers.
struct I8259State {
  std::uint8_t levels = 0;       ///< the input pins
  std::uint8_t edges = 0;        ///< edge-sense latches: rose, and not acknowledged since
  std::uint8_t in_service = 0;   ///< ISR
  std::uint8_t masked = 0;       ///< IMR
  std::uint8_t elcr = 0;         ///< inputs that are level triggered
  std::uint8_t vector_base = 0;  ///< ICW2, bits 7:3
  std::uint8_t icw1 = 0;
  std::uint8_t icw3 = 0;
  std::uint8_t icw4 = 0;
  std::uint8_t expected_icw = 0;  ///< next in the initialization sequence: 2, 3, 4; 0: none
  std::uint8_t initialized = 0;   ///< a sequence was completed
  std::uint8_t lowest = 7;        ///< input of the lowest priority; the next one has the highest
  std::uint8_t rotate_on_aeoi = 0;
  std::uint8_t special_mask = 0;
  std::uint8_t read_in_service = 0;  ///< reads of the even port answer ISR, else IRR
  std::uint8_t poll = 0;             ///< the next read is a poll

  bool operator==(const I8259State&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [levels, edges, in_service, masked, elcr, vector_base, icw1, icw3, icw4, expected_icw,
           initialized, lowest, rotate_on_aeoi, special_mask, read_in_service, poll] = self;
    visit("levels", levels), visit("edges", edges), visit("in_service", in_service);
    visit("masked", masked), visit("elcr", elcr), visit("vector_base", vector_base);
    visit("icw1", icw1), visit("icw3", icw3), visit("icw4", icw4);
    visit("expected_icw", expected_icw), visit("initialized", initialized);
    visit("lowest", lowest), visit("rotate_on_aeoi", rotate_on_aeoi);
    visit("special_mask", special_mask), visit("read_in_service", read_in_service);
    visit("poll", poll);
  }
};

/// One 8259A (Intel 231468). Knows neither ports nor its peer. Not thread safe.
class I8259 {
 public:
  enum class Role : std::uint8_t { kMaster, kSlave };
  explicit I8259(Role role) : role_(role) {}

  /// `port` is address line A0.
  std::uint8_t read(unsigned port);
  void write(unsigned port, std::uint8_t value);
  std::uint8_t read_elcr() const { return state_.elcr; }
  /// Inputs that must be edge triggered on a PC stay so: 0, 1, 2, 8 and 13.
  void write_elcr(std::uint8_t value);

  void set_input(unsigned input, bool high);
  /// The INT output.
  bool output() const { return best_request() >= 0; }
  /// INTA: the input that was chosen, 7 if its request has gone away.
  unsigned acknowledge();
  std::uint8_t vector(unsigned input) const {
    return static_cast<std::uint8_t>(state_.vector_base | input);
  }

  const I8259State& state() const { return state_; }
  Result<> restore(const I8259State& state);
  void reset();

 private:
  std::uint8_t level_triggered() const;
  std::uint8_t requests() const;
  int best_request() const;
  int highest_in_service() const;
  int first_by_priority(std::uint8_t set) const;
  void take(unsigned input);
  void write_icw1(std::uint8_t value);
  void write_next_icw(std::uint8_t value);
  void write_ocw2(std::uint8_t value);
  void write_ocw3(std::uint8_t value);

  const Role role_;
  I8259State state_;
};

}  // namespace vireo::devices
