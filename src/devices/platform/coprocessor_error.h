#pragma once
#include <cstdint>
#include <mutex>

#include "bus/bus_device.h"
#include "bus/irq_line.h"

namespace vireo::devices {

/// Bit n of a mask is the pin of CPU n.
struct CoprocessorErrorState {
  std::uint64_t ferr = 0;    ///< CPUs that assert FERR#
  std::uint64_t ignne = 0;   ///< CPUs for which IGNNE# is asserted: only ones that assert FERR#
  std::uint8_t request = 0;  ///< 1: interrupt 13 is asserted

  bool operator==(const CoprocessorErrorState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [ferr, ignne, request] = self;
    visit("ferr", ferr), visit("ignne", ignne), visit("request", request);
  }
};

/// What a PC has between the FERR# and IGNNE# pins of its CPUs and interrupt 13. FERR# asserts the
/// interrupt; a write to port 0xf0 takes it back and asserts IGNNE# for a CPU as long as that
/// asserts FERR#. SDM vol. 1, D.2.1.2, and the coprocessor error register of Intel 82371SB. One
/// byte wide. Thread safe.
class CoprocessorError final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0xf0;
  static constexpr unsigned kIrq = 13;

  explicit CoprocessorError(bus::IrqLine& irq) : irq_(irq) {}

  /// The level of the FERR# pin of a CPU, 0-63.
  void set_ferr(unsigned cpu, bool asserted);
  bool ignne(unsigned cpu) const;
  void reset();

  CoprocessorErrorState state() const;
  void restore(const CoprocessorErrorState& state);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  void update_irq();

  bus::IrqLine& irq_;
  mutable std::mutex mutex_;  // taken before the locks of interrupt lines
  CoprocessorErrorState state_;
};

}  // namespace vireo::devices
