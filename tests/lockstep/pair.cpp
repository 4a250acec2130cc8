#include "lockstep/pair.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "support/guest_layout.h"
#include "support/host_listing.h"

namespace vireo::test {
namespace {

using engine::ExitReason;

/// More instructions than a stretch of translated code can hold: it goes forward in one page.
constexpr unsigned kMaxStretch = 3 * 4096;

/// A number of 16 bits in each word of a number of 64.
constexpr std::uint64_t kWords = 0x0001000100010001;

/// Lists what differs between two states, by the names of the fields.
class Differences {
 public:
  Differences(std::vector<std::string>& out, std::uint64_t ignored_flags)
      : out_(out), ignored_flags_(ignored_flags) {}

  void compare(x86::CpuState reference, x86::CpuState subject) {
    reference.rflags &= ~ignored_flags_;
    subject.rflags &= ~ignored_flags_;
    collecting_ = true;
    x86::CpuState::fields(reference, *this);
    collecting_ = false;
    x86::CpuState::fields(subject, *this);
  }

  template <class T>
  requires std::is_integral_v<T>
  void operator()(std::string_view name, T& field) { visit(name, std::uint64_t{field}); }
  template <class T, std::size_t N>
  void operator()(std::string_view name, std::array<T, N>& fields) {
    for (std::size_t i = 0; i < N; ++i) (*this)(fmt::format("{}.{}", name, i), fields[i]);
  }
  template <class T>
  requires requires(T& part, Differences& self) { T::fields(part, self); }
  void operator()(std::string_view name, T& part) {
    const std::string before = prefix_;
    prefix_ += fmt::format("{}.", name);
    T::fields(part, *this);
    prefix_ = before;
  }

 private:
  void visit(std::string_view name, std::uint64_t number) {
    if (collecting_) {
      numbers_.push_back(number);
      return;
    }
    const std::uint64_t expected = numbers_[next_++];
    if (number != expected)
      out_.push_back(fmt::format("{}{}: interpreter {:#x}, translator {:#x}", prefix_, name,
                                 expected, number));
  }

