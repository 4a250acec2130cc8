#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "suggest.h"
#include "verbs.h"

namespace {

using namespace std::string_literals;

constexpr int kUsageStatus = 2, kHostStatus = 3;

int complain(const std::string& message, int status) {
  fmt::print(stderr, "vireo: {}\n", message);
  return status;
}

/// The verb that was named, or what it was told to do; or the program itself.
const CLI::App& verb_of(const CLI::App& program) {
  const auto given = program.get_subcommands();
  return given.empty() ? program : verb_of(*given.front());
}

int complain_about_command_line(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& verb = verb_of(program);
  std::string help = "vireo help";
  if (&verb != &program) help += ' ' + program.get_subcommands().front()->get_name();
  std::string message = error.what();
  if (const auto rest = program.remaining(true); !rest.empty()) {
    const std::string& word = rest.front();
    const bool option = word.starts_with("-");
    message = option              ? fmt::format("there is no option {}", word)
              : &verb == &program ? fmt::format("there is no verb '{}'", word)
                                  : fmt::format("'{}' is one argument too many", word);
    if (const auto close = vireo::app::closest(word, vireo::app::words_of(verb, option))) {
      message += fmt::format("; did you mean {}?", *close);
    }
  }
  while (message.ends_with('.') || message.ends_with('\n')) message.pop_back();
  return complain(fmt::format("{} (see {})", message, help), kUsageStatus);
}

int run(int argc, char** argv) {
  CLI::App program{"Runs unmodified operating systems on a PC of their own.", "vireo"};
  program.require_subcommand(0, 1);
  program.set_help_flag("-h,--help", "Explain the options and exit");
  bool version = false;
  program.add_flag("--version", version, "Print the version and exit");
  vireo::app::Action action;
  vireo::app::add_run(program, action);
  vireo::app::add_image(program, action);
  vireo::app::add_engines(program, action);
  vireo::app::add_cpu_models(program, action);
  vireo::app::add_doctor(program, action);
  vireo::app::add_version(program, action);
  vireo::app::add_help(program, action);
  vireo::app::add_completion(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const CLI::App& verb = verb_of(program);
    const CLI::App* const outer = verb.get_parent();
    const bool inner = outer != nullptr && outer != &program;
    const std::string before = inner ? "vireo " + outer->get_name() : "vireo";
    fmt::print("{}", &verb == &program ? program.help() : verb.help(before));
    return 0;
  } catch (const CLI::ParseError& error) {
    return complain_about_command_line(program, error);
  }
  if (version) {
    fmt::print("vireo {}\n", vireo::app::version());
    return 0;
  }
  if (!action) {
    return complain("say what to do: vireo run --kernel FILE, or vireo help for everything else",
                    kUsageStatus);
  }
  const auto status = action();
  if (status) return *status;
  return complain(status.error().message,
                  status.error().blame == vireo::Blame::kUsage ? kUsageStatus : kHostStatus);
}

}  // namespace

int main(int argc, char** argv) {
  // A limit on the size of files fails what exceeds it, and that is said.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int status = run(argc, argv);
    if (std::fflush(stdout) != 0 && status == 0) {
      return complain("cannot write to the standard output", kHostStatus);
    }
    return status;
  } catch (const std::bad_alloc&) {
    return complain("the host has not enough memory", kHostStatus);
  } catch (const std::exception& error) {
    return complain(error.what(), kHostStatus);
  }
}
