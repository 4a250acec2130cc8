#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>

#include "backends/character/char_backend.h"
#include "base/clock.h"
#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"

namespace vireo::devices {

/// A received character and what was wrong with it, as bits of the line status register.
struct UartCharacter {
  std::uint8_t byte = 0;
  std::uint8_t errors = 0;

  bool operator==(const UartCharacter&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [byte, errors] = self;
    visit("byte", byte), visit("errors", errors);
  }
};

/// What a 16550 remembers.
struct Uart16550State {
  std::uint8_t interrupt_enable = 0;
  std::uint8_t fifo_control = 0;  ///< enable bit and trigger level
  std::uint8_t line_control = 0;
  std::uint8_t modem_control = 0;
  std::uint8_t modem_deltas = 0;  ///< low half of the modem status register
  std::uint8_t scratch = 0;
  std::uint16_t divisor = 12;  ///< 9600 baud
  std::uint8_t transmit_empty_pending = 0;
  std::uint8_t timeout_pending = 0;
  std::uint8_t overrun = 0;
  std::uint8_t rx_count = 0;
  std::array<UartCharacter, 16> rx_fifo{};  ///< the oldest first

  bool operator==(const Uart16550State&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [ier, fcr, lcr, mcr, deltas, scr, divisor, thre, timeout, overrun, count, fifo] = self;
    visit("interrupt_enable", ier), visit("fifo_control", fcr), visit("line_control", lcr);
    visit("modem_control", mcr), visit("modem_deltas", deltas), visit("scratch", scr);
    visit("divisor", divisor), visit("transmit_empty_pending", thre);
    visit("timeout_pending", timeout), visit("overrun", overrun), visit("rx_count", count);
    visit("rx_fifo", fifo);
  }
};

/// NS16550A UART (TI TL16C550C data sheet, SLLS177) of 8 registers, plugged into a character
/// backend: reader and break listener of the backend are set here. Transmission takes no guest
/// time; reception goes as fast as the guest reads, and what does not fit waits in the backend.
/// Thread safe.
class Uart16550 final : public bus::BusDevice {
 public:
  static constexpr std::size_t kRegisterCount = 8;

  /// Everything outlives the UART; the backend must not be read any more once it is gone.
  Uart16550(bus::IrqLine& irq, backends::CharBackend& backend, const Clock& clock,
            TimerService& timers);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  /// Bytes arrive from outside; says how many there was room for. If not for all, the backend is
  /// told to resume as soon as there is.
  std::size_t receive(std::span<const std::uint8_t> bytes);
  void receive_break();
  void reset();

  Uart16550State state() const;
  Result<> restore(const Uart16550State& state);

 private:
  std::uint8_t read_register(unsigned reg);
  void write_register(unsigned reg, std::uint8_t value);
  std::uint8_t read_interrupt_id();
  std::uint8_t read_line_status();
  std::uint8_t read_modem_status();
  void write_fifo_control(std::uint8_t value);
  void write_interrupt_enable(std::uint8_t value);
  void write_modem_control(std::uint8_t value);
  void write_line_control(std::uint8_t value);
  void transmit(std::uint8_t byte);
  std::uint8_t pop_received();
  void push_received(UartCharacter character);
  void clear_received();
  void on_timeout();
  void restart_timeout();
  std::uint64_t character_time_ns() const;

  bool divisor_latched() const { return (state_.line_control & 0x80) != 0; }
  bool loopback() const { return (state_.modem_control & 0x10) != 0; }
  bool fifos_enabled() const { return (state_.fifo_control & 0x01) != 0; }
  std::size_t capacity() const { return fifos_enabled() ? state_.rx_fifo.size() : 1; }
  std::size_t trigger_level() const;
  std::uint8_t line_errors() const;
  std::uint8_t modem_lines() const;
  std::uint8_t interrupt_id() const;
  void update_irq();

  // Wiring, given once.
  bus::IrqLine& irq_;
  backends::CharBackend& backend_;
  const Clock& clock_;
  std::unique_ptr<Timer> timeout_;

  mutable std::mutex mutex_;  // taken before the locks of the irqchip and of the backend's output
  // Guest-visible state.
  Uart16550State state_;
  // Derived.
  std::uint64_t timeout_at_ns_ = 0;
  bool backend_waits_ = false;
};

}  // namespace vireo::devices
