#pragma once
#include <string>

#include "base/result.h"
#include "machine/lifecycle.h"
#include "machine/statistics.h"

namespace vireo::app {

/// Writes the accounts of a run as JSON to a file, or to the standard output if `where` is "-".
Result<> write_stats(const std::string& where, const machine::MachineStatistics& statistics,
                     const machine::Ending& ending);

}  // namespace vireo::app
