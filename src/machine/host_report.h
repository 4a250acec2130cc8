#pragma once
#include <string>
#include <vector>

namespace vireo::machine {

/// One thing that a host should be able to do.
struct HostCheck {
  enum class Verdict : unsigned char {
    kGood,
    kSlower,   ///< Vireo works without it, but less well
    kMissing,  ///< Vireo cannot work without it
  };
  std::string name;
  Verdict verdict = Verdict::kGood;
  std::string finding;
  std::string mend;  ///< what to do; empty if there is nothing to be done
};

/// A way to execute guests, and whether this host has it.
struct EngineReport {
  std::string name;
  std::string summary;
  bool available = false;
  std::string reason;  ///< why not, and what would enable it
};

/// A CPU model that guests may be given.
struct CpuModelReport {
  std::string name;
  bool available = false;
  bool is_default = false;
  std::vector<std::string> features;
};

std::vector<HostCheck> check_host();
std::vector<EngineReport> list_engines();
std::vector<CpuModelReport> list_cpu_models();

}  // namespace vireo::machine
