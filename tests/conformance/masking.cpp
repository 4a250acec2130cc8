#include "conformance/masking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "support/engine_fixture.h"
#include "support/guest_layout.h"
#include "x86/cpuid/cpuid_model.h"
#include "x86/cpuid/feature_table.h"

namespace vireo::test {
namespace {

using x86::Feature, x86::FeatureInfo;

/// Features without an instruction, a register or a bit of their own: all of them is the promise.
struct Promise {
  Feature feature;
  const char* what;
};
constexpr std::array kPromises{
    Promise{Feature::kErms, "REP MOVSB and STOSB are fast"},
    Promise{Feature::kFsrm, "REP MOVSB is fast for short lengths"},
    Promise{Feature::kArat, "the local APIC's timer never stops"},
    Promise{Feature::kInvariantTsc, "the TSC never stops and never changes its rate"},
    // Their hypercalls and MSRs are the machine's, which tests them: an engine alone has none.
    Promise{Feature::kKvmClock, "where the time is is written when it is asked for"},
    Promise{Feature::kKvmStealTime, "the time that the host took away is written"},
    Promise{Feature::kKvmPvUnhalt, "a hypercall ends another CPU's halt"},
    Promise{Feature::kKvmPvTlbFlush, "a CPU that does not run is flushed before it does"},
    Promise{Feature::kKvmPvIpi, "a hypercall interrupts many CPUs"},
    Promise{Feature::kKvmPvSchedYield, "a hypercall lets another CPU run"},
};

bool is_promise(Feature feature) {
  return std::any_of(kPromises.begin(), kPromises.end(),
                     [&](const Promise& promise) { return promise.feature == feature; });
}

/// EAX, EBX, ECX and EDX of CPUID as a guest of this CPU model reads them.
Result<std::array<std::uint64_t, 4>> guest_cpuid(const std::string& engine, const std::string& cpu,
                                                 std::uint32_t leaf, std::uint32_t subleaf) {
  const auto fixture = TRY(EngineFixture::create(engine, cpu));
  GuestSetup setup = prepare(Mode::kProtected32);
  for (const Poke& poke : setup.pokes) fixture->poke(poke);
  fixture->poke({layout::kCode, {0x0f, 0xa2, 0xf4}});  // cpuid; hlt
  setup.state.gpr[x86::kRax] = leaf;
  setup.state.gpr[x86::kRcx] = subleaf;
  const auto outcome =
      TRY(fixture->run(Mode::kProtected32, setup.state, std::chrono::milliseconds(5000)));
  if (outcome.stop != Stop::kHalt) return host_error("CPUID did not come to its end");
  const auto& gpr = outcome.state.gpr;
  return std::array{gpr[x86::kRax], gpr[x86::kRbx], gpr[x86::kRcx], gpr[x86::kRdx]};
}

/// One look into CPUID; a mismatch if the feature is not shown as it should be.
void look(const std::string& engine, const FeatureInfo& info, const std::string& cpu,
          std::uint32_t leaf, bool expected, Verdict& verdict) {
  const auto registers = guest_cpuid(engine, cpu, leaf, info.subleaf);
  if (!registers) {
    verdict.mismatches.push_back(fmt::format("{}: {}", cpu, registers.error().message));
    return;
  }
  const bool shown = ((*registers)[info.output] >> info.bit & 1) != 0;
  if (shown != expected)
    verdict.mismatches.push_back(
        fmt::format("{}: leaf {:#x} {} it", cpu, leaf, shown ? "shows" : "does not show"));
}

/// The feature as a change of a model, behind those that it needs.
std::string with(const FeatureInfo& info) {
  std::string result;
  for (const auto& [feature, needs] : x86::feature_dependencies())
    if (feature == info.feature) result += fmt::format("+{},", x86::feature_info(needs).name);
  return fmt::format("{}+{}", result, info.name);
}

Verdict test_cpuid(const std::string& engine, const FeatureInfo& info) {
  Verdict verdict;
  const bool available = x86::host_features().has(info.feature);
  for (const char* vendor : {"intel", "amd"}) {
    const auto cpu = [&](const std::string& change) {
      return fmt::format("host,{},vendor={}", change, vendor);
    };
    look(engine, info, cpu(fmt::format("-{}", info.name)), info.leaf, false, verdict);
    if (available) look(engine, info, cpu(with(info)), info.leaf, true, verdict);
  }
  // AMD repeats bits of leaf 1 EDX.
  constexpr std::uint32_t kRepeatedIn = 0x80000001, kRepeated = 0x0183f3ff;
  if (info.leaf == 1 && info.output == 3 && (kRepeated >> info.bit & 1) != 0) {
    const std::string cpu = fmt::format("host,-{},vendor=amd", info.name);
    look(engine, info, cpu, kRepeatedIn, false, verdict);
  }
  return verdict;
}

/// Each feature has a case with it and one without it, or is a mere promise.
Verdict test_coverage(const std::vector<Case>& cases) {
  Verdict verdict;
  std::set<std::string> cpus;
  for (const Case& test : cases)
    if (!test.feature.empty()) cpus.insert(test.cpu);
  for (const FeatureInfo& info : x86::feature_table())
    for (const char sign : {'+', '-'})
      if ((cpus.erase(fmt::format("host,{}{}", sign, info.name)) == 0) != is_promise(info.feature))
        verdict.mismatches.push_back(
            fmt::format("cases about {}{} are missing, or are in vain", sign, info.name));
  for (const std::string& cpu : cpus)
    verdict.mismatches.push_back(fmt::format("cases on {} are about no feature", cpu));
  return verdict;
}

}  // namespace

std::vector<MaskingTest> masking_tests(const std::vector<Case>& cases,
                                       const std::vector<std::string>& engines) {
  std::vector<MaskingTest> tests{
      {"every_feature_has_a_case", [&cases] { return test_coverage(cases); }}};
  for (const std::string& engine : engines)
    for (const FeatureInfo& info : x86::feature_table())
      tests.push_back({fmt::format("{}/cpuid_shows_{}_only_where_it_is", engine, info.name),
                       [engine, &info] { return test_cpuid(engine, info); }});
  return tests;
}

}  // namespace vireo::test
