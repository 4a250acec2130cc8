#pragma once
#include <cstddef>
#include <memory>

#include "engine/code_listener.h"
#include "engine/engine.h"
#include "memory/guest_memory.h"

namespace vireo::engine {

namespace translator {
class SharedTranslations;
}

struct TranslatorOptions {
  /// Code is interpreted until it has run so often; at least 1.
  unsigned warm_after = 28;
  /// Arithmetic flags that the program overwrites before it looks at them are kept even so: they
  /// can be seen in the frame of a fault or an interrupt that comes in between. Costs time.
  bool exact_flags = false;
  /// Memory for translated code, of each vCPU: 6 to 64 MiB, and three times as much for decoded
  /// code. When it is full the oldest gives way.
  std::size_t code_bytes = std::size_t{64} << 20;
  std::shared_ptr<CodeListener> code_listener;  ///< null: nobody asks
  /// What the vCPUs take over from each other. Null: an engine makes one for its own.
  std::shared_ptr<translator::SharedTranslations> shared;
};

/// Executes guest code as host code of the same instruction set, in every mode; what is not warm is
/// interpreted.
std::unique_ptr<Engine> make_translator(memory::GuestMemory& memory,
                                        const TranslatorOptions& options = {});

}  // namespace vireo::engine
