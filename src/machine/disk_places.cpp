#include "machine/disk_places.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "devices/ide/ata_disk.h"
#include "devices/ide/atapi_cdrom.h"
#include "devices/virtio/virtio_block.h"

namespace vireo::machine {

Result<> DiskPlaces::add_virtio_disk(backends::BlockBackend& backend, std::string serial) {
  constexpr unsigned kMostQueues = 8;
  devices::virtio::VirtioBlock::Config config;
  config.queues = std::min(cpus_, kMostQueues);
  config.serial = std::move(serial);
  boot_order_.push_back(
      fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", board_.virtio().next_pci_device()));
  return board_.virtio().add(
      std::make_unique<devices::virtio::VirtioBlock>(backend, memory_, std::move(config)));
}

Result<> DiskPlaces::add_ide_disk(backends::BlockBackend& backend, std::string serial) {
  return add_ide(std::make_unique<devices::AtaDisk>(backend, std::move(serial)));
}

Result<> DiskPlaces::add_cdrom(backends::BlockBackend& backend, std::string serial) {
  return add_ide(std::make_unique<devices::AtapiCdrom>(backend, std::move(serial)));
}

Result<> DiskPlaces::add_ide(std::unique_ptr<devices::IdeDrive> drive) {
  constexpr unsigned kMost = devices::Piix3Ide::kChannels * devices::IdeChannel::kDrives;
  if (ide_drives_ == kMost)
    return usage_error("a machine has room for {} IDE disks and CD-ROMs; give fewer", kMost);
  VIREO_ASSERT(board_.ide() != nullptr);
  const unsigned channel = ide_drives_ / devices::IdeChannel::kDrives;
  const unsigned index = ide_drives_ % devices::IdeChannel::kDrives;
  board_.ide()->channel(channel).add(index, std::move(drive));
  boot_order_.push_back(fmt::format("/pci@i0cf8/ide@1,1/drive@{:x}/disk@{:x}", channel, index));
  ++ide_drives_;
  return {};
}

}  // namespace vireo::machine
