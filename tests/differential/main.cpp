// Random instruction streams on an engine and on the silicon below us, compared after each stream.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <set>

#include "differential/compare.h"
#include "engine/engines.h"

namespace vireo::test {
namespace {

struct Options {
  std::uint64_t seed = 1;
  std::uint64_t count = 1'000'000;
  double seconds = 0;
  unsigned length = 16;
  unsigned max_failures = 20;
  std::string engine = "interpreter";
  std::string mode = "long-user";
  std::vector<std::string> families{"integer", "x87", "sse", "avx"};
};

constexpr std::uint64_t kCodeBase = 0x11000;

class Session {
 public:
  Session(const Options& options, Mode mode, std::vector<Family> families, TwinCpus& twins)
      : options_(options),
        mode_(mode),
        twins_(twins),
        generator_(mode, std::move(families), options.seed) {}

  Result<bool> run() {
    const auto begin = std::chrono::steady_clock::now();
    while (instructions_ < options_.count && failures_.size() < options_.max_failures) {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
      if (options_.seconds > 0 && elapsed.count() > options_.seconds) break;
      TRY(one_stream());
    }
    fmt::print("{} instructions in {} streams compared, seed {}: {} kinds of instruction differ\n",
               instructions_, streams_ - unusable_, options_.seed, failures_.size());
    if (unusable_ != 0) fmt::print("{} streams did not come back natively\n", unusable_);
    return failures_.empty();
  }

 private:
  Result<> one_stream() {
    auto& random = generator_.random();
    // Often across a page, so that instructions get split.
    const std::uint64_t address = kCodeBase + (random() % 8) * 0x1000 + random() % 0xff0;
    const Start start = twins_.random_start(random, address);
    std::vector<Item> items;
    std::uint64_t next = address;
    for (unsigned i = 0; i < options_.length; ++i) {
      items.push_back(generator_.next(next));
      next += items.back().bytes.size();
    }
    const Comparison comparison = TRY(twins_.compare(start, join(items, items.size())));
    ++streams_;
    if (!comparison.usable) {
      ++unusable_;
      return Unit{};
    }
    std::uint64_t end = address;
    for (const Item& item : items) {
      if (end >= comparison.end_rip) break;
      instructions_ += item.instructions;
      end += item.bytes.size();
    }
    if (!comparison.differences.empty()) TRY(minimise(start, items, comparison));
    return Unit{};
  }

  static std::vector<std::uint8_t> join(const std::vector<Item>& items, std::size_t count) {
    std::vector<std::uint8_t> code;
    for (std::size_t i = 0; i < count; ++i)
      code.insert(code.end(), items[i].bytes.begin(), items[i].bytes.end());
    return code;
  }

  /// The shortest prefix that differs ends with the culprit.
  Result<> minimise(const Start& start, const std::vector<Item>& items, const Comparison& whole) {
    std::uint64_t address = start.state.rip;
    x86::CpuState before = start.state;
    for (std::size_t count = 1; count <= items.size(); ++count) {
      const Comparison part = TRY(twins_.compare(start, join(items, count)));
      if (part.usable && !part.differences.empty()) {
        report(address, items[count - 1], before, part.differences);
        return Unit{};
      }
      before = part.native;
      address += items[count - 1].bytes.size();
    }
    if (!failures_.insert("a whole stream").second) return Unit{};
    fmt::print("\na stream of seed {} differs only as a whole:\n", options_.seed);
    for (const auto& line : disassemble(mode_, start.state.rip, join(items, items.size())))
      fmt::print("  {}\n", line);
    for (const auto& line : whole.differences) fmt::print("    {}\n", line);
    return Unit{};
  }

  void report(std::uint64_t address, const Item& item, const x86::CpuState& before,
              const std::vector<std::string>& differences) {
    const std::vector<std::uint8_t> main(item.bytes.begin() + item.main_offset, item.bytes.end());
    const std::string line = disassemble(mode_, address + item.main_offset, main).front();
    // One report for each mnemonic; the text begins behind the address and the bytes.
    std::string text = line.substr(line.find("  ", line.find("  ") + 2));
    text.erase(0, text.find_first_not_of(' '));
    if (!failures_.insert(text.substr(0, text.find(' '))).second) return;
    fmt::print("\nseed {}, stream {}:\n", options_.seed, streams_);
    for (const auto& each : disassemble(mode_, address, item.bytes)) fmt::print("  {}\n", each);
    fmt::print("  from rflags {:#x}", before.rflags);
    for (unsigned i = 0; i < 16; ++i) fmt::print(" r{} {:#x}", i, before.gpr[i]);
    fmt::print(" mxcsr {:#x} x87 {:#x} {:#x} {:#x}\n", before.fpu.mxcsr, before.fpu.control,
               before.fpu.status, before.fpu.tag);
    constexpr std::size_t kShown = 6;
    for (std::size_t i = 0; i < differences.size() && i < kShown; ++i)
      fmt::print("    {}\n", differences[i]);
  }

  const Options& options_;
  Mode mode_;
  TwinCpus& twins_;
  StreamGenerator generator_;
  std::uint64_t instructions_ = 0, streams_ = 0, unusable_ = 0;
  std::set<std::string> failures_;
};

int run(const Options& options) {
  static const std::map<std::string, Family> kFamilies{{"integer", Family::kInteger},
                                                       {"x87", Family::kX87},
                                                       {"sse", Family::kSse},
                                                       {"avx", Family::kAvx}};
  constexpr int kSkipped = 77;
  for (const engine::EngineInfo& info : engine::engines())
    if (info.name == options.engine && !info.available) {
      fmt::print("skipped: {}\n", info.reason);
      return kSkipped;
    }
  std::vector<Family> families;
  for (const std::string& name : options.families) families.push_back(kFamilies.at(name));
  const Mode mode = options.mode == "compat" ? Mode::kCompat : Mode::kLongUser;
  auto twins = TwinCpus::create(options.engine, mode);
  if (!twins) {
    fmt::print("{}\n", twins.error().message);
    return 2;
  }
  const auto same = Session(options, mode, families, **twins).run();
  if (!same) fmt::print("{}\n", same.error().message);
  return same && *same ? 0 : 1;
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  vireo::test::Options options;
  CLI::App app("Runs random instruction streams on an engine and natively, and compares.");
  app.add_option("--seed", options.seed, "The same seed makes the same streams");
  app.add_option("--count", options.count, "Stop after so many instructions");
  app.add_option("--seconds", options.seconds, "Stop after so long; 0 means no limit");
  app.add_option("--length", options.length, "Random instructions in a stream");
  app.add_option("--max-failures", options.max_failures, "Stop after so many kinds of failure");
  app.add_option("--engine", options.engine, "The engine to compare with the silicon");
  app.add_option("--mode", options.mode, "Kind of code")
      ->check(CLI::IsMember({"long-user", "compat"}));
  app.add_option("--families", options.families, "Kinds of instruction")
      ->delimiter(',')
      ->check(CLI::IsMember({"integer", "x87", "sse", "avx"}));
  CLI11_PARSE(app, argc, argv);
  return vireo::test::run(options);
}
