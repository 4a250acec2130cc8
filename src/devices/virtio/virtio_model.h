#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "devices/virtio/virtqueue.h"

namespace vireo::devices::virtio {

/// What a kind of device is called on its buses. Virtual I/O Device 1.2, 4.1.2.1 and 5.
struct VirtioKind {
  std::uint16_t id;                ///< 2: block, 4: entropy ...
  std::uint16_t transitional_pci;  ///< PCI device for drivers of before 1.0
  std::uint32_t pci_class;         ///< as bus::PciIdentity has it
  const char* name;                ///< "virtio-blk"
};

/// What one kind of device does with its queues. Everything else - status, features, transports,
/// rings - is VirtioDevice's.
class VirtioModel {
 public:
  virtual ~VirtioModel() = default;

  virtual VirtioKind kind() const = 0;
  virtual unsigned queue_count() const = 0;      ///< 1 to VirtioState::kMostQueues
  virtual std::uint16_t queue_size() const = 0;  ///< the largest; a power of two up to 32768
  /// The feature bits of its own that it offers.
  virtual std::uint64_t features() const = 0;

  /// Tells it, while its device is made, whom to call when its configuration has changed: from any
  /// thread, with no lock held that configuration is read with. Nobody from the device's end on.
  virtual void connect(std::function<void()> /*config_changed*/) {}

  /// The device configuration, 0 to 4096 bytes. Reads are of any size and place; what lies behind
  /// its end reads as zero. Thread safe.
  virtual void read_config(std::uint64_t offset, std::span<std::byte> data) const = 0;
  virtual void write_config(std::uint64_t offset, std::span<const std::byte> data) = 0;

  // One at a time, and not while serve() runs.
  /// The driver has accepted these features, and queues may be served from now on.
  virtual void start(std::uint64_t features) = 0;
  /// Waits until every request that was taken is given back. serve() is not called meanwhile.
  virtual void drain() = 0;
  /// As after power-on. Nothing is under way.
  virtual void reset() = 0;

  /// Waits until nothing that was taken changes guest memory any more; no queue gives it anything
  /// meanwhile. Unlike with drain() nothing is lost: what waits for others, such as a terminal,
  /// goes on waiting, and is given back whenever it is done.
  virtual void settle() { drain(); }

  /// There may be requests in the queue. On the I/O thread, or on another if serves_at_once(); one
  /// queue at a time; does not wait for anything slow.
  virtual void serve(Virtqueue& queue) = 0;
  /// Whether serving takes less than waking the I/O thread and the answer's waking a virtual CPU:
  /// then the virtual CPU that notifies serves the queue itself, unless a thread is just at it.
  virtual bool serves_at_once() const { return false; }
};

}  // namespace vireo::devices::virtio
