#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "base/clock.h"
#include "base/result.h"
#include "bus/irq_line.h"
#include "devices/irqchip/apic_bus.h"
#include "devices/irqchip/apic_timer.h"
#include "devices/irqchip/interrupt_message.h"
#include "devices/irqchip/local_apic_state.h"

namespace vireo::devices {

/// The local APIC of one CPU, as xAPIC and x2APIC. SDM vol. 3A, chapter 10.
///
/// The CPU's side (its MachinePort forwards here one to one) is called on the thread that runs the
/// CPU; everything else from any thread. Calls CpuSignals, the bus and the PIC without its own
/// lock. interrupt_pending() takes no lock at all, so a halted CPU may ask under a lock of its own.
class LocalApic {
 public:
  struct Config {
    std::uint32_t id = 0;  ///< the APIC id after power-up, always the x2APIC id
    bool bootstrap = false;
    unsigned physical_address_bits = 40;
    bool x2apic = true;
    bool tsc_deadline = true;
    std::uint64_t timer_hz = 1'000'000'000;  ///< before the divider
  };

  /// Does not add itself to the bus. All of these outlive it.
  LocalApic(const Config& config, const Clock& clock, TimerService& timers, ApicBus& bus,
            CpuSignals& signals);
  LocalApic(const LocalApic&) = delete;

  // The CPU's side.
  bool interrupt_pending() const { return pending_.load(std::memory_order_acquire); }
  /// The vector to deliver now: the PIC's if ExtINT is requested, else the highest above PPR.
  std::optional<std::uint8_t> acknowledge_interrupt();
  std::uint8_t read_cr8() const;
  void write_cr8(std::uint8_t value);
  /// IA32_APIC_BASE, IA32_TSC_DEADLINE and, in x2APIC mode, 0x800-0x83f. Empty or false: #GP(0).
  /// The deadline is in ticks of the clock's TSC: what the CPU adds to it is its own business.
  std::optional<std::uint64_t> read_msr(std::uint32_t index);
  bool write_msr(std::uint32_t index, std::uint64_t value);
  /// False if the address is not this APIC's page, or there is no such page in its mode: then the
  /// access belongs to the bus. To be asked before the bus, as the page moves with IA32_APIC_BASE.
  bool mmio_read(std::uint64_t address, std::span<std::byte> data);
  bool mmio_write(std::uint64_t address, std::span<const std::byte> data);
  /// Globally enabled in IA32_APIC_BASE: CPUID.01H:EDX.APIC.
  bool enabled() const;

  // Pins and messages.
  bus::IrqLine& lint0() { return lint_[0]; }  ///< the PIC's INTR
  bus::IrqLine& lint1() { return lint_[1]; }  ///< the PC's NMI
  void performance_interrupt() { trigger_local(apic::kLvtPerf); }
  void thermal_interrupt() { trigger_local(apic::kLvtThermal); }

  // For ApicBus.
  bool is_addressed_by(const InterruptMessage& message) const;
  bool takes_vectors() const;
  std::uint8_t processor_priority() const { return priority_.load(std::memory_order_relaxed); }
  /// Whether the message was for an APIC that takes such messages now.
  bool accept(const InterruptMessage& message);

  /// Power-up.
  void reset();
  /// What firmware leaves for a kernel that is started without any: enabled, LINT1 is NMI, and on
  /// the bootstrap processor LINT0 takes the PIC's interrupts. MP specification 1.4, 3.6.2.2.
  void set_virtual_wire();
  LocalApicState state() const;
  Result<> restore(const LocalApicState& state);

 private:
  struct Lint final : bus::IrqLine {
    void set_level(bool high) override { owner->set_lint(pin, high); }
    LocalApic* owner = nullptr;
    unsigned pin = 0;
  };
  /// What is to be done when the lock is no longer held.
  struct Effects {
    bool interrupt = false;
    bool nmi = false;
    bool init = false;
    std::optional<std::uint8_t> startup;
    std::optional<std::uint8_t> eoi;
    std::optional<Ipi> ipi;
  };

  // These hold no lock.
  void set_lint(unsigned pin, bool high);
  void trigger_local(unsigned lvt_register);
  void on_timer();
  void finish(const Effects& effects);

  // These are called with the lock held.
  bool enabled_locked() const { return state_.base & apic::kBaseEnable; }
  bool x2apic() const { return state_.base & apic::kBaseX2apic; }
  bool software_enabled() const { return state_.svr & apic::kSvrEnable; }
  std::uint32_t& lvt(unsigned reg) { return state_.lvt[reg - apic::kLvtTimer]; }
  std::uint32_t lvt(unsigned reg) const { return state_.lvt[reg - apic::kLvtTimer]; }
  std::uint8_t processor_priority_locked() const;
  bool ext_int_ready() const;
  bool vector_ready() const;
  /// Makes the outside agree with the state; to be called after every change. `raised`: there is a
  /// new request.
  void publish(Effects& effects, bool raised = false);
  bool accept_vector(std::uint8_t vector, bool level, Effects& effects);
  bool trigger(unsigned lvt_register, Effects& effects);
  void log_error(std::uint32_t error, Effects& effects);
  void sense_lint0_level(Effects& effects);
  void end_of_interrupt(Effects& effects);
  void reset_registers();

  std::uint32_t read_register(unsigned reg) const;
  void write_register(unsigned reg, std::uint32_t value, Effects& effects);
  void write_lvt(unsigned reg, std::uint32_t value, Effects& effects);
  void write_svr(std::uint32_t value);
  void write_icr(Effects& effects);
  std::uint32_t lvt_writable(unsigned reg) const;
  std::optional<std::uint32_t> x2apic_writable(unsigned reg) const;
  bool write_base(std::uint64_t value, Effects& effects);
  bool write_x2apic(unsigned reg, std::uint64_t value, Effects& effects);
  bool write_tsc_deadline(std::uint64_t value, Effects& effects);

  ApicTimerMode timer_mode() const;
  /// Notices an expiry that on_timer() has not seen yet.
  void poll_timer(Effects& effects);
  void arm_timer(std::uint64_t earliest_ns = 0);

  // Configuration and wiring, given once.
  const Config config_;
  const Clock& clock_;
  ApicBus& bus_;
  CpuSignals& signals_;
  std::array<Lint, 2> lint_;

  // Derived from the state, for those who read without the lock.
  std::atomic<bool> pending_ = false;
  std::atomic<std::uint8_t> priority_ = 0;
  std::atomic<std::uint64_t> identity_ = 0;  ///< id, logical id and modes: see local_apic.cpp
  std::atomic<std::uint64_t> page_ = 0;      ///< of the registers; kNoPage: there is none
  static constexpr std::uint64_t kNoPage = ~std::uint64_t{0xfff};  // beyond all addresses

  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  LocalApicState state_;  ///< but for .timer, which lives in timer_
  ApicTimer timer_;
  std::unique_ptr<Timer> alarm_;  ///< last: no callback runs into a half-destroyed APIC
};

}  // namespace vireo::devices
