#pragma once
#include <mutex>
#include <optional>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "machine/machine.h"
#include "machine/statistics.h"

namespace vireo::control {

// Every action on a running machine, as a type of its own: whatever speaks to people or programs
// only translates to these.
struct PressPowerButton {};  ///< the guest decides what that means
struct Reset {};             ///< as the reset button of a PC
struct Pause {};
struct Resume {};
struct Stop {};  ///< the power goes off
struct GetStatistics {};
struct SetBalloon {
  std::uint64_t bytes = 0;  ///< that the guest shall do without
};
struct GetBalloon {};

using Command = std::variant<PressPowerButton, Reset, Pause, Resume, Stop, GetStatistics,
                             SetBalloon, GetBalloon>;
/// Nothing, or what was asked for.
using Reply = std::variant<Unit, machine::MachineStatistics, machine::BalloonReport>;

/// Those that need no more than their name: `power-button`, `reset`, `pause`, `resume`, `stop`,
/// `stats`, `balloon`; a usage error for others.
Result<Command> parse_command(std::string_view name);

/// The only door into a machine. Thread safe, but not for the machine's own threads.
class Controller {
 public:
  /// The machine outlives the controller.
  explicit Controller(machine::Machine& machine) : machine_(machine) {}

  /// A usage error if the command makes no sense now.
  Result<Reply> execute(const Command& command);

 private:
  Result<Reply> run(PressPowerButton);
  Result<Reply> run(Reset);
  Result<Reply> run(Pause);
  Result<Reply> run(Resume);
  Result<Reply> run(Stop);
  Result<Reply> run(GetStatistics);
  Result<Reply> run(SetBalloon command);
  Result<Reply> run(GetBalloon);

  machine::Machine& machine_;
  std::mutex mutex_;
  bool paused_ = false;
};

}  // namespace vireo::control
