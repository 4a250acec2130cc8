#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "bus/address_map.h"
#include "devices/irqchip/interrupt_message.h"
#include "devices/irqchip/local_apic.h"
#include "devices/platform/coprocessor_error.h"
#include "engine/engine.h"
#include "machine/hypercalls.h"
#include "machine/paravirt_cpu.h"
#include "machine/vcpu_thread.h"

namespace vireo::machine {

/// How often one CPU reached for devices. Written by its thread, read by any.
struct AccessCounts {
  using Count = std::atomic<std::uint64_t>;
  Count apic = 0, mmio = 0, apic_msrs = 0, interrupts = 0, hypercalls = 0;
  /// By port.
  std::unique_ptr<std::array<Count, 0x10000>> ports =
      std::make_unique<std::array<Count, 0x10000>>();
};

/// The machine around one virtual CPU: its local APIC, what its guest's kernel asks of a monitor,
/// and behind that the buses.
class VcpuPort final : public engine::MachinePort {
 public:
  /// What all CPUs share; outlives the port.
  struct Surroundings {
    devices::InterruptSink& interrupts;
    devices::CoprocessorError& coprocessor_error;
    bus::AddressMap& mmio;
    bus::AddressMap& pio;
    CpuKicker& kicker;
    memory::GuestMemory& memory;
    const Clock& clock;
  };
  /// `apic` and `cpus`, of which this is one, outlive the port too.
  VcpuPort(unsigned cpu, devices::LocalApic& apic, const Surroundings& surroundings,
           const BusyCpus& cpus)
      : cpu_(cpu),
        apic_(apic),
        around_(surroundings),
        cpus_(cpus),
        paravirt_(surroundings.memory, surroundings.clock) {}

  void mmio_read(PhysAddr address, std::span<std::byte> data) override;
  void mmio_write(PhysAddr address, std::span<const std::byte> data) override;
  void pio_read(std::uint16_t port, std::span<std::byte> data) override;
  void pio_write(std::uint16_t port, std::span<const std::byte> data) override;
  std::optional<std::uint8_t> acknowledge_interrupt() override;
  bool interrupt_pending() override { return apic_.interrupt_pending(); }
  std::uint8_t read_cr8() override { return apic_.read_cr8(); }
  void write_cr8(std::uint8_t value) override { apic_.write_cr8(value); }
  std::optional<std::uint64_t> read_msr(std::uint32_t index) override;
  bool write_msr(std::uint32_t index, std::uint64_t value) override;
  void set_ferr(bool asserted) override { around_.coprocessor_error.set_ferr(cpu_, asserted); }
  bool ignne() override { return around_.coprocessor_error.ignne(cpu_); }

  void pause() override;
  std::uint64_t hypercall(std::uint64_t number,
                          const std::array<std::uint64_t, 4>& arguments) override;

  ParavirtCpu& paravirt() { return paravirt_; }
  const ParavirtCpu& paravirt() const { return paravirt_; }
  const AccessCounts& counts() const { return counts_; }

 private:
  const unsigned cpu_;
  devices::LocalApic& apic_;
  const Surroundings around_;
  const BusyCpus& cpus_;
  unsigned pauses_ = 0;  ///< since the host was asked whether others want the processor
  ParavirtCpu paravirt_;
  AccessCounts counts_;
};

/// What a local APIC drives: the pins of a CPU that is made after it.
class VcpuPins final : public devices::CpuSignals {
 public:
  /// Before the first signal.
  void connect(VcpuThread& thread) { thread_ = &thread; }

  void interrupt() override {
    if (thread_ != nullptr) thread_->interrupt();
  }
  void nmi() override {
    if (thread_ != nullptr) thread_->nmi();
  }
  void init() override {
    if (thread_ != nullptr) thread_->init();
  }
  void startup(std::uint8_t vector) override {
    if (thread_ != nullptr) thread_->startup(vector);
  }
  void end_halt() {
    if (thread_ != nullptr) thread_->end_halt();
  }

 private:
  VcpuThread* thread_ = nullptr;
};

}  // namespace vireo::machine
