// What the decoder says an instruction reads and writes, against the silicon below us: each random
// instruction runs several times from states that differ only in what it is said not to read.
#include <Zydis/Mnemonic.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstring>
#include <optional>
#include <set>

#include "differential/stream.h"
#include "differential/vendors.h"
#include "support/guest_layout.h"
#include "support/native_cpu.h"
#include "support/silicon.h"
#include "x86/decode/decoder.h"

namespace vireo::test {
namespace {

struct Options {
  std::uint64_t seed = 1;
  double seconds = 10;
  std::string mode = "long-user";
  unsigned max_failures = 40;
};

constexpr std::uint64_t kCodeBase = 0x11000;
constexpr std::chrono::milliseconds kLimit{500};
/// The windows for data, stack and the rest, which stand in a row.
constexpr std::uint64_t kMemory = layout::kData, kMemorySize = 3 * layout::kSegmentSize;
constexpr unsigned kBreakpoint = 3, kRuns = 4;
constexpr std::uint64_t kWatchedFlags = x86::rflags::kArithmetic | x86::rflags::kDf;

/// How an instruction ended, and where it started from.
struct Run {
  x86::CpuState before;
  NativeOutcome after;
};

x86::FeatureSet everything() {
  x86::FeatureSet set;
  for (unsigned i = 0; i < static_cast<unsigned>(x86::Feature::kCount); ++i)
    set.set(static_cast<x86::Feature>(i));
  return set;
}

class Session {
 public:
  Session(const Options& options, Mode mode, NativeCpu& cpu)
      : options_(options),
        mode_(mode),
        cpu_(cpu),
        generator_(mode, {Family::kInteger, Family::kX87, Family::kSse, Family::kAvx},
                   options.seed) {}

  Result<bool> run() {
    const auto begin = std::chrono::steady_clock::now();
    for (;;) {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
      if (elapsed.count() > options_.seconds || failures_.size() >= options_.max_failures) break;
      TRY(one_instruction());
    }
    fmt::print("{} instructions ran to their end, {} faulted, seed {}: {} kinds break a promise\n",
               completed_, faulted_, options_.seed, failures_.size());
    return failures_.empty() && completed_ > 0;
  }

 private:
  bool wide() const { return mode_ != Mode::kCompat; }
  unsigned registers() const { return wide() ? 16 : 8; }
  std::uint64_t register_mask() const { return wide() ? ~0ull : 0xffffffffull; }

  std::uint64_t random_integer() {
    auto& random = generator_.random();
    switch (random() % 8) {
      case 0:
        return 0;
      case 1:
        return random() % 3 - 1;
      case 2:
      case 3:
        return random() >> random() % 64;
      case 4:
        return random() & 0xffff'ffff'0000'0000;
      default:
        return random();
    }
  }

  x86::CpuState random_start() {
    x86::CpuState state = prepare(mode_).state;
    auto& random = generator_.random();
    for (unsigned i = 0; i < registers(); ++i) state.gpr[i] = random_integer() & register_mask();
    if (random() % 4 == 0) state.gpr[random() % registers()] = state.gpr[x86::kRax];
    state.gpr[x86::kRsp] = kActiveStack + 0x1000;
    state.rip = kCodeBase;
    state.rflags = 0x202 | (random() & x86::rflags::kArithmetic);
    for (auto& lane : state.fpu.xmm)
      for (auto& word : lane) word = random_integer();
    return state;
  }

  void fill(std::uint64_t address, std::size_t size) {
    for (std::size_t i = 0; i < size; i += 8) {
      const std::uint64_t word = random_integer();
      std::memcpy(&memory_[address - kMemory + i], &word, 8);
    }
  }

