#include <fmt/format.h>

#include "suggest.h"
#include "verbs.h"

namespace vireo::app {
namespace {

Result<int> print_help(const CLI::App& program, const std::string& name) {
  if (name.empty()) {
    // Not program.help(): that one explains the verb being carried out, which is this one.
    fmt::print("{}",
               program.get_formatter()->make_help(&program, "vireo", CLI::AppFormatMode::Normal));
    return 0;
  }
  const auto verbs =
      program.get_subcommands([&](const CLI::App* verb) { return verb->get_name() == name; });
  if (verbs.empty()) {
    const auto close = closest(name, words_of(program, false));
    return usage_error("there is no verb '{}'{}", name,
                       close ? fmt::format("; did you mean {}?", *close) : "");
  }
  fmt::print("{}", verbs.front()->help("vireo"));
  return 0;
}

}  // namespace

void add_help(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand("help", "Explain a verb and its options");
  auto name = std::make_shared<std::string>();
  verb->add_option("VERB", *name, "The verb to explain");
  verb->callback([&program, &action, name] {
    action = [&program, name] { return print_help(program, *name); };
  });
}

}  // namespace vireo::app
