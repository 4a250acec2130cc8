#pragma once
#include <memory>

#include "engine/engine.h"
#include "memory/guest_memory.h"

namespace vireo::engine {

/// Executes guest code as host code of the same instruction set. Code is translated when it has run
/// `warm_after` times (at least 1); until then, and in other modes than 64-bit, it is interpreted.
std::unique_ptr<Engine> make_translator(memory::GuestMemory& memory, unsigned warm_after = 16);

}  // namespace vireo::engine