  void put_memory() {
    for (std::size_t i = 0; i < kMemorySize; i += layout::kSegmentSize)
      std::memcpy(cpu_.host(kMemory + i, layout::kSegmentSize), &memory_[i], layout::kSegmentSize);
  }
  void take_memory(std::vector<std::uint8_t>& memory) const {
    for (std::size_t i = 0; i < kMemorySize; i += layout::kSegmentSize)
      std::memcpy(&memory[i], cpu_.host(kMemory + i, layout::kSegmentSize), layout::kSegmentSize);
  }
  bool memory_is(const std::vector<std::uint8_t>& memory) const {
    for (std::size_t i = 0; i < kMemorySize; i += layout::kSegmentSize)
      if (std::memcmp(&memory[i], cpu_.host(kMemory + i, layout::kSegmentSize),
                      layout::kSegmentSize) != 0)
        return false;
    return true;
  }

  Result<NativeOutcome> run_at(std::uint64_t address, std::vector<std::uint8_t> code,
                               x86::CpuState state) {
    code.resize(code.size() + 16, 0xcc);
    cpu_.poke({address, std::move(code)});
    state.rip = address;
    return cpu_.run(mode_, state, kLimit);
  }

  Result<> one_instruction() {
    const Item item = generator_.next(kCodeBase);
    std::vector<std::uint8_t> main(item.bytes.begin() + item.main_offset, item.bytes.end());
    x86::Insn insn;
    const auto size = wide() ? x86::CodeSize::k64 : x86::CodeSize::k32;
    if (x86::decode(main, size, everything(), insn) != x86::DecodeStatus::kOk) return Unit{};
    main.resize(insn.length);
    fill(kActiveData, kActiveDataSize);
    fill(kActiveStack, kActiveStackSize);
    put_memory();
    const std::vector<std::uint8_t> setup(item.bytes.begin(),
                                          item.bytes.begin() + item.main_offset);
    const NativeOutcome placed = TRY(run_at(kCodeBase, setup, random_start()));
    const std::uint64_t address = kCodeBase + item.main_offset;
    if (placed.vector != kBreakpoint || placed.state.rip != address + 1) return Unit{};
    take_memory(memory_);
    TRY(compare_runs(insn, main, address, placed.state));
    return Unit{};
  }

  Result<> compare_runs(const x86::Insn& insn, const std::vector<std::uint8_t>& main,
                        std::uint64_t address, const x86::CpuState& start) {
    std::optional<Run> first;
    other_flags_ = !intel_silicon() && vendors_leave_other_flags(insn.mnemonic);
    for (unsigned i = 0; i < kRuns; ++i) {
      Run run{start, {}};
      if (i != 0) scramble(insn.effects, run.before);
      put_memory();
      run.after = TRY(run_at(address, main, run.before));
      if (run.after.timeout) return Unit{};
      if (!first) {
        first = run;
        take_memory(memory_after_);
        (run.after.vector == kBreakpoint ? completed_ : faulted_) += 1;
      }
      std::string broken = judge(insn.effects, *first, run);
      if (!broken.empty()) {
        report(insn, main, broken, *first, run);
        return Unit{};
      }
    }
    return Unit{};
  }

  void scramble(const x86::Effects& effects, x86::CpuState& state) {
    for (unsigned i = 0; i < registers(); ++i)
      if ((effects.gpr_read >> i & 1) == 0) state.gpr[i] = random_integer() & register_mask();
    const std::uint64_t free = x86::rflags::kArithmetic & ~std::uint64_t{effects.flags_read};
    state.rflags = (state.rflags & ~free) | (generator_.random()() & free);
  }

  /// The promise that is broken; empty if none is.
  std::string judge(const x86::Effects& effects, const Run& first, const Run& run) const {
    if (run.after.vector != first.after.vector) return "another fault";
    if (run.after.vector != kBreakpoint) return "";
    const x86::CpuState &was = run.before, &is = run.after.state, &other = first.after.state;
    if (is.rip != other.rip) return "another RIP";
    for (unsigned i = 0; i < registers(); ++i) {
      const std::uint64_t mask = register_mask();
      const bool written = (effects.gpr_written >> i & 1) != 0;
      if (!written && ((is.gpr[i] ^ was.gpr[i]) & mask) != 0)
        return fmt::format("GPR {} is written", i);
      if (written && ((is.gpr[i] ^ other.gpr[i]) & mask) != 0)
        return fmt::format("GPR {} depends on what is not read", i);
    }
    if (std::memcmp(&is.fpu, &other.fpu, sizeof(is.fpu)) != 0) return "another FPU state";
    if (!memory_is(memory_after_)) return "other memory";
    return other_flags_ ? "" : judge_flags(effects, first, run);
  }

