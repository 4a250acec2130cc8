#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "memory/guest_memory.h"
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::engine {

/// Everything an engine may ask of the machine around one virtual CPU. Device accesses complete
/// inside the instruction that makes them, so no engine ever has to suspend an instruction half
/// way. Called only on the thread that runs the vCPU.
class MachinePort {
 public:
  virtual ~MachinePort() = default;
  virtual void mmio_read(PhysAddr address, std::span<std::byte> data) = 0;
  virtual void mmio_write(PhysAddr address, std::span<const std::byte> data) = 0;
  virtual void pio_read(std::uint16_t port, std::span<std::byte> data) = 0;
  virtual void pio_write(std::uint16_t port, std::span<const std::byte> data) = 0;
  /// The vector to deliver now, acknowledged at the irqchip; empty if none is pending.
  virtual std::optional<std::uint8_t> acknowledge_interrupt() = 0;
  /// Whether acknowledge_interrupt() would answer with a vector: what wakes a halted CPU.
  virtual bool interrupt_pending() = 0;
  /// The task-priority register, 0-15.
  virtual std::uint8_t read_cr8() = 0;
  virtual void write_cr8(std::uint8_t value) = 0;
  /// IA32_APIC_BASE, IA32_TSC_DEADLINE, the x2APIC registers and KVM's; see
  /// x86::CpuPort::write_platform_msr() about IA32_TSC. Empty or false: #GP(0).
  virtual std::optional<std::uint64_t> read_msr(std::uint32_t index) = 0;
  virtual bool write_msr(std::uint32_t index, std::uint64_t value) = 0;
  /// The CPU's FERR# pin changes, and what its IGNNE# pin is; see x86::CpuPort.
  virtual void set_ferr(bool asserted) { static_cast<void>(asserted); }
  virtual bool ignne() { return false; }
  /// PAUSE: the guest waits for another of its CPUs, which may itself wait for one of the host's.
  virtual void pause() {}
  /// A hypercall of the guest's kernel; see x86::CpuPort::hypercall().
  virtual std::uint64_t hypercall(std::uint64_t number,
                                  const std::array<std::uint64_t, 4>& arguments) {
    static_cast<void>(number), static_cast<void>(arguments);
    return static_cast<std::uint64_t>(x86::CpuPort::kUnknownHypercall);
  }
};

enum class ExitReason : std::uint8_t {
  kKicked,       ///< another thread called kick(), or the machine did inside a device access
  kHalted,       ///< HLT; the run loop waits for an interrupt
  kTripleFault,  ///< the machine resets
};

/// Counted from the first day; printed by `--stats`.
struct Counter {
  std::string name;
  std::uint64_t value;
};

/// One virtual CPU on one engine. Used by the thread that runs it, except where a method says
/// otherwise.
class EngineVcpu {
 public:
  virtual ~EngineVcpu() = default;
  /// Runs guest code until there is a reason to stop. An error is the host's, never the guest's.
  /// A CPU whose state is halted stays so until an interrupt that can wake it is pending.
  virtual Result<ExitReason> run() = 0;
  /// Makes a current or the next run() return kKicked soon. From any thread.
  virtual void kick() noexcept = 0;
  /// An interrupt may have become pending at the irqchip: look before the next block of code. From
  /// any thread.
  virtual void notify_interrupt() noexcept = 0;
  /// A non-maskable interrupt. From any thread.
  virtual void notify_nmi() noexcept = 0;
  /// From load() to store() the architectural state lives in the engine and nowhere else. load()
  /// drops all translations of linear addresses.
  virtual void load(const x86::CpuState& state) = 0;
  virtual void store(x86::CpuState& state) const = 0;
  // Between runs, on the thread that runs it.
  /// Translations of linear addresses that were made before, in any address space, are no longer
  /// used, but for global ones.
  virtual void flush_tlb() {
    x86::CpuState state;
    store(state);
    load(state);
  }
  /// The CPU, if it is halted, goes on behind its HLT though no interrupt came.
  virtual void end_halt() {
    x86::CpuState state;
    store(state);
    if (state.activity != static_cast<std::uint8_t>(x86::Activity::kHalted)) return;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    load(state);
  }
  /// May be called from any thread, even while it runs; values may be a little old.
  virtual std::vector<Counter> counters() const = 0;
};

/// What a vCPU is made from. Everything outlives the vCPU.
struct VcpuContext {
  unsigned index = 0;
  MachinePort& port;
  const x86::CpuidModel& cpuid;
  const Clock& clock;
  TimerService* timers = nullptr;  ///< null: no engine needs any to be right
};

/// A way to execute guest code. Invariant: the guest cannot tell them apart, except by time.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;
  virtual Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) = 0;
};

}  // namespace vireo::engine
