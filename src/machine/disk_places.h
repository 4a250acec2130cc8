#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backends/block/block_backend.h"
#include "base/result.h"
#include "machine/board.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// Plugs the disks of a machine into its board, and notes for firmware where they are. While the
/// machine is built; what it is given outlives the board.
class DiskPlaces {
 public:
  DiskPlaces(Board& board, memory::GuestMemory& memory, unsigned cpus)
      : board_(board), memory_(memory), cpus_(cpus) {}

  // Usage errors if there is no room left.
  Result<> add_virtio_disk(backends::BlockBackend& backend, std::string serial);
  Result<> add_ide_disk(backends::BlockBackend& backend, std::string serial);
  Result<> add_cdrom(backends::BlockBackend& backend, std::string serial);

  /// Their paths as Open Firmware has them, in the order of adding.
  const std::vector<std::string>& boot_order() const { return boot_order_; }

 private:
  Result<> add_ide(std::unique_ptr<devices::IdeDrive> drive);

  Board& board_;
  memory::GuestMemory& memory_;
  const unsigned cpus_;
  unsigned ide_drives_ = 0;
  std::vector<std::string> boot_order_;
};

}  // namespace vireo::machine
