// The interpreter and the translator side by side on the conformance cases or on random instruction
// streams, compared after every stretch of translated code.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <memory>

#include "conformance/run_case.h"
#include "differential/random_start.h"
#include "lockstep/pair.h"
#include "lockstep/segments.h"
#include "support/guest_layout.h"
#include "support/host_listing.h"

namespace vireo::test {
namespace {

struct Options {
  std::string what = "cases";
  std::string only;
  bool exact_flags = true;
  std::uint64_t seed = 1;
  double seconds = 5;
  unsigned length = 16;
  unsigned max_failures = 3;
  std::string mode = "long-user";
  std::vector<std::string> families{"integer", "x87", "sse", "avx"};
};

void print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) fmt::print("    {}\n", line);
}

/// Runs the setup; should the memories differ at the end, once more to find out where.
Result<Lockstep> run_setup(const GuestSetup& setup, const std::string& cpu, bool exact_flags) {
  constexpr std::uint64_t kMaxStretches = 20'000;
  Lockstep result;
  for (const bool thorough : {false, true}) {
    const auto pair = TRY(Pair::create(cpu, exact_flags));
    for (const Poke& poke : setup.pokes) pair->poke(poke);
    pair->compare_memory_always(thorough);
    result = TRY(pair->run(setup.state, kMaxStretches));
    if (result.end != Lockstep::End::kDifference || !result.only_memory) break;
  }
  return result;
}

int run_cases(const Options& options) {
  const auto cases = load_cases(VIREO_CASES_DIRECTORY);
  if (!cases) {
    fmt::print("{}\n", cases.error().message);
    return 2;
  }
  std::uint64_t ran = 0, instructions = 0, stretches = 0, too_long = 0;
  unsigned failures = 0;
  for (const Case& test : *cases) {
    const std::string name = test.suite + "/" + test.name;
    if (name.find(options.only) == std::string::npos) continue;
    Verdict verdict;
    const GuestSetup setup = setup_of(test, verdict);
    if (!verdict.mismatches.empty()) continue;  // the conformance test says so
    const auto result = run_setup(setup, test.cpu, options.exact_flags);
    if (!result) continue;  // a CPU model that the host cannot offer
    ++ran;
    instructions += result->instructions;
    stretches += result->stretches;
    too_long += result->end == Lockstep::End::kTooLong;
    if (result->end != Lockstep::End::kDifference) continue;
    fmt::print("{}: the engines differ\n", name);
    print(result->report);
    if (++failures == options.max_failures) break;
  }
  fmt::print("{} cases, {} instructions, {} stretches compared; {} too long, {} differ\n", ran,
             instructions, stretches, too_long, failures);
  return failures == 0 && ran > 0 ? 0 : 1;
}

/// A stream in a loop, so that its code is linked and entered in more than one way.
class StreamRunner {
 public:
  StreamRunner(const Options& options, Mode mode, std::vector<Family> families)
      : options_(options),
        mode_(mode),
        setup_(prepare(mode)),
        generator_(mode, std::move(families), options.seed) {
    if (!wide()) generator_.with_fs_and_gs(true);
  }

  Result<int> run() {
    pair_ = TRY(Pair::create("host", options_.exact_flags));
    for (const Poke& poke : setup_.pokes) pair_->poke(poke);
    pair_->compare_memory_below(layout::kExtra + layout::kSegmentSize);
    if (wide()) mirror_address_space();
    const auto begin = std::chrono::steady_clock::now();
    while (failures_ < options_.max_failures) {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
      if (elapsed.count() > options_.seconds) break;
      TRY(one_stream());
    }
    fmt::print("{} instructions in {} streams, {} stretches compared, seed {}; {} differ\n",
               instructions_, streams_, stretches_, options_.seed, failures_);
    return failures_ == 0 ? 0 : 1;
  }

 private:
  static constexpr std::uint64_t kUpperHalf = 0xffffff8000000000, kCounter = 0x48000;

  bool wide() const { return code_width(mode_) == 8; }

  /// The upper half of the address space is another name for the lower one.
  void mirror_address_space() {
    std::vector<std::uint8_t> entry(8);
    for (const Poke& poke : setup_.pokes)
      if (poke.address == layout::kPageRoot) std::copy_n(poke.bytes.begin(), 8, entry.begin());
    pair_->poke({layout::kPageRoot + 511 * 8, entry});
  }

  /// What is not 64-bit gets segments, and sometimes upper halves of registers that it cannot see.
  x86::CpuState prepare_segments(std::uint64_t address) {
    x86::CpuState state = setup_.state;
    if (!wide()) randomize_segments(mode_, state, generator_.random(), address);
    const auto base = [&](unsigned segment) {
      return wide() ? 0 : state.segment[segment].base & 0xffffffff;
    };
    generator_.set_bases({base(x86::kDs), base(x86::kSs)});
    return state;
  }
  void finish_start(x86::CpuState& state, const x86::CpuState& base) {
    auto& random = generator_.random();
    if (wide()) {
      if (random() % 2 != 0) state.rip += kUpperHalf;
      return;
    }
    state.rflags |= base.rflags & (x86::rflags::kVm | x86::rflags::kIopl);
    state.rip = (state.rip - base.segment[x86::kCs].base) & 0xffffffff;
    state.gpr[x86::kRsp] -= base.segment[x86::kSs].base;
    state.gpr[x86::kRsp] &= 0xffffffff;
    for (unsigned i = 8; i < 16; ++i) state.gpr[i] = random();
    if (random() % 8 != 0) return;
    for (unsigned i = 0; i < 8; ++i)
      if (random() % 2 != 0) state.gpr[i] |= random() << 32;
  }

