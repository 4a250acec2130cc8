#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/result.h"
#include "bus/address_map.h"
#include "bus/irq_line.h"
#include "bus/window.h"
#include "devices/input/fixed_queue.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/platform/requests.h"

namespace vireo::devices {

struct I8042State {
  std::uint8_t command_byte = 0x65;  ///< as firmware leaves it: translation, keyboard interrupt
  std::uint8_t last_was_command = 0;
  std::uint8_t awaiting = 0;  ///< the command whose parameter comes next, 0: none
  std::uint8_t output_port = 0x03;
  std::uint8_t data = 0;
  std::uint8_t data_full = 0;
  std::uint8_t data_from_mouse = 0;
  std::uint8_t release_prefix = 0;  ///< translation has seen 0xf0
  FixedQueue<4> replies;            ///< of the controller itself
  FixedQueue<4> reply_sources;      ///< 1: pretends to come from the mouse
  Ps2KeyboardState keyboard;
  Ps2MouseState mouse;

  bool operator==(const I8042State&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [command_byte, last_was_command, awaiting, output_port, data, full, from_mouse, prefix,
           replies, sources, keyboard, mouse] = self;
    visit("command_byte", command_byte), visit("last_was_command", last_was_command);
    visit("awaiting", awaiting), visit("output_port", output_port), visit("data", data);
    visit("data_full", full), visit("data_from_mouse", from_mouse);
    visit("release_prefix", prefix), visit("replies", replies);
    visit("reply_sources", sources), visit("keyboard", keyboard), visit("mouse", mouse);
  }
};

/// The keyboard controller at ports 0x60 and 0x64 with a PS/2 keyboard and a PS/2 mouse. Intel 8042
/// as in the IBM PS/2; it answers at once. Address line 20 is always on, whatever the output port
/// says. Thread safe.
class I8042 {
 public:
  /// Interrupts 1 and 12; `reset` is called when the guest pulses the CPU's reset line.
  I8042(bus::IrqLine& keyboard_irq, bus::IrqLine& mouse_irq, ResetRequest reset);

  Result<> attach(bus::AddressMap& pio);

  // Input from outside, from any thread; see Ps2Keyboard::key() and Ps2Mouse::move().
  void key(std::uint16_t code, bool pressed);
  void move_mouse(int right, int down, int wheel, std::uint8_t buttons);
  void reset();

  I8042State state() const;
  Result<> restore(const I8042State& state);

 private:
  std::uint8_t read_data(unsigned);
  void write_data(unsigned, std::uint8_t value);
  std::uint8_t read_status(unsigned);
  void write_command(unsigned, std::uint8_t value);
  bool execute(std::uint8_t command);
  bool parameter(std::uint8_t command, std::uint8_t value);
  bool write_output_port(std::uint8_t value);
  void reply(std::uint8_t value, bool from_mouse = false);
  void refill();
  bool next_from_keyboard();
  void set_data(std::uint8_t value, bool from_mouse);
  void update_irqs();

  bus::IrqLine& keyboard_irq_;
  bus::IrqLine& mouse_irq_;
  ResetRequest reset_request_;
  bus::ByteWindow<I8042> data_port_{*this, &I8042::read_data, &I8042::write_data};
  bus::ByteWindow<I8042> command_port_{*this, &I8042::read_status, &I8042::write_command};

  mutable std::mutex mutex_;  // taken before the locks of interrupt lines
  I8042State state_;          // without the two devices, which keep their own
  Ps2Keyboard keyboard_;
  Ps2Mouse mouse_;
};

/// Port 0x92 of the PS/2: fast reset, and a latch for address line 20 that reads back what was
/// written, as firmware expects, and masks nothing: newer processors have no A20M# pin (Intel SDM,
/// volume 3, 9.7.13.4). One byte. Thread safe.
class Port92 final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0x92;
  explicit Port92(ResetRequest reset) : reset_request_(std::move(reset)) {}
  void reset() { address20_ = kAddress20; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  static constexpr std::uint8_t kReset = 0x01, kAddress20 = 0x02;

  ResetRequest reset_request_;
  std::atomic<std::uint8_t> address20_ = kAddress20;
};

}  // namespace vireo::devices
