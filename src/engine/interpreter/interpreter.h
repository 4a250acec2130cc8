#pragma once
#include <memory>

#include "engine/engine.h"

namespace vireo::engine {

/// The reference engine: executes every instruction in every mode by threaded code over decoded
/// blocks, on any host. The others are held to what it does.
std::unique_ptr<Engine> make_interpreter(memory::GuestMemory& memory);

}  // namespace vireo::engine
