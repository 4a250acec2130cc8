#include "base/version.h"

#include "print_json.h"
#include "verbs.h"

namespace vireo::app {

void add_version(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("version", "Print the version");
  auto as_json = std::make_shared<bool>(false);
  verb->add_flag("--json", *as_json, "Print JSON");
  verb->callback([&action, as_json] {
    action = [=] {
      if (*as_json) {
        print_json({{"name", "vireo"}, {"version", kVersion}});
      } else {
        fmt::print("vireo {}\n", kVersion);
      }
      return 0;
    };
  });
}

}  // namespace vireo::app
