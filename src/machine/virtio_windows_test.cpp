#include "machine/virtio_windows.h"

#include <gtest/gtest.h>

#include <set>

namespace vireo::machine {
namespace {

TEST(VirtioWindows, AreForGuestsThatLeavePciAlone) {
  EXPECT_EQ(virtio_window_count("console=ttyS0 pci=off", 2), 2u);
  EXPECT_EQ(virtio_window_count("pci=off quiet", 20), kVirtioWindows.size());
  EXPECT_EQ(virtio_window_count("", 2), 0u);
  EXPECT_EQ(virtio_window_count("pci=offside notpci=off pci=nomsi", 2), 0u);
}

TEST(VirtioWindows, AreAnnouncedWhereAcpiIsNotAsked) {
  EXPECT_EQ(announce_virtio_windows("pci=off acpi=off", 2),
            "pci=off acpi=off virtio_mmio.device=4K@0xfec20000:5 "
            "virtio_mmio.device=4K@0xfec21000:10");
  EXPECT_EQ(announce_virtio_windows("pci=off", 2), "pci=off");
  EXPECT_EQ(announce_virtio_windows("acpi=off", 0), "acpi=off");
}

TEST(VirtioWindows, DoNotShareInterrupts) {
  std::set<unsigned> interrupts, bases;
  for (const VirtioWindow& window : kVirtioWindows) {
    interrupts.insert(window.irq);
    bases.insert(window.base);
  }
  EXPECT_EQ(interrupts.size(), kVirtioWindows.size());
  EXPECT_EQ(bases.size(), kVirtioWindows.size());
}

}  // namespace
}  // namespace vireo::machine
