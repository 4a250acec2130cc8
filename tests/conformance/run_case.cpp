#include "conformance/run_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "support/engine_fixture.h"
#include "support/guest_layout.h"
#include "x86/control_registers.h"
#include "x86/fault.h"

namespace vireo::test {
namespace {

constexpr std::chrono::milliseconds kLimit{5000};
constexpr unsigned kBreakpoint = 3;

/// What engines and silicon both answer with.
struct Observed {
  ExpectedStop stop = ExpectedStop::kEnd;
  bool timeout = false;
  unsigned vector = 0;
  std::optional<std::uint32_t> error_code;
  x86::CpuState state;
  const x86::CpuState* handler = nullptr;
};

std::string show(const WideNumber& number) {
  std::string text;
  for (std::size_t i = 4; i-- > 0;)
    if (number[i] != 0 || !text.empty() || i == 0)
      text += text.empty() ? fmt::format("{:#x}", number[i]) : fmt::format("{:016x}", number[i]);
  return text;
}

std::string show(const std::vector<std::uint8_t>& bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, " "));
}

bool apply_inputs(const Case& test, x86::CpuState& state, Verdict& verdict) {
  for (const RegisterValue& input : test.inputs) {
    const auto old = get_field(state, input.name);
    if (!old) {
      verdict.mismatches.push_back(fmt::format("the CPU has no '{}' to set", input.name));
      return false;
    }
    WideNumber value = input.value;
    if (input.mask != 0) value[0] = ((*old)[0] & ~input.mask) | (value[0] & input.mask);
    for (std::size_t i = 0; i < 4; ++i) {
      if (input.operation == '|') value[i] |= (*old)[i];
      if (input.operation == '&') value[i] &= (*old)[i];
    }
    set_field(state, input.name, value);
  }
  return true;
}

void compare_registers(const std::vector<RegisterValue>& expected, const x86::CpuState& state,
                       std::string_view where, Verdict& verdict) {
  for (const RegisterValue& wanted : expected) {
    auto actual = get_field(state, wanted.name);
    if (!actual) {
      verdict.mismatches.push_back(fmt::format("the CPU has no '{}' to expect", wanted.name));
      continue;
    }
    if (wanted.mask != 0) *actual = {(*actual)[0] & wanted.mask};
    if (*actual != wanted.value)
      verdict.mismatches.push_back(fmt::format("{}{} is {}, expected {}", where, wanted.name,
                                               show(*actual), show(wanted.value)));
  }
}

void compare_unlisted(const Case& test, const x86::CpuState& before, const x86::CpuState& after,
                      Verdict& verdict) {
  static constexpr std::array<std::string_view, 7> kFlagNames{"cf", "pf", "af",   "zf",
                                                              "sf", "of", "flags"};
  const auto listed = [&](std::string_view name) {
    return std::any_of(test.registers.begin(), test.registers.end(),
                       [&](const RegisterValue& value) { return value.name == name; });
  };
  static constexpr std::array<std::string_view, 16> kGprs{"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
                                                          "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                          "r12", "r13", "r14", "r15"};
  for (std::size_t i = 0; i < kGprs.size(); ++i)
    if (!listed(kGprs[i]) && before.gpr[i] != after.gpr[i])
      verdict.mismatches.push_back(
          fmt::format("{} changed from {:#x} to {:#x}", kGprs[i], before.gpr[i], after.gpr[i]));
  const bool flags_listed =
      listed("rflags") || std::any_of(kFlagNames.begin(), kFlagNames.end(), listed);
  if (!flags_listed && ((before.rflags ^ after.rflags) & x86::rflags::kArithmetic) != 0)
    verdict.mismatches.push_back(
        fmt::format("flags changed from {:#x} to {:#x}", before.rflags, after.rflags));
}

std::string describe(ExpectedStop stop, unsigned vector) {
  switch (stop) {
    case ExpectedStop::kEnd:
      return "the end of the case";
    case ExpectedStop::kVector:
      return fmt::format("vector {}", vector);
    case ExpectedStop::kTripleFault:
      return "a triple fault";
    case ExpectedStop::kHalt:
      return "a halt";
    case ExpectedStop::kPort:
      return "the stop port";
  }
  return "nothing";
}

void compare(const Case& test, const x86::CpuState& before, const Observed& observed,
             Verdict& verdict) {
  if (observed.timeout) {
    verdict.mismatches.emplace_back("the code did not come to an end in time");
    return;
  }
  if (observed.stop != test.stop ||
      (test.stop == ExpectedStop::kVector && observed.vector != test.vector)) {
    const std::string error =
        observed.error_code ? fmt::format(" error {:#x}", *observed.error_code) : "";
    verdict.mismatches.push_back(fmt::format("came to {}{} at rip {:#x} (cr2 {:#x}), expected {}",
                                             describe(observed.stop, observed.vector), error,
                                             observed.state.rip, observed.state.cr2,
                                             describe(test.stop, test.vector)));
  }
  if (test.error_code && observed.error_code != test.error_code)
    verdict.mismatches.push_back(
        fmt::format("error code is {}, expected {:#x}",
                    observed.error_code ? fmt::format("{:#x}", *observed.error_code) : "absent",
                    *test.error_code));
  compare_registers(test.registers, observed.state, "", verdict);
  if (observed.handler != nullptr)
    compare_registers(test.handler_registers, *observed.handler, "in the handler ", verdict);
  if (test.strict) compare_unlisted(test, before, observed.state, verdict);
}

template <class Peek>
void compare_memory(const Case& test, Peek peek, Verdict& verdict) {
  for (const Poke& wanted : test.memory) {
    const auto actual = peek(wanted.address, wanted.bytes.size());
    if (actual != wanted.bytes)
      verdict.mismatches.push_back(fmt::format("memory at {:#x} is {}, expected {}", wanted.address,
                                               show(actual), show(wanted.bytes)));
  }
}

Observed observe(const Case& test, const Outcome& outcome) {
  Observed observed;
  observed.state = outcome.state;
  observed.handler = &outcome.handler;
  observed.vector = outcome.vector;
  if (outcome.has_error_code) observed.error_code = outcome.error_code;
  switch (outcome.stop) {
    case Stop::kTimeout:
      observed.timeout = true;
      break;
    case Stop::kTripleFault:
      observed.stop = ExpectedStop::kTripleFault;
      break;
    case Stop::kPort:
      observed.stop = ExpectedStop::kPort;
      break;
    case Stop::kHalt:
      observed.stop = outcome.state.rip == test.end + 1 ? ExpectedStop::kEnd : ExpectedStop::kHalt;
      break;
    case Stop::kVector: {
      const bool end =
          is_user(test.mode) && outcome.vector == kBreakpoint && outcome.state.rip == test.end + 1;
      observed.stop = end ? ExpectedStop::kEnd : ExpectedStop::kVector;
      break;
    }
  }
  return observed;
}

}  // namespace

