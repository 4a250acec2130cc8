#pragma once
#include <cstdint>
#include <mutex>

#include "bus/msi_sink.h"
#include "bus/pci_capability.h"

namespace vireo::devices {

/// The MSI capability with 64-bit addresses and a mask and a pending bit for each message. PCI
/// Local Bus 3.0, 6.8.1. Everything it remembers is in configuration space. Thread safe. A part of
/// a bus::PciDevice, which defines it as a capability.
///
/// The lock is held while the sink is called and while configuration space is read: so a message
/// does not leave once the guest has masked it.
class Msi final : public bus::PciCapability {
 public:
  static constexpr std::uint8_t kId = 0x05;
  static constexpr unsigned kSize = 24;

  /// `vectors` is a power of two, at most 32. The sink outlives this.
  Msi(bus::MsiSink& sink, unsigned vectors);

  /// While it is, the function must not use its interrupt pin.
  bool enabled() const;
  /// Sends the message, or remembers that it is wanted while it is masked. With fewer messages
  /// granted than there are, several share one. Does nothing while MSI is disabled.
  void send(unsigned vector);

 private:
  void define() override;
  void on_written(unsigned offset, unsigned size) override;
  void send_locked(unsigned vector);

  bus::MsiSink& sink_;
  const unsigned vectors_;
  mutable std::mutex mutex_;  // taken before that of configuration space
};

}  // namespace vireo::devices
