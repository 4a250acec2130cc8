#include "machine/host_report.h"
#include "print_json.h"
#include "verbs.h"

namespace vireo::app {
namespace {

int print_engines(bool as_json) {
  const auto engines = machine::list_engines();
  if (as_json) {
    Json list = Json::array();
    for (const auto& engine : engines) {
      list.push_back({{"name", engine.name},
                      {"summary", engine.summary},
                      {"available", engine.available},
                      {"reason", engine.reason}});
    }
    print_json({{"engines", list}});
    return 0;
  }
  for (const auto& engine : engines) {
    fmt::print("{:<12} {:<12} {}\n", engine.name, engine.available ? "available" : "unavailable",
               engine.available ? engine.summary : engine.reason);
  }
  return 0;
}

}  // namespace

void add_engines(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("engines", "List the ways to execute a guest on this host");
  auto as_json = std::make_shared<bool>(false);
  verb->add_flag("--json", *as_json, "Print JSON");
  verb->callback([&action, as_json] { action = [=] { return print_engines(*as_json); }; });
}

}  // namespace vireo::app
