#include "engine/engines.h"
#include "machine/machine_builder.h"

namespace vireo::machine {

Result<HostParts> open_host_parts(const MachineConfig& config, std::function<void()> quit) {
  HostParts parts;
  parts.create_engine = engine::create_engine;
  parts.serial = TRY(backends::open_char_backend(config.serial, {std::move(quit)}));
  if (!config.debug_console.empty()) {
    parts.debug_console = TRY(backends::open_char_output(config.debug_console));
  }
  return parts;
}

}  // namespace vireo::machine
