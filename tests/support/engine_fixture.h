#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "engine/engines.h"
#include "engine/translator/translator.h"
#include "support/guest_setup.h"
#include "support/recording_port.h"
#include "support/watchdog.h"

namespace vireo::test {

/// A clock that moves a little whenever it is read, so that runs repeat exactly.
class SteppingClock final : public Clock {
 public:
  std::uint64_t now_ns() const override { return now_ += 10; }
  std::uint64_t tsc() const override { return now_ += 10; }
  std::uint64_t tsc_hz() const override { return 1'000'000'000; }
  std::int64_t epoch_at_start() const override { return 0; }

 private:
  mutable std::uint64_t now_ = 1000;
};

enum class Stop : std::uint8_t {
  kVector,  ///< an exception or interrupt reached its handler
  kHalt,    ///< a HLT elsewhere
  kTripleFault,
  kPort,  ///< the guest wrote the stop port
  kTimeout,
};

/// How a run of guest code ended.
struct Outcome {
  Stop stop = Stop::kTimeout;
  unsigned vector = 0;
  bool has_error_code = false;
  std::uint32_t error_code = 0;
  /// The CPU as it was interrupted: RIP, CS, RFLAGS, RSP and SS come from the pushed frame.
  x86::CpuState state;
  /// The CPU as it is now: in the handler.
  x86::CpuState handler;
};

/// Beside the engines that users can name: the translator that translates all code the first time
/// it runs.
inline constexpr std::string_view kEagerTranslator = "translator-eager";
/// A vCPU of the same that runs what another one has run before, in memory of its own: it takes
/// over all the code.
inline constexpr std::string_view kAdoptingTranslator = "translator-adopting";
/// As the eager translator, and all user code that can run natively does.
inline constexpr std::string_view kEagerDirect = "direct-eager";

/// One vCPU of one engine with memory and a recording machine around it.
class EngineFixture {
 public:
  static Result<std::unique_ptr<EngineFixture>> create(std::string_view engine,
                                                       std::string_view cpu_model);
  ~EngineFixture();

  void poke(const Poke& poke);
  /// Zero bytes if the address is outside RAM.
  std::vector<std::uint8_t> peek(std::uint64_t address, std::size_t size) const;
  memory::GuestMemory& memory() { return *memory_; }
  RecordingPort& port() { return port_; }
  engine::EngineVcpu& vcpu() { return *vcpu_; }
  const x86::CpuidModel& model() const { return model_; }

  /// Runs until the guest halts, resets, stops or the time is over: `limit` of CPU time, so that
  /// the host's load does not matter. `software_interrupt`: the vector is expected from INT n,
  /// which never pushes an error code.
  Result<Outcome> run(Mode mode, const x86::CpuState& state, std::chrono::milliseconds limit,
                      bool software_interrupt = false);

 private:
  explicit EngineFixture(x86::CpuidModel model) : model_(std::move(model)) {}
  static Result<std::unique_ptr<EngineFixture>> create(
      std::string_view engine, std::string_view cpu_model,
      std::shared_ptr<engine::translator::SharedTranslations> shared);
  void read_frame(Mode mode, bool software_interrupt, Outcome& outcome) const;
  std::uint64_t peek_number(std::uint64_t address, unsigned size) const;

  SteppingClock clock_;
  x86::CpuidModel model_;
  RecordingPort port_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<engine::EngineVcpu> vcpu_;
  std::unique_ptr<EngineFixture> first_;  ///< what runs before it; null: nothing
  Watchdog watchdog_;
};

}  // namespace vireo::test