  std::string judge_flags(const x86::Effects& effects, const Run& first, const Run& run) const {
    const std::uint64_t changed = (run.before.rflags ^ run.after.state.rflags) & kWatchedFlags;
    const std::uint64_t differ =
        (run.after.state.rflags ^ first.after.state.rflags) & kWatchedFlags;
    const std::uint64_t arithmetic = x86::rflags::kArithmetic;
    if (const auto flags = changed & arithmetic & ~std::uint64_t{effects.flags_written})
      return fmt::format("flags {:#x} are written", flags);
    if (const auto flags = differ & effects.flags_killed & ~std::uint64_t{effects.flags_read})
      return fmt::format("flags {:#x} survive", flags);
    // What is written but not killed may pass through, unchanged both times.
    const std::uint64_t first_changed =
        (first.before.rflags ^ first.after.state.rflags) & kWatchedFlags;
    if (const auto flags = differ & (changed | first_changed))
      return fmt::format("flags {:#x} depend on what is not read", flags);
    if ((effects.flags_killed & ~effects.flags_written) != 0) return "killed but not written";
    return "";
  }

  void report(const x86::Insn& insn, const std::vector<std::uint8_t>& main,
              const std::string& broken, const Run& first, const Run& run) {
    // One report for each mnemonic and kind of promise.
    const std::string kind = broken.substr(0, broken.find(' '));
    if (!failures_.insert(ZydisMnemonicGetString(insn.mnemonic) + (": " + kind)).second) return;
    const std::string line = disassemble(mode_, kCodeBase, main).front();
    fmt::print("{}: {}\n  rflags {:#x} -> {:#x}, {:#x} -> {:#x}\n", line, broken,
               first.before.rflags, first.after.state.rflags, run.before.rflags,
               run.after.state.rflags);
    for (unsigned i = 0; i < registers(); ++i)
      fmt::print("  r{} {:#x} -> {:#x}, {:#x} -> {:#x}\n", i, first.before.gpr[i],
                 first.after.state.gpr[i], run.before.gpr[i], run.after.state.gpr[i]);
  }

  const Options& options_;
  Mode mode_;
  NativeCpu& cpu_;
  StreamGenerator generator_;
  std::vector<std::uint8_t> memory_ = std::vector<std::uint8_t>(kMemorySize);  ///< before a run
  std::vector<std::uint8_t> memory_after_ = memory_;  ///< after the first run
  bool other_flags_ = false;  ///< those that are undefined behind it are not Intel's
  std::uint64_t completed_ = 0, faulted_ = 0;
  std::set<std::string> failures_;
};

int run(const Options& options) {
  auto cpu = NativeCpu::create(NativeCpu::Where::kThisProcess);
  if (!cpu) {
    fmt::print("{}\n", cpu.error().message);
    return 2;
  }
  const Mode mode = options.mode == "compat" ? Mode::kCompat : Mode::kLongUser;
  const auto kept = Session(options, mode, **cpu).run();
  if (!kept) fmt::print("{}\n", kept.error().message);
  return kept && *kept ? 0 : 1;
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  vireo::test::Options options;
  CLI::App app("Holds what the decoder says of registers and flags against the silicon.");
  app.add_option("--seed", options.seed, "The same seed makes the same instructions");
  app.add_option("--seconds", options.seconds, "Stop after so long");
  app.add_option("--max-failures", options.max_failures, "Stop after so many kinds of failure");
  app.add_option("--mode", options.mode, "Kind of code")
      ->check(CLI::IsMember({"long-user", "compat"}));
  CLI11_PARSE(app, argc, argv);
  return vireo::test::run(options);
}
