#pragma once
#include <cstdint>

#include "bus/bus_device.h"
#include "bus/pci_capability.h"

namespace vireo::devices::virtio {

/// A way to the registers behind a base address register through configuration space, for software
/// that cannot reach memory above 4 GiB or has not mapped it: the driver names a place, then reads
/// or writes a word of the capability. Virtual I/O Device 1.2, 4.1.4.9.
class VirtioPciAccess final : public bus::PciCapability {
 public:
  /// For the one register `bar`, behind which are `size` bytes of `window`.
  VirtioPciAccess(unsigned bar, bus::BusDevice& window, std::uint64_t size);

 private:
  void define() override;
  void on_read(unsigned offset, unsigned size) override;
  void on_written(unsigned offset, unsigned size) override;
  /// The size of the access that the driver has described; 0 if there can be none.
  unsigned access_size() const;

  const unsigned bar_;
  bus::BusDevice& window_;
  const std::uint64_t size_;
};

}  // namespace vireo::devices::virtio
