#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backends/block/block_backend.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_net.h"
#include "engine/engine.h"

namespace vireo::machine {

/// What went between a disk and its driver; notifications and interrupts are those of virtio.
struct DiskStatistics {
  std::string name;  ///< the image
  backends::BlockCounters requests;
  std::optional<devices::virtio::VirtioCounters> queues;  ///< none behind IDE
};

struct NetworkStatistics {
  std::string name;  ///< what the card is plugged into
  devices::virtio::NetworkCounters frames;
  devices::virtio::VirtioCounters queues;
};

/// The accounts of one run of a machine; what `--stats` shows.
struct MachineStatistics {
  std::string engine;
  std::string cpu_model;
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t resident_bytes = 0;  ///< of them, what the host keeps
  double wall_seconds = 0;           ///< host time since the machine began to run
  double cpu_seconds = 0;            ///< host CPU time of all virtual CPUs
  std::uint64_t resets = 0;
  std::uint64_t halts = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t console_bytes = 0;
  std::vector<DiskStatistics> disks;  ///< in the order in which they were given
  std::vector<NetworkStatistics> networks;
  /// Guest accesses by device: ports by the name of their device, and what is mapped to memory.
  std::vector<engine::Counter> device_accesses;
  /// The engine's own counters, summed over the virtual CPUs.
  std::vector<engine::Counter> engine_counters;
};

/// A balloon: how large it shall be and is, and what has gone back to the host by it.
struct BalloonReport {
  std::uint64_t wanted_bytes = 0, actual_bytes = 0, discarded_bytes = 0;
  /// What the guest has said last of its memory, by tag. Virtual I/O Device 1.2, 5.5.6.4.
  std::map<std::uint16_t, std::uint64_t> guest;
};

/// Adds to the counter of that name, which is made if there is none.
void add_count(std::vector<engine::Counter>& counters, const std::string& name,
               std::uint64_t value);

}  // namespace vireo::machine
