#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace vireo::machine {

/// The accounts of one run of a machine; what `--stats` shows.
struct MachineStatistics {
  std::string engine;
  std::string cpu_model;
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  double wall_seconds = 0;  ///< host time since the machine began to run
  double cpu_seconds = 0;   ///< host CPU time of all virtual CPUs
  std::uint64_t resets = 0;
  std::uint64_t halts = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t console_bytes = 0;
  /// Guest accesses by device: ports by the name of their device, and what is mapped to memory.
  std::vector<engine::Counter> device_accesses;
  /// The engine's own counters, summed over the virtual CPUs.
  std::vector<engine::Counter> engine_counters;
};

/// Adds to the counter of that name, which is made if there is none.
void add_count(std::vector<engine::Counter>& counters, const std::string& name,
               std::uint64_t value);

}  // namespace vireo::machine
