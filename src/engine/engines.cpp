#include "engine/engines.h"

#include "engine/interpreter/interpreter.h"
#include "engine/translator/translator.h"

namespace vireo::engine {

std::vector<EngineInfo> engines() {
  return {{"translator", "translates guest code to host code; several times faster", true, ""},
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
      if (info.name == "translator") {
        TranslatorOptions translator;
        translator.code_listener = options.code_listener;
        return make_translator(memory, translator);
      }
      return make_interpreter(memory);
    }
    if (name == info.name) return host_error("engine {} cannot run here: {}", name, info.reason);
  }
  return usage_error("there is no engine named '{}'; choose auto or one of: {}", name, known);
}

}  // namespace vireo::engine