GuestSetup setup_of(const Case& test, Verdict& verdict, bool avx) {
  GuestSetup setup = prepare(test.mode);
  if (avx) {
    setup.state.cr4 |= x86::cr4::kOsxsave;
    setup.state.xcr0 = x86::xcr0::kX87 | x86::xcr0::kSse | x86::xcr0::kAvx;
  }
  if (!apply_inputs(test, setup.state, verdict)) return setup;
  setup.pokes.push_back({layout::kCode, test.code});
  setup.pokes.insert(setup.pokes.end(), test.pokes.begin(), test.pokes.end());
  return setup;
}

Verdict run_on_engine(const Case& test, std::string_view engine) {
  Verdict verdict;
  if (std::find(test.skip_engines.begin(), test.skip_engines.end(), engine) !=
      test.skip_engines.end()) {
    verdict.skipped = "the case excludes this engine";
    return verdict;
  }
  auto fixture = EngineFixture::create(engine, test.cpu);
  if (!fixture) {
    verdict.skipped = fixture.error().message;
    return verdict;
  }
  // Or no user code would run natively.
  const bool avx = engine == kEagerDirect && test.mode == Mode::kLongUser &&
                   (*fixture)->model().features().has(x86::Feature::kAvx);
  GuestSetup setup = setup_of(test, verdict, avx);
  if (!verdict.mismatches.empty()) return verdict;
  for (const Poke& poke : setup.pokes) (*fixture)->poke(poke);

  const auto outcome = (*fixture)->run(test.mode, setup.state, kLimit, test.software_interrupt);
  if (!outcome) {
    verdict.mismatches.push_back(outcome.error().message);
    return verdict;
  }
  compare(test, setup.state, observe(test, *outcome), verdict);
  compare_memory(
      test, [&](auto address, auto size) { return (*fixture)->peek(address, size); }, verdict);
  const auto& log = (*fixture)->port().log;
  if (test.ports && *test.ports != log)
    verdict.mismatches.push_back(fmt::format("the machine saw [{}], expected [{}]",
                                             fmt::join(log, "; "), fmt::join(*test.ports, "; ")));
  return verdict;
}

Verdict run_natively(const Case& test, NativeCpu& cpu) {
  Verdict verdict;
  GuestSetup setup = prepare(test.mode);
  if (!apply_inputs(test, setup.state, verdict)) return verdict;
  cpu.clear();
  cpu.poke({layout::kCode, test.code});
  for (const Poke& poke : test.pokes) cpu.poke(poke);

  const auto outcome = cpu.run(test.mode, setup.state, kLimit);
  if (!outcome) {
    verdict.mismatches.push_back(outcome.error().message);
    return verdict;
  }
  Observed observed;
  observed.timeout = outcome->timeout;
  observed.state = outcome->state;
  observed.vector = outcome->vector;
  const auto vector = static_cast<x86::Vector>(outcome->vector);
  if (x86::has_error_code(vector)) observed.error_code = outcome->error_code;
  const bool end = outcome->vector == kBreakpoint && outcome->state.rip == test.end + 1;
  observed.stop = end ? ExpectedStop::kEnd : ExpectedStop::kVector;
  compare(test, setup.state, observed, verdict);
  compare_memory(
      test, [&](auto address, auto size) { return cpu.peek(address, size); }, verdict);
  return verdict;
}

}  // namespace vireo::test
