#pragma once
#include <array>
#include <cstdint>
#include <mutex>

#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "devices/irqchip/interrupt_message.h"

namespace vireo::devices {

/// What an I/O APIC remembers.
struct IoApicState {
  static constexpr unsigned kInputs = 24;

  std::uint8_t selected = 0;
  std::uint32_t id = 0;      ///< as the register shows it: bits 27:24
  std::uint32_t levels = 0;  ///< the input pins
  std::array<std::uint64_t, kInputs> redirection = masked();

  bool operator==(const IoApicState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [selected, id, levels, redirection] = self;
    visit("selected", selected), visit("id", id), visit("levels", levels);
    visit("redirection", redirection);
  }

 private:
  static constexpr std::array<std::uint64_t, kInputs> masked() {
    std::array<std::uint64_t, kInputs> entries{};
    entries.fill(0x10000);
    return entries;
  }
};

/// 82093AA I/O APIC (Intel 290566), with the EOI register of version 0x20. Inputs are active high
/// whatever the polarity bit says: lines here are logical levels. Thread safe; calls the sink with
/// its lock held.
class IoApic final : public bus::BusDevice, public EoiListener {
 public:
  static constexpr unsigned kInputs = IoApicState::kInputs;
  static constexpr std::uint64_t kWindowSize = 0x1000;

  explicit IoApic(InterruptSink& sink);
  IoApic(const IoApic&) = delete;

  bus::IrqLine& input(unsigned pin);

  /// Registers are 32 bits wide; other accesses read as zero and are dropped.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  /// A CPU has finished with this vector: inputs that are still high are sent again.
  void eoi(std::uint8_t vector) override;

  IoApicState state() const;
  Result<> restore(const IoApicState& state);
  void reset();

 private:
  struct Input final : bus::IrqLine {
    void set_level(bool high) override { owner->set_input(pin, high); }
    IoApic* owner = nullptr;
    unsigned pin = 0;
  };

  void set_input(unsigned pin, bool high);
  std::uint32_t read_register() const;
  void write_register(std::uint32_t value);
  void write_redirection(unsigned pin, bool high_half, std::uint32_t value);
  void finish(std::uint8_t vector);
  /// Sends a level-triggered input that is high and not yet being handled. Lock held.
  void send_level(unsigned pin);
  bool send(unsigned pin);

  // Wiring, given once.
  InterruptSink& sink_;
  std::array<Input, kInputs> inputs_;
  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  IoApicState state_;
};

}  // namespace vireo::devices
