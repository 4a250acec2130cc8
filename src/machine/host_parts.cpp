#include "engine/engines.h"
#include "engine/perf_map.h"
#include "machine/machine_builder.h"

namespace vireo::machine {

Result<HostParts> open_host_parts(const MachineConfig& config, std::function<void()> quit) {
  HostParts parts;
  engine::EngineOptions options;
  if (config.perf_map) {
    options.code_listener = TRY(engine::PerfMap::create(engine::PerfMap::default_path()));
  }
  parts.create_engine = [options](std::string_view name, memory::GuestMemory& memory) {
    return engine::create_engine(name, memory, options);
  };
  parts.serial = TRY(backends::open_char_backend(config.serial, {std::move(quit)}));
  if (!config.debug_console.empty()) {
    parts.debug_console = TRY(backends::open_char_output(config.debug_console));
  }
  return parts;
}

}  // namespace vireo::machine
