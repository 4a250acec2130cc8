#pragma once
#include <cstdint>

namespace vireo::bus {

class PciDevice;

/// A capability that does something, as MSI and MSI-X do, beyond bytes that are remembered. Its
/// registers are bytes of the function's configuration space; PciDevice::define_capability() puts
/// them there. Offsets count from its header. PCI Local Bus 3.0, 6.7.
class PciCapability {
 public:
  PciCapability(std::uint8_t id, unsigned size) : id_(id), size_(size) {}
  virtual ~PciCapability() = default;
  PciCapability(const PciCapability&) = delete;

 protected:
  friend class PciDevice;
  // Called without a lock of the function, by any thread.
  /// Once, when the function gets it: gives registers their values and the bits that are writable.
  virtual void define() = 0;
  /// The guest is about to read these bytes.
  virtual void on_read(unsigned /*offset*/, unsigned /*size*/) {}
  /// The guest wrote these bytes, or all were reset or restored.
  virtual void on_written(unsigned offset, unsigned size) = 0;
  /// What it remembers elsewhere goes back to its state after power-on; on_written() follows.
  virtual void on_reset() {}

  void define8(unsigned offset, std::uint8_t value, std::uint8_t writable);
  void define16(unsigned offset, std::uint16_t value, std::uint16_t writable);
  void define32(unsigned offset, std::uint32_t value, std::uint32_t writable);
  // These take the lock of the function for a moment.
  std::uint8_t config8(unsigned offset) const;
  std::uint16_t config16(unsigned offset) const;
  std::uint32_t config32(unsigned offset) const;
  void store_config32(unsigned offset, std::uint32_t value);

 private:
  const std::uint8_t id_;
  const unsigned size_;
  // Wiring, set by the function.
  PciDevice* function_ = nullptr;
  unsigned offset_ = 0;
};

}  // namespace vireo::bus
