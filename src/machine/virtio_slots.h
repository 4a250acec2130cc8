#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "bus/address_map.h"
#include "bus/irq_line.h"
#include "bus/msi_sink.h"
#include "bus/pci_bus.h"
#include "devices/virtio/virtio_mmio.h"
#include "devices/virtio/virtio_model.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/virtio_windows.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// The virtio devices of a machine, in the order in which they are added: in PCI slots, or behind
/// windows of memory for a guest that leaves PCI alone. Their queues are served on the thread that
/// runs the I/O loop. Filled while the machine is built.
class VirtioSlots {
 public:
  static constexpr unsigned kFirst = 3;  ///< behind the chipset, with room for a display
  static constexpr unsigned kCount = bus::PciBus::kDevices - kFirst;

  /// All of it outlives the slots; the loop no longer runs when they end.
  struct Wiring {
    memory::GuestMemory& memory;
    EventLoop& io;
    bus::MsiSink& messages;
    bus::PciBus& pci;
    bus::AddressMap& mmio;
    std::function<bus::IrqLine&(unsigned irq)> line;
  };
  VirtioSlots(Wiring wiring, bool memory_mapped)
      : wiring_(std::move(wiring)), memory_mapped_(memory_mapped) {}

  /// The PCI device number of the one that is added next.
  unsigned next_pci_device() const { return kFirst + static_cast<unsigned>(slots_.size()); }
  bool full() const { return slots_.size() == capacity(); }
  /// A usage error if there is no slot left.
  Result<> add(std::unique_ptr<devices::virtio::VirtioModel> model);
  /// Waits until nothing is under way in any of them. The I/O loop does not run.
  void drain();
  /// Those behind windows; the PCI bus resets its own.
  void reset();
  /// No queue is served, and nothing in guest memory changes, until resume(). Waits for requests
  /// under way. No virtual CPU runs; they do not nest.
  void pause();
  void resume();
  std::size_t size() const { return slots_.size(); }
  /// Of the device that was added so many others later than the first.
  devices::virtio::VirtioCounters counters(std::size_t index) const {
    return slots_.at(index).device().counters();
  }

 private:
  struct Slot {
    std::unique_ptr<devices::virtio::VirtioModel> model;
    std::unique_ptr<devices::virtio::VirtioPci> function;
    std::unique_ptr<devices::virtio::VirtioMmio> window;
    devices::virtio::VirtioDevice& device() const {
      return function ? function->device() : window->device();
    }
  };
  std::size_t capacity() const { return memory_mapped_ ? kVirtioWindows.size() : kCount; }
  Result<> place_in_pci(Slot& slot, unsigned index);
  Result<> place_in_memory(Slot& slot, unsigned index);

  const Wiring wiring_;
  const bool memory_mapped_;
  std::vector<Slot> slots_;
};

}  // namespace vireo::machine
