#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace vireo::test {

/// A machine around a vCPU that writes down what the guest does to it. Ports and device memory read
/// as a pattern: each byte is the low byte of its address plus one. Some ports act:
///   0xe0  raises the written vector now
///   0xe1  raises an NMI now
///   0xe2  raises the written vector when the CPU next halts (halted() asks)
///   0xf0  asserts IGNNE# while FERR# is asserted, which raises vector 0x75
///   0xf4  stops the run
class RecordingPort final : public engine::MachinePort {
 public:
  /// What was done, as "out8 0x42 0x5a", "in16 0x60", "mmio-write32 0x900000 0x1", "ferr asserted".
  std::vector<std::string> log;
  bool stopped = false;
  std::function<void()> on_stop, on_interrupt, on_nmi;

  void mmio_read(PhysAddr address, std::span<std::byte> data) override;
  void mmio_write(PhysAddr address, std::span<const std::byte> data) override;
  void pio_read(std::uint16_t port, std::span<std::byte> data) override;
  void pio_write(std::uint16_t port, std::span<const std::byte> data) override;
  std::optional<std::uint8_t> acknowledge_interrupt() override;
  bool interrupt_pending() override { return !pending_.empty(); }
  std::uint8_t read_cr8() override { return cr8_; }
  void write_cr8(std::uint8_t value) override { cr8_ = value; }
  std::optional<std::uint64_t> read_msr(std::uint32_t index) override;
  bool write_msr(std::uint32_t index, std::uint64_t value) override;
  void set_ferr(bool asserted) override;
  bool ignne() override { return ignne_; }

  void raise(std::uint8_t vector);
  /// The CPU halted: whether something was scheduled to wake it.
  bool halted();
  void keep_log(bool keep) { keep_log_ = keep; }

 private:
  void record(const char* what, std::uint64_t address, std::span<const std::byte> data, bool write);

  std::deque<std::uint8_t> pending_, at_halt_;
  std::uint8_t cr8_ = 0;
  bool ferr_ = false, ignne_ = false;
  /// IA32_APIC_BASE, IA32_TSC_DEADLINE, the x2APIC's task priority.
  std::map<std::uint32_t, std::uint64_t> msrs_{{0x1b, 0xfee00900}, {0x6e0, 0}, {0x808, 0}};
  bool keep_log_ = true;
};

}  // namespace vireo::test
