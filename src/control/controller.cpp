#include "control/controller.h"

#include <array>
#include <utility>

namespace vireo::control {

Result<Command> parse_command(std::string_view name) {
  const std::array<std::pair<std::string_view, Command>, 7> commands{
      {{"power-button", PressPowerButton{}},
       {"reset", Reset{}},
       {"pause", Pause{}},
       {"resume", Resume{}},
       {"stop", Stop{}},
       {"stats", GetStatistics{}},
       {"balloon", GetBalloon{}}}};
  for (const auto& [known, command] : commands) {
    if (name == known) return command;
  }
  return usage_error("there is no command named '{}'", name);
}

Result<Reply> Controller::execute(const Command& command) {
  const std::lock_guard lock(mutex_);
  return std::visit([this](const auto& one) { return run(one); }, command);
}

Result<Reply> Controller::run(PressPowerButton) {
  machine_.press_power_button();
  return Unit{};
}

Result<Reply> Controller::run(Reset) {
  machine_.request_reset();
  return Unit{};
}

Result<Reply> Controller::run(Pause) {
  if (std::exchange(paused_, true)) return usage_error("the machine is paused already");
  machine_.pause();
  return Unit{};
}

Result<Reply> Controller::run(Resume) {
  if (!std::exchange(paused_, false)) return usage_error("the machine is not paused");
  machine_.resume();
  return Unit{};
}

Result<Reply> Controller::run(Stop) {
  machine_.request_stop(machine::EndReason::kStopped);
  return Unit{};
}

Result<Reply> Controller::run(GetStatistics) { return machine_.statistics(); }

Result<Reply> Controller::run(SetBalloon command) {
  TRY(machine_.set_balloon(command.bytes));
  return Unit{};
}

Result<Reply> Controller::run(GetBalloon) { return TRY(machine_.balloon()); }

}  // namespace vireo::control
