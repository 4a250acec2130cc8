#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "devices/irqchip/i8259_chip.h"
#include "devices/irqchip/interrupt_message.h"

namespace vireo::devices {

/// Both chips.
struct PicState {
  I8259State master;
  I8259State slave;

  bool operator==(const PicState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [master, slave] = self;
    visit("master", master), visit("slave", slave);
  }
};

/// The PC's two 8259As, the slave's INT wired to input 2 of the master, and their edge/level
/// control registers (Intel 82371AB, 4.2). Thread safe.
class Pic final : public ExtIntSource {
 public:
  static constexpr unsigned kInputs = 16;

  /// `intr` follows the master's INT output: LINT0 of the local APICs.
  explicit Pic(bus::IrqLine& intr);
  Pic(const Pic&) = delete;

  bus::BusDevice& master_ports() { return master_ports_; }  ///< 2 ports, 0x20
  bus::BusDevice& slave_ports() { return slave_ports_; }    ///< 2 ports, 0xa0
  bus::BusDevice& elcr_ports() { return elcr_ports_; }      ///< 2 ports, 0x4d0
  /// `irq` is 0-15 but not 2, which is the cascade.
  bus::IrqLine& input(unsigned irq);

  /// The interrupt-acknowledge cycle. If the request has gone away since INTR was raised, the
  /// answer is the chip's spurious vector, 7 or 15. Empty only if the master was never initialized.
  std::optional<std::uint8_t> acknowledge() override;

  PicState state() const;
  Result<> restore(const PicState& state);
  void reset();

 private:
  struct Input final : bus::IrqLine {
    void set_level(bool high) override { pic->set_input(irq, high); }
    Pic* pic = nullptr;
    unsigned irq = 0;
  };
  struct ChipPorts final : bus::BusDevice {
    ChipPorts(Pic& owner, I8259& the_chip) : pic(owner), chip(the_chip) {}
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    Pic& pic;
    I8259& chip;
  };
  struct ElcrPorts final : bus::BusDevice {
    explicit ElcrPorts(Pic& owner) : pic(owner) {}
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    Pic& pic;
  };

  static constexpr unsigned kCascade = 2;

  void set_input(unsigned irq, bool high);
  /// Propagates the slave's output to the master and the master's to the CPU. Lock held.
  void update();

  // Wiring, given once.
  bus::IrqLine& intr_;
  std::array<Input, kInputs> inputs_;
  ChipPorts master_ports_;
  ChipPorts slave_ports_;
  ElcrPorts elcr_ports_;
  bool intr_level_ = false;  ///< what intr_ was told last
  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  I8259 master_;
  I8259 slave_;
};

}  // namespace vireo::devices
