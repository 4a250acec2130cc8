#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "bus/msi_sink.h"
#include "devices/irqchip/interrupt_message.h"

namespace vireo::devices {

class LocalApic;

/// What ICR asks for: a message and whom it is for. SDM vol. 3A, 10.6.1.
struct Ipi {
  enum class Shorthand : std::uint8_t { kNone = 0, kSelf = 1, kAll = 2, kAllButSelf = 3 };
  Shorthand shorthand = Shorthand::kNone;
  InterruptMessage message;
};

/// Carries messages between I/O APICs, PCI functions and local APICs, and EOIs back. Thread safe
/// once the machine is built; holds no lock of its own.
class ApicBus final : public bus::MsiSink, public InterruptSink {
 public:
  // While the machine is built. All of them outlive the last message.
  void add(LocalApic& apic) { apics_.push_back(&apic); }
  void add(EoiListener& listener) { eoi_listeners_.push_back(&listener); }
  /// The PIC that answers interrupt-acknowledge cycles.
  void set_ext_int_source(ExtIntSource& source) { ext_int_source_ = &source; }

  bool deliver(const InterruptMessage& message) override;
  /// SDM vol. 3A, 10.11. Writes outside 0xfeexxxxx are ignored.
  void send_msi(std::uint64_t address, std::uint32_t data) override;

  // For local APICs, which call these with no lock of theirs held.
  void send_ipi(LocalApic& sender, const Ipi& ipi);
  void broadcast_eoi(std::uint8_t vector);
  std::optional<std::uint8_t> acknowledge_ext_int();

 private:
  template <class Addressed>
  bool deliver_to(const InterruptMessage& message, Addressed addressed);

  std::vector<LocalApic*> apics_;
  std::vector<EoiListener*> eoi_listeners_;
  ExtIntSource* ext_int_source_ = nullptr;
  std::atomic<unsigned> next_candidate_ = 0;  ///< so that CPUs of equal priority take turns
};

}  // namespace vireo::devices
