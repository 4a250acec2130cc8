#include "machine/host_report.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "base/host_clock.h"
#include "base/unique_fd.h"
#include "engine/engines.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::machine {
namespace {

using Verdict = HostCheck::Verdict;

HostCheck check_cpu() {
  const std::string best(x86::CpuidModel::default_model());
  const bool full = best == "v3";
  return {"cpu", full ? Verdict::kGood : Verdict::kSlower,
          fmt::format("guests get CPU model {} unless told otherwise", best),
          full ? "" : "a host CPU with AVX2, BMI and FMA would offer model v3"};
}

HostCheck check_clock() {
  const HostClock clock;
  if (!clock.uses_tsc()) {
    return {"clock", Verdict::kSlower,
            "the time-stamp counter is not invariant; time is slower to read",
            "enable the invariant TSC in the firmware or the hypervisor of this host"};
  }
  return {"clock", Verdict::kGood,
          fmt::format("invariant time-stamp counter of {:.3f} MHz",
                      static_cast<double>(clock.tsc_hz()) / 1e6),
          ""};
}

HostCheck check_memory() {
  const UniqueFd fd(::memfd_create("doctor", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), 1 << 20) != 0) {
    return {
        "memory", Verdict::kMissing,
        fmt::format("shared memory files do not work: {}", std::generic_category().message(errno)),
        "allow memfd_create in the sandbox that runs this program"};
  }
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kib = 0;
  while (file >> key >> kib) {
    std::getline(file, unit);
    if (key == "MemAvailable:") break;
  }
  return {"memory", Verdict::kGood, fmt::format("{} MiB are available for guests", kib >> 10), ""};
}

HostCheck check_executable_memory() {
  // Vector handlers are made at run time: one mapping to write them, another to execute them.
  const UniqueFd fd(::memfd_create("doctor", MFD_CLOEXEC));
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* code = MAP_FAILED;
  if (fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) == 0) {
    // SAFETY: a page of our own that nothing uses; unmapped below.
    code = ::mmap(nullptr, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd.get(), 0);
  }
  if (code == MAP_FAILED) {
    return {"code", Verdict::kMissing, "generated code cannot be executed here",
            "allow executable mappings of memory files (SELinux: execmem)"};
  }
  ::munmap(code, size);
  return {"code", Verdict::kGood, "generated code can be executed", ""};
}

HostCheck check_threads() {
  const long cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  return {"host-cpus", cpus > 1 ? Verdict::kGood : Verdict::kSlower,
          fmt::format("{} host CPU{} for guests and their devices", cpus, cpus == 1 ? "" : "s"),
          cpus > 1 ? "" : "with two CPUs or more, devices do not wait for the guest"};
}

HostCheck check_kernel() {
  utsname names{};
  ::uname(&names);
  return {"kernel", Verdict::kGood, fmt::format("{} {}", names.sysname, names.release), ""};
}

}  // namespace

std::vector<HostCheck> check_host() {
  return {check_kernel(), check_cpu(), check_clock(), check_memory(), check_executable_memory(),
          check_threads()};
}

std::vector<EngineReport> list_engines() {
  std::vector<EngineReport> result;
  for (const engine::EngineInfo& info : engine::engines()) {
    result.push_back(
        {std::string(info.name), std::string(info.summary), info.available, info.reason});
  }
  return result;
}

std::vector<CpuModelReport> list_cpu_models() {
  std::vector<CpuModelReport> result;
  for (const std::string_view name : x86::CpuidModel::model_names()) {
    CpuModelReport report{std::string(name), false, name == x86::CpuidModel::default_model(), {}};
    report.available = x86::CpuidModel::parse(name, {}).has_value();
    if (const auto features = x86::CpuidModel::model_features(name)) {
      for (const x86::FeatureInfo& info : x86::feature_table()) {
        if (features->has(info.feature)) report.features.emplace_back(info.name);
      }
    }
    result.push_back(std::move(report));
  }
  return result;
}

}  // namespace vireo::machine
