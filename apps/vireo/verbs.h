#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace vireo::app {

/// What a verb does once its options are known; answers with the exit status of the program.
using Action = std::function<Result<int>()>;

// Each adds one verb with its options and sets `action` when the verb was given.
void add_run(CLI::App& program, Action& action);
void add_image(CLI::App& program, Action& action);
void add_engines(CLI::App& program, Action& action);
void add_cpu_models(CLI::App& program, Action& action);
void add_doctor(CLI::App& program, Action& action);
void add_version(CLI::App& program, Action& action);
void add_help(CLI::App& program, Action& action);
void add_completion(CLI::App& program, Action& action);

}  // namespace vireo::app
