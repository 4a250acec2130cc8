#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backends/block/block_backend.h"
#include "backends/character/char_backend.h"
#include "backends/network/open_network.h"
#include "backends/share/shared_folder.h"
#include "backends/vsock/socket_folder.h"
#include "base/result.h"
#include "engine/engine.h"
#include "machine/boot/firmware_variables.h"
#include "machine/config.h"
#include "machine/machine.h"

namespace vireo::machine {

using EngineFactory = std::function<Result<std::unique_ptr<engine::Engine>>(
    std::string_view name, memory::GuestMemory& memory)>;

/// What a machine takes from its host.
struct HostParts {
  EngineFactory create_engine;
  std::unique_ptr<backends::CharBackend> serial;
  std::unique_ptr<backends::CharBackend> console;                ///< null: none
  std::vector<std::unique_ptr<backends::CharBackend>> channels;  ///< as the configuration has them
  std::vector<backends::NetworkPart> networks;
  std::vector<std::unique_ptr<backends::SharedFolder>> shares;  ///< as the configuration has them
  std::unique_ptr<backends::SocketFolder> vsock;                ///< null: none
  std::unique_ptr<FirmwareVariables> firmware_variables;        ///< null: none
  std::unique_ptr<backends::CharBackend> debug_console;         ///< null: none
  std::vector<std::unique_ptr<backends::BlockBackend>> disks;   ///< as the configuration has them
  std::vector<std::unique_ptr<backends::BlockBackend>> cdroms;
  std::function<void(std::span<std::byte>)> random;  ///< fills it with random bytes, at once
};

/// Opens what the configuration names. `quit` is called when the user ends the machine from its
/// console (Ctrl-A X), on the event thread.
Result<HostParts> open_host_parts(const MachineConfig& config, std::function<void()> quit);

/// Checks the configuration, makes the parts, wires them and loads the kernel. Usage errors name
/// the option to change.
Result<std::unique_ptr<Machine>> build_machine(const MachineConfig& config, HostParts parts);

}  // namespace vireo::machine
