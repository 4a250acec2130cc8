#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/pci_capability.h"

namespace vireo::bus {

class PciBus;

/// What does not change about a function. PCI Local Bus 3.0, 6.2.1.
struct PciIdentity {
  std::uint16_t vendor = 0xffff;
  std::uint16_t device = 0xffff;
  std::uint32_t class_code = 0;  ///< base class << 16 | subclass << 8 | programming interface
  std::uint8_t revision = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem = 0;
  std::uint8_t interrupt_pin = 0;  ///< 0: none, 1: INTA# ... 4: INTD#
};

/// What a function's configuration space remembers.
struct PciConfigState {
  std::array<std::uint8_t, 256> bytes{};
  std::uint8_t intx = 0;  ///< the function asks for its interrupt pin

  bool operator==(const PciConfigState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [bytes, intx] = self;
    visit("bytes", bytes), visit("intx", intx);
  }
};

enum class BarKind : std::uint8_t { kIo, kMemory32, kMemory64, kPrefetchable64 };

/// One PCI function: 256 bytes of configuration space in which each bit is read-only, writable or
/// cleared by writing one, and up to six base address registers whose windows appear in the address
/// maps of the bus while the command register enables them. Derive from it; build the
/// configuration space in the constructor, before the function is added to a bus. Thread safe.
///
/// Locks: the one here is taken before those of interrupt lines, and never held while windows are
/// moved or a virtual function is called.
class PciDevice {
 public:
  explicit PciDevice(const PciIdentity& identity);
  virtual ~PciDevice() = default;
  PciDevice(const PciDevice&) = delete;

  /// `offset + data.size()` is at most 256.
  void config_read(unsigned offset, std::span<std::byte> data);
  void config_write(unsigned offset, std::span<const std::byte> data);
  /// The configuration space as after power-on; the windows disappear.
  void reset();

  PciConfigState config_state() const;
  /// Refuses a state of another function; moves windows and interrupt pin to where it says.
  Result<> restore_config(const PciConfigState& state);

 protected:
  // For constructors: values after reset, and which bits of them the guest may change.
  void define8(unsigned offset, std::uint8_t value, std::uint8_t writable = 0);
  void define16(unsigned offset, std::uint16_t value, std::uint16_t writable = 0);
  void define32(unsigned offset, std::uint32_t value, std::uint32_t writable = 0);
  /// `size` is a power of two: at least 4 for I/O, 16 for memory. A 64-bit one takes two registers.
  void define_bar(unsigned index, BarKind kind, std::uint64_t size, BusDevice& window,
                  std::string name);
  /// Appends a capability of `size` bytes with its header; says where it is. Its bytes are zero
  /// until they are defined.
  unsigned define_capability(std::uint8_t id, unsigned size);
  /// The same for one that does something; it lives as long as the function.
  void define_capability(PciCapability& capability);

  // For the running device.
  std::uint32_t config32(unsigned offset) const;
  std::uint16_t config16(unsigned offset) const;
  std::uint8_t config8(unsigned offset) const;
  void store_config8(unsigned offset, std::uint8_t value);
  void store_config32(unsigned offset, std::uint32_t value);
  /// Where the guest has put a window, if it has enabled it: see decoded_address().
  std::optional<std::uint64_t> window_address(unsigned bar) const { return decoded_address(bar); }
  bool bus_master() const { return (config8(0x04) & 0x04) != 0; }
  /// What the function wants of its interrupt pin; the command register may hold it back.
  void set_intx(bool high);
  /// The guest wrote these bytes, or all were restored. Called without locks, on that thread.
  virtual void on_config_written(unsigned /*offset*/, unsigned /*size*/) {}
  /// The rest of the function goes back to its state after power-on. Called by reset().
  virtual void on_reset() {}

 private:
  friend class PciBus;
  friend class PciCapability;
  struct Bar {
    BarKind kind;
    std::uint64_t size;
    BusDevice* window;
    std::string name;
    std::optional<std::uint64_t> mapped;  // guarded by the bus
  };
  void define_bytes(unsigned offset, unsigned size, std::uint64_t value, std::uint64_t writable);
  std::optional<std::uint64_t> decoded_address(unsigned index) const;
  void update_intx();
  void announce(unsigned offset, unsigned size);
  void tell_written(unsigned offset, unsigned size);
  /// Calls with each capability that has some of these bytes, and with its part of them.
  template <class Body>
  void for_each_capability(unsigned offset, unsigned size, Body body);
  void assign_interrupt_line(const std::array<std::uint8_t, 4>& interrupts);

  // Wiring, set by the bus.
  PciBus* bus_ = nullptr;
  unsigned devfn_ = 0;
  // Configuration.
  std::array<std::uint8_t, 256> initial_{};
  std::array<std::uint8_t, 256> writable_{};
  std::array<std::uint8_t, 256> clear_by_one_{};
  std::array<std::optional<Bar>, 6> bars_;
  std::vector<PciCapability*> capabilities_;
  unsigned capabilities_end_ = 0x40;
  unsigned last_capability_ = 0;
  // Guest-visible state.
  mutable std::mutex mutex_;
  PciConfigState state_;
};

}  // namespace vireo::bus
