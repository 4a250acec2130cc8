#pragma once
#include <fstream>
#include <string>

#include "base/result.h"
#include "machine/lifecycle.h"
#include "machine/statistics.h"

namespace vireo::app {

/// Where the accounts of a run go, as JSON: a file, the standard output for "-", or nowhere. Opened
/// before the run, so that a wrong name costs nobody the run.
class StatsFile {
 public:
  static Result<StatsFile> open(const std::string& where);
  Result<> write(const machine::MachineStatistics& statistics, const machine::Ending& ending);

 private:
  std::string where_;
  std::ofstream file_;
};

}  // namespace vireo::app
