#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/code_listener.h"
#include "engine/engine.h"

namespace vireo::engine {

/// One way to execute guest code, and whether this host can do it.
struct EngineInfo {
  std::string_view name;
  std::string_view summary;
  bool available = false;
  std::string reason;  ///< why it is not available and what would enable it; empty if it is
};

/// Every engine, fastest first.
std::vector<EngineInfo> engines();

/// What an engine is asked for besides running the guest.
struct EngineOptions {
  /// Told of host code made of guest code, by engines that make it; null: nobody asks.
  std::shared_ptr<CodeListener> code_listener;
};

/// `auto` is the fastest available. A usage error names an unknown engine, a host error one that
/// cannot run here. `memory` outlives the engine.
Result<std::unique_ptr<Engine>> create_engine(std::string_view name, memory::GuestMemory& memory,
                                              const EngineOptions& options = {});

}  // namespace vireo::engine
