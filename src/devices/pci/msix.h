#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <span>

#include "base/result.h"
#include "bus/msi_sink.h"
#include "bus/pci_capability.h"
#include "bus/window.h"

namespace vireo::devices {

/// One message of an MSI-X table.
struct MsixEntry {
  std::uint64_t address = 0;
  std::uint32_t data = 0;
  std::uint8_t masked = 1;

  bool operator==(const MsixEntry&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [address, data, masked] = self;
    visit("address", address), visit("data", data), visit("masked", masked);
  }
};

/// What MSI-X remembers outside configuration space.
struct MsixState {
  static constexpr unsigned kMost = 128;

  std::array<MsixEntry, kMost> table;
  std::array<std::uint64_t, kMost / 64> pending{};

  bool operator==(const MsixState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [table, pending] = self;
    visit("table", table), visit("pending", pending);
  }
};

/// The MSI-X capability with its table and pending bits, which are a window of their own. PCI Local
/// Bus 3.0, 6.8.2. Thread safe. A part of a bus::PciDevice, which defines it as a capability and
/// puts window() behind the base address register that it names here.
///
/// The lock is held while the sink is called and while configuration space is read: so a message
/// does not leave once the guest has masked it.
class Msix final : public bus::PciCapability {
 public:
  static constexpr std::uint8_t kId = 0x11;
  static constexpr unsigned kSize = 12;
  static constexpr std::uint64_t kWindowSize = 0x1000;  ///< table, and from its middle pending bits

  /// 1 to MsixState::kMost vectors; `bar` is the index of a base address register. The sink
  /// outlives this.
  Msix(bus::MsiSink& sink, unsigned vectors, unsigned bar);

  bus::BusDevice& window() { return window_; }
  unsigned vectors() const { return vectors_; }
  /// While it is, the function must not use its interrupt pin.
  bool enabled() const;
  /// Sends the message, or remembers that it is wanted while it is masked. Does nothing while
  /// MSI-X is disabled or if there is no such vector.
  void send(unsigned vector);

  MsixState state() const;
  /// Configuration space is to be restored after it.
  Result<> restore(const MsixState& state);

 private:
  void define() override;
  void on_written(unsigned offset, unsigned size) override;
  void on_reset() override;
  void read(std::uint64_t offset, std::span<std::byte> data);
  void write(std::uint64_t offset, std::span<const std::byte> data);
  std::uint32_t read_word(std::uint64_t offset) const;
  void write_word(std::uint64_t offset, std::uint32_t value);
  bool is_pending(unsigned vector) const;
  void set_pending(unsigned vector, bool pending);
  void send_locked(unsigned vector);
  void send_pending();

  bus::MsiSink& sink_;
  const unsigned vectors_, bar_;
  bus::Window<Msix> window_{*this, &Msix::read, &Msix::write};

  mutable std::mutex mutex_;  // taken before that of configuration space
  MsixState state_;
};

}  // namespace vireo::devices
