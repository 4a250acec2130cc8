#include <algorithm>

#include "machine/host_report.h"
#include "print_json.h"
#include "verbs.h"

namespace vireo::app {
namespace {

using machine::HostCheck;

const char* verdict_name(HostCheck::Verdict verdict) {
  switch (verdict) {
    case HostCheck::Verdict::kGood:
      return "good";
    case HostCheck::Verdict::kSlower:
      return "slower";
    case HostCheck::Verdict::kMissing:
      return "missing";
  }
  return "?";
}

/// The engines are things that a host can do, too.
std::vector<HostCheck> all_checks() {
  std::vector<HostCheck> checks = machine::check_host();
  for (const auto& engine : machine::list_engines()) {
    checks.push_back({"engine " + engine.name,
                      engine.available ? HostCheck::Verdict::kGood : HostCheck::Verdict::kSlower,
                      engine.available ? engine.summary : "not available", engine.reason});
  }
  return checks;
}

int print_checks(bool as_json) {
  const auto checks = all_checks();
  const bool fit = std::none_of(checks.begin(), checks.end(), [](const HostCheck& check) {
    return check.verdict == HostCheck::Verdict::kMissing;
  });
  if (as_json) {
    Json list = Json::array();
    for (const HostCheck& check : checks) {
      list.push_back({{"name", check.name},
                      {"verdict", verdict_name(check.verdict)},
                      {"finding", check.finding},
                      {"mend", check.mend}});
    }
    print_json({{"fit", fit}, {"checks", list}});
  } else {
    for (const HostCheck& check : checks) {
      fmt::print("{:<8} {:<20} {}{}{}\n", verdict_name(check.verdict), check.name, check.finding,
                 check.mend.empty() ? "" : "; ", check.mend);
    }
  }
  return fit ? 0 : 3;
}

}  // namespace

void add_doctor(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("doctor", "Say what this host can do, and how to mend it");
  auto as_json = std::make_shared<bool>(false);
  verb->add_flag("--json", *as_json, "Print JSON");
  verb->callback([&action, as_json] { action = [=] { return print_checks(*as_json); }; });
}

}  // namespace vireo::app
