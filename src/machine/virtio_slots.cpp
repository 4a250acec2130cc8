#include "machine/virtio_slots.h"

#include <utility>

namespace vireo::machine {

Result<> VirtioSlots::add(std::unique_ptr<devices::virtio::VirtioModel> model) {
  if (slots_.size() == kCount)
    return usage_error("a machine has room for {} disks and other devices; give fewer", kCount);
  Slot slot;
  slot.model = std::move(model);
  slot.function = std::make_unique<devices::virtio::VirtioPci>(
      *slot.model, memory_, messages_,
      [this](std::function<void()> task) { io_.post(std::move(task)); });
  const auto number = kFirst + static_cast<unsigned>(slots_.size());
  TRY(pci_.add(number, 0, *slot.function));
  slots_.push_back(std::move(slot));
  return {};
}

}  // namespace vireo::machine
