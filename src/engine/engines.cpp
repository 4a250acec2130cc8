#include "engine/engines.h"

#include "engine/direct/direct.h"
#include "engine/interpreter/interpreter.h"
#include "engine/translator/translator.h"

namespace vireo::engine {

std::vector<EngineInfo> engines() {
  const auto probed = probe_direct();
  return {{"direct", "runs user code that stays on the CPU natively, translates the rest",
           probed.has_value(), probed ? "" : probed.error().message},
          {"translator", "translates guest code to host code; several times faster", true, ""},
          {"interpreter", "executes every instruction in software; runs on any host", true, ""}};
}

Result<std::unique_ptr<Engine>> create_engine(std::string_view name, memory::GuestMemory& memory,
                                              const EngineOptions& options) {
  std::string known;
  for (const EngineInfo& info : engines()) {
    if (name != "auto" && name != info.name) {
      known += known.empty() ? "" : ", ";
      known += info.name;
      continue;
    }
    if (info.available) {
      DirectOptions direct;
      direct.code_listener = options.code_listener;
      if (info.name == "direct") return make_direct(memory, direct);
      if (info.name == "translator") return make_translator(memory, direct);
      return make_interpreter(memory);
    }
    if (name == info.name) return host_error("engine {} cannot run here: {}", name, info.reason);
  }
  return usage_error("there is no engine named '{}'; choose auto or one of: {}", name, known);
}

}  // namespace vireo::engine
