#pragma once
#include <cstdint>
#include <optional>

namespace vireo::devices {

/// What an interrupt message asks of the CPU that takes it. SDM vol. 3A, 10.6.1.
enum class DeliveryMode : std::uint8_t {
  kFixed = 0,
  kLowestPriority = 1,
  kSmi = 2,
  kReserved = 3,
  kNmi = 4,
  kInit = 5,
  kStartup = 6,
  kExtInt = 7,
};

/// What travels between interrupt controllers: from an I/O APIC, a PCI function or a CPU to the
/// local APICs.
struct InterruptMessage {
  std::uint32_t destination = 0;  ///< an APIC id, or a logical address
  bool logical = false;
  bool broadcast = false;  ///< the sender's "all": 0xff, or 0xffffffff from an x2APIC
  DeliveryMode mode = DeliveryMode::kFixed;
  bool lowest_priority = false;  ///< one of the CPUs addressed takes it, not all
  bool level_triggered = false;
  std::uint8_t vector = 0;
};

/// Where interrupt messages are sent. Callable from any thread.
class InterruptSink {
 public:
  virtual ~InterruptSink() = default;
  /// Whether any local APIC accepted the message.
  virtual bool deliver(const InterruptMessage& message) = 0;
};

/// Told when a CPU has finished with a level-triggered interrupt. SDM vol. 3A, 10.8.5.
class EoiListener {
 public:
  virtual ~EoiListener() = default;
  virtual void eoi(std::uint8_t vector) = 0;
};

/// The 8259A's side of an interrupt-acknowledge cycle.
class ExtIntSource {
 public:
  virtual ~ExtIntSource() = default;
  virtual std::optional<std::uint8_t> acknowledge() = 0;
};

/// The pins of one CPU that interrupt controllers drive. Called from any thread, without the local
/// APIC's lock but perhaps with that of a device or an interrupt controller held: must not call
/// back into any of them, but for LocalApic::interrupt_pending(), which takes no lock.
class CpuSignals {
 public:
  virtual ~CpuSignals() = default;
  /// LocalApic::interrupt_pending() has become true, or another vector is pending.
  virtual void interrupt() = 0;
  virtual void nmi() = 0;
  /// The local APIC has done its part of INIT already.
  virtual void init() = 0;
  /// A SIPI: start at vector * 4096, if waiting for one.
  virtual void startup(std::uint8_t vector) = 0;
};

}  // namespace vireo::devices
