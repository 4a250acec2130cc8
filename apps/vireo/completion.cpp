#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "suggest.h"
#include "verbs.h"

namespace vireo::app {
namespace {

constexpr std::array<std::string_view, 3> kShells{"bash", "zsh", "fish"};

/// What can follow an option: words, or the names of files.
std::string values_of(const std::string& option) {
  if (option == "--engine") return "auto direct translator interpreter";
  if (option == "--cpu") return "baseline v2 v3 host";
  if (option == "--serial") return "stdio none file: unix: pty";
  if (option == "--console") return "none stdio file: unix: pty";
  if (option == "--balloon") return "none";
  if (option == "--net") return "none user switch= tap=";
  if (option == "--firmware") return "seabios ovmf";
  if (option == "--display") return "none vnc= png: text:";
  if (option == "--debug-console") return "stdio file:";
  if (option == "--format" || option == "--source-format" || option == "--backing-format")
    return "raw qcow2";
  return "";
}

bool takes_file(const std::string& option) {
  return option == "--kernel" || option == "--initrd" || option == "--disk" ||
         option == "--cdrom" || option == "--share" || option == "--stats" ||
         option == "--backing" || option == "--firmware-variables";
}

std::string join(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

/// The options of a verb and of what it can be told to do, each once.
std::vector<std::string> all_options(const CLI::App& verb) {
  std::vector<std::string> options = words_of(verb, true);
  for (const CLI::App* inner : verb.get_subcommands({})) {
    for (const std::string& option : words_of(*inner, true)) {
      if (std::ranges::find(options, option) == options.end()) options.push_back(option);
    }
  }
  return options;
}

std::string bash(const CLI::App& program) {
  std::string cases, values;
  for (const CLI::App* verb : program.get_subcommands({})) {
    const std::vector<std::string> inner = words_of(*verb, false);
    const std::string options = join(all_options(*verb));
    if (inner.empty()) {
      cases += fmt::format("    {}) words=\"{}\" ;;\n", verb->get_name(), options);
    } else {
      cases += fmt::format(
          "    {}) if [ $COMP_CWORD = 2 ]; then words=\"{}\"; else words=\"{}\" files=1; fi ;;\n",
          verb->get_name(), join(inner), options);
    }
    for (const std::string& option : all_options(*verb)) {
      if (const std::string list = values_of(option); !list.empty()) {
        values += fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n",
                              option, list);
      } else if (takes_file(option)) {
        values += fmt::format("    {}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", option);
      }
    }
  }
  return fmt::format(
      "_vireo() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words= files=\n"
      "  case $prev in\n{}  esac\n"
      "  case ${{COMP_WORDS[1]}} in\n    help) words=\"{}\" ;;\n"
      "    completion) words=\"{}\" ;;\n{}    *) words=\"{}\" ;;\n  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "  [ -z \"$files\" ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n}}\n"
      "complete -F _vireo vireo\n",
      values, join(words_of(program, false)), fmt::join(kShells, " "), cases,
      join(words_of(program, false)));
}

std::string zsh(const CLI::App& program) {
  return "autoload -U +X bashcompinit && bashcompinit\n" + bash(program);
}

std::string quoted(std::string text) {
  std::replace(text.begin(), text.end(), '\'', ' ');
  return "'" + text + "'";
}

std::string fish_options(const CLI::App& verb) {
  std::string script;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string values = values_of("--" + name);
      script += fmt::format(
          "complete -c vireo -n '__fish_seen_subcommand_from {}' -l {}{}{} -d {}\n",
          verb.get_name(), name, takes_file("--" + name) ? " -r -F" : "",
          values.empty() ? "" : " -x -a " + quoted(values), quoted(option->get_description()));
    }
  }
  return script;
}

std::string fish(const CLI::App& program) {
  std::string script = "complete -c vireo -f\n";
  for (const CLI::App* verb : program.get_subcommands({})) {
    script += fmt::format("complete -c vireo -n __fish_use_subcommand -a {} -d {}\n",
                          verb->get_name(), quoted(verb->get_description()));
    script += fish_options(*verb);
    for (const CLI::App* inner : verb->get_subcommands({})) {
      script +=
          fmt::format("complete -c vireo -F -n '__fish_seen_subcommand_from {}' -a {} -d {}\n",
                      verb->get_name(), inner->get_name(), quoted(inner->get_description()));
      script += fish_options(*inner);
    }
  }
  return script;
}

Result<int> print_completion(const CLI::App& program, const std::string& shell) {
  if (shell == "bash") {
    fmt::print("{}", bash(program));
  } else if (shell == "zsh") {
    fmt::print("{}", zsh(program));
  } else if (shell == "fish") {
    fmt::print("{}", fish(program));
  } else {
    return usage_error("there is no completion for '{}'; choose one of: {}", shell,
                       fmt::join(kShells, ", "));
  }
  return 0;
}

}  // namespace

void add_completion(CLI::App& program, Action& action) {
  auto* verb = program.add_subcommand(
      "completion", "Print a completion script: bash, zsh or fish, to be sourced by that shell");
  auto shell = std::make_shared<std::string>();
  verb->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  verb->callback([&program, &action, shell] {
    action = [&program, shell] { return print_completion(program, *shell); };
  });
}

}  // namespace vireo::app
