#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "bus/msi_sink.h"
#include "bus/pci_bus.h"
#include "devices/virtio/virtio_model.h"
#include "devices/virtio/virtio_pci.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// The virtio devices in the PCI slots of a machine, in the order in which they are added. Their
/// queues are served on the thread that runs the I/O loop. Filled while the machine is built.
class VirtioSlots {
 public:
  static constexpr unsigned kFirst = 3;  ///< behind the chipset, with room for a display
  static constexpr unsigned kCount = bus::PciBus::kDevices - kFirst;

  /// All of them outlive it; the loop no longer runs when it ends.
  VirtioSlots(memory::GuestMemory& memory, EventLoop& io, bus::MsiSink& messages, bus::PciBus& pci)
      : memory_(memory), io_(io), messages_(messages), pci_(pci) {}

  /// A usage error if there is no slot left.
  Result<> add(std::unique_ptr<devices::virtio::VirtioModel> model);

 private:
  struct Slot {
    std::unique_ptr<devices::virtio::VirtioModel> model;
    std::unique_ptr<devices::virtio::VirtioPci> function;
  };

  memory::GuestMemory& memory_;
  EventLoop& io_;
  bus::MsiSink& messages_;
  bus::PciBus& pci_;
  std::vector<Slot> slots_;
};

}  // namespace vireo::machine
