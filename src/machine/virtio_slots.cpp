#include "machine/virtio_slots.h"

#include <utility>

namespace vireo::machine {

Result<> VirtioSlots::add(std::unique_ptr<devices::virtio::VirtioModel> model) {
  const auto index = static_cast<unsigned>(slots_.size());
  if (full()) {
    return usage_error("{} has room for {} disks, network cards and other devices; give fewer",
                       memory_mapped_ ? "a machine whose guest runs with pci=off" : "a machine",
                       capacity());
  }
  Slot slot;
  slot.model = std::move(model);
  TRY(memory_mapped_ ? place_in_memory(slot, index) : place_in_pci(slot, index));
  slots_.push_back(std::move(slot));
  return {};
}

Result<> VirtioSlots::place_in_pci(Slot& slot, unsigned index) {
  slot.function = std::make_unique<devices::virtio::VirtioPci>(
      *slot.model, wiring_.memory, wiring_.messages,
      [this](std::function<void()> task) { wiring_.io.post(std::move(task)); });
  return wiring_.pci.add(kFirst + index, 0, *slot.function);
}

Result<> VirtioSlots::place_in_memory(Slot& slot, unsigned index) {
  const VirtioWindow& place = kVirtioWindows.at(index);
  slot.window = std::make_unique<devices::virtio::VirtioMmio>(
      *slot.model, wiring_.memory, wiring_.line(place.irq),
      [this](std::function<void()> task) { wiring_.io.post(std::move(task)); });
  return wiring_.mmio.add(place.base, devices::virtio::VirtioMmio::kWindowSize, *slot.window,
                          slot.model->kind().name);
}

void VirtioSlots::drain() {
  for (const Slot& slot : slots_) slot.model->drain();
}

void VirtioSlots::pause() {
  for (const Slot& slot : slots_) slot.device().pause();
}

void VirtioSlots::resume() {
  for (const Slot& slot : slots_) slot.device().resume();
}

void VirtioSlots::reset() {
  for (const Slot& slot : slots_) {
    if (slot.window) slot.window->reset();
  }
}

}  // namespace vireo::machine
