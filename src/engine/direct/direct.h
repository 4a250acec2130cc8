#pragma once
#include <memory>

#include "base/result.h"
#include "engine/translator/translator.h"

namespace vireo::engine {

struct DirectOptions : TranslatorOptions {
  /// All user code is tried natively, worth it or not: for tests.
  bool eager = false;
};

/// Executes user code that stays on the CPU natively, in processes of the host that hold nothing
/// but the guest's pages, and everything else as the translator does.
std::unique_ptr<Engine> make_direct(memory::GuestMemory& memory, const DirectOptions& options = {});
/// Whether this host lets us; a host error says why not and what would.
Result<> probe_direct();

}  // namespace vireo::engine