  std::vector<std::string>& out_;
  const std::uint64_t ignored_flags_;
  bool collecting_ = false;
  std::string prefix_;
  std::vector<std::uint64_t> numbers_;
  std::size_t next_ = 0;
};

std::uint64_t word_at(const std::byte* address) {
  std::uint64_t word = 0;
  std::memcpy(&word, address, sizeof(word));
  return word;
}

/// A line of the machine's log. Without exact flags the frame of a fault may hold other ones, even
/// where a device is taken for the stack: what was written counts only with them.
std::string_view without_value(std::string_view line) {
  return line.substr(0, line.find(' ', line.find(' ') + 1));
}

/// Tables whose accessed and dirty bits a CPU may set early.
bool in_page_tables(std::uint64_t address) {
  return address >= layout::kPageRoot && address < layout::kPageRoot + 0x10000;
}

/// A bit for each page of the RAM below `end`: what nobody has touched is zero, and to read it
/// would first make it.
std::vector<unsigned char> touched_pages(const memory::GuestMemory& memory, std::uint64_t end) {
  std::vector<unsigned char> resident(end / kPageSize);
  // SAFETY: the RAM is one mapping, and mincore(2) only asks about it.
  auto* const begin = const_cast<std::byte*>(memory.host_page(PhysAddr{0}));
  VIREO_ASSERT(memory.host_page(PhysAddr{end - kPageSize}) == begin + end - kPageSize);
  VIREO_ASSERT(::mincore(begin, end, resident.data()) == 0);
  return resident;
}

}  // namespace

Result<std::unique_ptr<Pair>> Pair::create(std::string_view cpu_model, bool exact_flags) {
  x86::CpuidModel::Topology topology;
  topology.cpus = 1;
  topology.tsc_hz = 1'000'000'000;
  topology.vendor = x86::Vendor::kIntel;  // on any host
  std::unique_ptr<Pair> pair(
      new Pair(TRY(x86::CpuidModel::parse(cpu_model, topology)), exact_flags));
  for (Side* side : {&pair->reference_, &pair->subject_})
    side->memory = TRY(memory::GuestMemory::create(
        {{PhysAddr{0}, layout::kRamSize, memory::RegionKind::kRam, "ram"}}));
  Side &reference = pair->reference_, &subject = pair->subject_;
  pair->interpreter_ = std::make_unique<SteppingInterpreter>(
      engine::VcpuContext{0, reference.port, pair->model_, reference.clock}, *reference.memory);
  engine::TranslatorOptions options;
  options.exact_flags = exact_flags;
  pair->translator_ = std::make_unique<SteppingTranslator>(
      engine::VcpuContext{0, subject.port, pair->model_, subject.clock}, *subject.memory,
      TRY(engine::translator::CodeMemory::create()), options);
  pair->connect(reference, *pair->interpreter_);
  pair->connect(subject, *pair->translator_);
  return pair;
}

void Pair::connect(Side& side, engine::EngineVcpu& vcpu) {
  side.port.on_stop = [&vcpu] { vcpu.kick(); };
  side.port.on_interrupt = [&vcpu] { vcpu.notify_interrupt(); };
  side.port.on_nmi = [&vcpu] { vcpu.notify_nmi(); };
}

void Pair::poke(const Poke& poke) {
  for (Side* side : {&reference_, &subject_})
    side->memory->write(PhysAddr{poke.address}, std::as_bytes(std::span(poke.bytes)));
}

void Pair::make_alike() {
  for (std::uint64_t page = 0; page < layout::kRamSize; page += kPageSize)
    subject_.memory->write(PhysAddr{page},
                           {reference_.memory->host_page(PhysAddr{page}), kPageSize});
}

Result<> Pair::Side::run(engine::EngineVcpu& vcpu) {
  reason = TRY(vcpu.run());
  vcpu.store(state);
  go_on = reason == ExitReason::kKicked ? !port.stopped
                                        : reason == ExitReason::kHalted && port.halted();
  return Unit{};
}

bool Pair::agree(bool with_report, std::vector<std::string>& report) const {
  const std::uint64_t ignored = compare_flags_ ? 0 : x86::rflags::kArithmetic;
  const bool same_flags = ((reference_.state.rflags ^ subject_.state.rflags) & ~ignored) == 0;
  if (!with_report) {
    if (reference_.state.rip != subject_.state.rip || !same_flags) return false;
    x86::CpuState subject = subject_.state;
    subject.rflags = reference_.state.rflags;
    return subject == reference_.state && reference_.reason == subject_.reason &&
           reference_.go_on == subject_.go_on;
  }
  Differences(report, ignored).compare(reference_.state, subject_.state);
  if (reference_.reason != subject_.reason || reference_.go_on != subject_.go_on)
    report.push_back(fmt::format("interpreter left for reason {}, translator for {}",
                                 static_cast<int>(reference_.reason),
                                 static_cast<int>(subject_.reason)));
  return report.empty();
}

/// The interpreter goes to where the translator got. False: it does not get there.
Result<bool> Pair::follow(Lockstep& result) {
  trail_.clear();
  std::vector<std::string> first;
  for (unsigned i = 0; i < kMaxStretch; ++i) {
    TRY(reference_.run(*interpreter_));
    if (interpreter_->executed()) trail_.push_back(*interpreter_->executed());
    ++result.instructions;
    if (agree(false, result.report)) return true;
    // The first time it is where the translator is counts, should it never be in the same state.
    if (reference_.state.rip == subject_.state.rip && first.empty()) {
      agree(true, first);
      describe(first);
    }
    if (!reference_.go_on) break;
  }
  if (first.empty()) {
    agree(true, first);
    describe(first);
  }
  result.report = first;
  return false;
}

void Pair::compare_devices(std::vector<std::string>& report) const {
  const auto &expected = reference_.port.log, &actual = subject_.port.log;
  for (std::size_t i = 0; i < std::max(expected.size(), actual.size()); ++i) {
    const std::string nothing = "nothing";
    const std::string& wanted = i < expected.size() ? expected[i] : nothing;
    const std::string& got = i < actual.size() ? actual[i] : nothing;
    if (compare_flags_ ? wanted == got : without_value(wanted) == without_value(got)) continue;
    report.push_back(fmt::format("the machine: interpreter {}, translator {}", wanted, got));
    break;
  }
}

void Pair::compare_memory(std::vector<std::string>& report) const {
  constexpr std::size_t kShown = 8;
  const auto reference_touched = touched_pages(*reference_.memory, compared_end_);
  const auto subject_touched = touched_pages(*subject_.memory, compared_end_);
  for (std::uint64_t page = 0; page < compared_end_; page += kPageSize) {
    const std::size_t number = page / kPageSize;
    if (((reference_touched[number] | subject_touched[number]) & 1) == 0) continue;
    const std::byte* reference = reference_.memory->host_page(PhysAddr{page});
    const std::byte* subject = subject_.memory->host_page(PhysAddr{page});
    if (in_page_tables(page) || std::memcmp(reference, subject, kPageSize) == 0) continue;
    for (std::size_t i = 0; i < kPageSize && report.size() < kShown; i += 8) {
      const std::uint64_t wanted = word_at(reference + i), got = word_at(subject + i);
      // Without exact flags those in the frame of a fault may be others.
      const std::uint64_t ignored = compare_flags_ ? 0 : x86::rflags::kArithmetic * kWords;
      if (((wanted ^ got) & ~ignored) == 0) continue;
      report.push_back(
          fmt::format("memory {:#x}: interpreter {:#x}, translator {:#x}", page + i, wanted, got));
    }
  }
}

bool Pair::asked_for_random() {
  return std::any_of(trail_.begin(), trail_.end(), [&](const auto& place) {
    const auto [linear, size] = place;
    const auto lines = list_guest_code(interpreter_->code_at(linear, 15), linear, false, size);
    return !lines.empty() && (lines[0].starts_with("rdrand") || lines[0].starts_with("rdseed"));
  });
}

/// The guest code of the trail, and the host code of every translation that starts in it.
void Pair::describe(std::vector<std::string>& report) {
  report.emplace_back("guest code since both agreed:");
  constexpr std::size_t kShown = 64;
  for (std::size_t i = 0; i < std::min(trail_.size(), kShown); ++i) {
    const auto [linear, size] = trail_[i];
    const auto lines = list_guest_code(interpreter_->code_at(linear, 15), linear, true, size);
    report.push_back("  " + (lines.empty() ? fmt::format("{:#x}  ?", linear) : lines.front()));
  }
  if (!translator_->translated()) {
    report.emplace_back("the translator interpreted it");
    return;
  }
  for (std::size_t i = 0; i < std::min(trail_.size(), kShown); ++i) {
    const std::uint64_t linear = trail_[i].linear;
    const auto listing = translator_->listing_at(linear);
    if (listing.empty()) continue;
    report.push_back(fmt::format("host code of {:#x}:", linear));
    for (const std::string& line : listing) report.push_back("  " + line);
  }
}

Result<Lockstep> Pair::run(const x86::CpuState& state, std::uint64_t max_stretches) {
  interpreter_->load(state);
  translator_->load(state);
  for (Side* side : {&reference_, &subject_}) {
    side->port.stopped = false;
    side->port.log.clear();
  }
  Lockstep result;
  while (result.stretches < max_stretches) {
    TRY(subject_.run(*translator_));
    ++result.stretches;
    if (!TRY(follow(result))) {
      result.end = asked_for_random() ? Lockstep::End::kRandom : Lockstep::End::kDifference;
      return result;
    }
    if (compare_memory_always_) compare_memory(result.report);
    if (compare_memory_always_) compare_devices(result.report);
    if (!result.report.empty()) {
      describe(result.report);
      result.end = Lockstep::End::kDifference;
      return result;
    }
    if (subject_.go_on) continue;
    result.end = subject_.reason == ExitReason::kHalted        ? Lockstep::End::kHalt
                 : subject_.reason == ExitReason::kTripleFault ? Lockstep::End::kTripleFault
                                                               : Lockstep::End::kPort;
    break;
  }
  if (result.end == Lockstep::End::kTooLong) {
    // A loop that never ends and changes no register looks the same after each round, however often
    // it has counted in memory.
    make_alike();
    return result;
  }
  compare_memory(result.report);
  compare_devices(result.report);
  result.only_memory = !result.report.empty();
  if (result.only_memory) result.end = Lockstep::End::kDifference;
  return result;
}

}  // namespace vireo::test