  Result<> one_stream() {
    auto& random = generator_.random();
    const std::uint64_t address = layout::kCode + (random() % 12) * 0x1000 + random() % 0xf00;
    const x86::CpuState base = prepare_segments(address);
    const std::uint64_t code_base = wide() ? 0 : base.segment[x86::kCs].base;
    std::vector<std::uint8_t> code;
    const std::uint64_t length = 1 + random() % options_.length;
    for (std::uint64_t i = 0; i < length; ++i) {
      const Item item = generator_.next(address - code_base + code.size());
      code.insert(code.end(), item.bytes.begin(), item.bytes.end());
    }
    append_loop(code, base);
    Start start = random_start(mode_, base, random, address);
    finish_start(start.state, base);
    pair_->poke({address, code});
    pair_->poke({kActiveData, start.data});
    pair_->poke({kActiveStack, start.stack});
    pair_->poke({kCounter, {10, 0, 0, 0}});
    constexpr std::uint64_t kMaxStretches = 2000;
    const Lockstep result = TRY(pair_->run(start.state, kMaxStretches));
    ++streams_;
    instructions_ += result.instructions;
    stretches_ += result.stretches;
    if (result.end != Lockstep::End::kDifference) return Unit{};
    ++failures_;
    fmt::print("stream {} of seed {}: the engines differ\n", streams_, options_.seed);
    print(result.report);
    fmt::print("    the whole stream:\n");
    const auto size = wide()                   ? x86::CodeSize::k64
                      : code_width(mode_) == 4 ? x86::CodeSize::k32
                                               : x86::CodeSize::k16;
    print(list_guest_code(code, address, true, size));
    // What differs once would differ in all that follows.
    pair_->make_alike();
    return Unit{};
  }

  /// dec dword [kCounter]; jnz to the start; int3.
  void append_loop(std::vector<std::uint8_t>& code, const x86::CpuState& state) const {
    if (!wide()) {
      const auto loop = loop_in_es(mode_, state, kCounter, code.size());
      code.insert(code.end(), loop.begin(), loop.end());
      return;
    }
    code.insert(code.end(), {0xff, 0x0c, 0x25});
    append(code, kCounter);
    code.insert(code.end(), {0x0f, 0x85});
    append(code, 0 - std::uint64_t{code.size() + 4});
    code.push_back(0xcc);
  }
  static void append(std::vector<std::uint8_t>& code, std::uint64_t number) {
    for (unsigned i = 0; i < 4; ++i) code.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
  }

  const Options& options_;
  Mode mode_;
  GuestSetup setup_;
  StreamGenerator generator_;
  std::unique_ptr<Pair> pair_;
  std::uint64_t instructions_ = 0, streams_ = 0, stretches_ = 0;
  unsigned failures_ = 0;
};

const std::map<std::string, Mode> kModes{{"long-user", Mode::kLongUser},
                                         {"long-kernel", Mode::kLongKernel},
                                         {"compat-user", Mode::kCompat},
                                         {"protected32-kernel", Mode::kProtected32},
                                         {"paged32-kernel", Mode::kPaged32},
                                         {"protected32-user", Mode::kProtected32User},
                                         {"protected16", Mode::kProtected16},
                                         {"v86", Mode::kV86},
                                         {"real16", Mode::kReal}};

int run_streams(const Options& options) {
  static const std::map<std::string, Family> kFamilies{{"integer", Family::kInteger},
                                                       {"x87", Family::kX87},
                                                       {"sse", Family::kSse},
                                                       {"avx", Family::kAvx}};
  std::vector<Family> families;
  for (const std::string& name : options.families) families.push_back(kFamilies.at(name));
  const auto status = StreamRunner(options, kModes.at(options.mode), families).run();
  if (status) return *status;
  fmt::print("{}\n", status.error().message);
  return 2;
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  vireo::test::Options options;
  CLI::App app("Runs the interpreter and the translator side by side and compares.");
  app.add_option("what", options.what, "What to run")->check(CLI::IsMember({"cases", "streams"}));
  app.add_option("--exact-flags", options.exact_flags, "Of the translator; flags are compared");
  app.add_option("--only", options.only, "Cases whose SUITE/NAME contains this");
  app.add_option("--seed", options.seed, "The same seed makes the same streams");
  app.add_option("--seconds", options.seconds, "Stop streams after so long");
  app.add_option("--length", options.length, "At most so many random instructions in a stream");
  app.add_option("--max-failures", options.max_failures, "Stop after so many");
  app.add_option("--mode", options.mode, "Kind of code in streams")
      ->check(CLI::IsMember(vireo::test::kModes));
  app.add_option("--families", options.families, "Kinds of instruction in streams")
      ->delimiter(',')
      ->check(CLI::IsMember({"integer", "x87", "sse", "avx"}));
  CLI11_PARSE(app, argc, argv);
  return options.what == "cases" ? vireo::test::run_cases(options)
                                 : vireo::test::run_streams(options);
}
