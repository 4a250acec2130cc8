#include "machine/host_report.h"
#include "print_json.h"
#include "verbs.h"

namespace vireo::app {
namespace {

int print_cpu_models(bool as_json) {
  const auto models = machine::list_cpu_models();
  if (as_json) {
    Json list = Json::array();
    for (const auto& model : models) {
      list.push_back({{"name", model.name},
                      {"available", model.available},
                      {"default", model.is_default},
                      {"features", model.features}});
    }
    print_json({{"cpu_models", list}});
    return 0;
  }
  for (const auto& model : models) {
    fmt::print("{:<10} {}{}\n", model.name,
               model.available ? "available" : "needs a newer host CPU",
               model.is_default ? ", the default" : "");
    std::string line = "          ";
    for (const std::string& feature : model.features) {
      if (line.size() + feature.size() + 1 > 100) {
        fmt::print("{}\n", line);
        line = "          ";
      }
      line += " " + feature;
    }
    if (!model.features.empty()) fmt::print("{}\n", line);
  }
  return 0;
}

}  // namespace

void add_cpu_models(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("cpu-models", "List the CPU models that guests may have");
  auto as_json = std::make_shared<bool>(false);
  verb->add_flag("--json", *as_json, "Print JSON");
  verb->callback([&action, as_json] { action = [=] { return print_cpu_models(*as_json); }; });
}

}  // namespace vireo::app
