#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/translator/translator.h"
#include "lockstep/vcpus.h"
#include "support/engine_fixture.h"
#include "support/guest_layout.h"
#include "support/guest_setup.h"
#include "support/recording_port.h"
#include "support/silicon.h"

namespace vireo::test {

/// How a lock-step run ended.
struct Lockstep {
  enum class End : std::uint8_t {
    kHalt,
    kTripleFault,
    kPort,
    kDifference,
    kRandom,  ///< the guest asked for random numbers, and each got its own
    kTooLong
  };
  End end = End::kTooLong;
  std::uint64_t instructions = 0;  ///< of the interpreter
  std::uint64_t stretches = 0;     ///< of translated code
  /// What differs, the guest code since both agreed, and the host code that ran instead of it.
  std::vector<std::string> report;
  bool only_memory = false;  ///< the difference showed in memory only, at the end
};

/// The interpreter and the translator side by side, each with its own copy of the same machine. The
/// translator runs a stretch, the interpreter follows instruction by instruction to where it got,
/// and both must be in the same state; at the end memory and what was done to devices too.
class Pair {
 public:
  /// With `exact_flags` the translator keeps all flags, and they are compared; otherwise none is:
  /// what depends on them shows later. Neither are they on silicon that may leave flags as they
  /// were where they are undefined.
  static Result<std::unique_ptr<Pair>> create(std::string_view cpu_model, bool exact_flags);

  void poke(const Poke& poke);
  /// Memory is compared after every stretch. Slow.
  void compare_memory_always(bool always) { compare_memory_always_ = always; }
  /// Only so much memory, from its start, is compared.
  void compare_memory_below(std::uint64_t end) { compared_end_ = end; }
  /// Gives the translator's machine the interpreter's memory.
  void make_alike();
  /// Runs from the state until the guest halts for good, stops, or the two differ.
  Result<Lockstep> run(const x86::CpuState& state, std::uint64_t max_stretches);

 private:
  /// One machine.
  struct Side {
    SteppingClock clock;
    RecordingPort port;
    std::unique_ptr<memory::GuestMemory> memory;
    x86::CpuState state;  ///< after the last run()
    engine::ExitReason reason{};
    bool go_on = true;  ///< a halt that something ends
    Result<> run(engine::EngineVcpu& vcpu);
  };

  Pair(x86::CpuidModel model, bool exact_flags)
      : model_(std::move(model)), compare_flags_(exact_flags && intel_silicon()) {}
  void connect(Side& side, engine::EngineVcpu& vcpu);
  Result<bool> follow(Lockstep& result);
  bool agree(bool with_report, std::vector<std::string>& report) const;
  void compare_memory(std::vector<std::string>& report) const;
  void compare_devices(std::vector<std::string>& report) const;
  bool asked_for_random();
  void describe(std::vector<std::string>& report);

  x86::CpuidModel model_;
  const bool compare_flags_;
  bool compare_memory_always_ = false;
  std::uint64_t compared_end_ = layout::kRamSize;
  Side reference_, subject_;
  std::unique_ptr<SteppingInterpreter> interpreter_;
  std::unique_ptr<SteppingTranslator> translator_;
  std::vector<SteppingInterpreter::Place>
      trail_;  ///< what the interpreter executed since both agreed
};

}  // namespace vireo::test
