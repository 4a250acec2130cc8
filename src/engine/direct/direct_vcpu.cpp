#include "engine/direct/direct_vcpu.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/host_time.h"
#include "engine/direct/user_state.h"
#include "x86/paging/page_table_entry.h"

namespace vireo::engine::direct {
namespace {

/// Entries of the guest's kernel so far, but for interrupts.
std::uint64_t kernel_entries(const translator::TranslatorCpu& cpu) {
  std::uint64_t result = cpu.shortcuts.system_calls;
  for (const std::uint64_t faults : cpu.counters.faults) result += faults;
  return result;
}

}  // namespace

DirectVcpu::DirectVcpu(const VcpuContext& context, memory::GuestMemory& memory,
                       translator::CodeMemory code, const DirectOptions& options)
    : TranslatorVcpu(context, memory, std::move(code), options),
      memory_(memory),
      scanned_(memory, cpu_->events),
      eager_(options.eager) {
  if (context.timers == nullptr || eager_) return;
  window_timer_ = context.timers->create_timer([cpu = cpu_, over = window_over_] {
    *over = true;
    cpu->events.raise(PendingEvents::kStop);
  });
}

DirectVcpu::~DirectVcpu() = default;

std::uint64_t DirectVcpu::now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
}

Result<ExitReason> DirectVcpu::run() {
  if (!eager_) ensure_family();  // now, while there is little that a new process has to copy
  hold_ = false;
  current_cr3_ = ~0ull;
  auto reason = TranslatorVcpu::run();
  if (lost_)
    return host_error(
        "a process that ran the guest's code was killed, and with it the guest's state; was the "
        "host "
        "out of memory? --engine translator needs no such processes");
  return reason;
}

/// The host's processor time that the guest has had from this vCPU, by and large.
std::uint64_t DirectVcpu::busy_ns() const { return host_ns(CLOCK_THREAD_CPUTIME_ID) + inside_ns_; }

void DirectVcpu::ensure_family() {
  const auto here = std::this_thread::get_id();
  if (std::exchange(tracer_, here) == here) return;
  spaces_of_processes_.clear();
  current_cr3_ = ~0ull;
  family_.reset();
  if (auto family = StubProcess::create(memory_.file())) family_ = std::move(*family);
}

// --- Which user code it is for.

DirectVcpu::Space* DirectVcpu::current() {
  const std::uint64_t cr3 = translated_.state.cr3;
  if (cr3 == current_cr3_) return current_;
  current_cr3_ = cr3;
  const auto found = std::ranges::find_if(spaces_of_processes_, [&](const auto& space) {
    return space->root == (cr3 & x86::pte::kAddress);
  });
  current_ = found != spaces_of_processes_.end() ? found->get() : nullptr;
  if (current_ != nullptr) {
    const auto pcid = static_cast<std::uint16_t>(
        (translated_.state.cr4 & x86::cr4::kPcide) != 0 ? cr3 & kPcid : 0);
    if (std::exchange(current_->pcid, pcid) != pcid) current_->stale = true;
  }
  keep_returns_in_sight();
  return current_;
}

DirectVcpu::Space& DirectVcpu::enter_current() {
  if (current() != nullptr) return *current_;
  if (spaces_of_processes_.size() >= kMostSpaces) {
    const auto oldest = std::ranges::min_element(spaces_of_processes_, {},
                                                 [](const auto& space) { return space->used; });
    spaces_of_processes_.erase(oldest);
  }
  auto space = std::make_unique<Space>();
  space->root = translated_.state.cr3 & x86::pte::kAddress;
  space->used = runs_;
  spaces_of_processes_.push_back(std::move(space));
  current_cr3_ = ~0ull;
  return *current();
}

bool DirectVcpu::wants_process() {
  if (eager_) ensure_family();
  if (eager_ && family_ != nullptr && current() == nullptr) enter_current();
  if (current() == nullptr) return false;
  if (eager_) return true;
  DirectPolicy& policy = current_->policy;
  if (!policy.active()) return false;
  const std::uint64_t now = now_ns();
  if (now < policy.not_before()) return false;
  const std::uint64_t entries = kernel_entries(translated_);
  if (policy.phase_over(now, entries)) policy.note_phase({now, entries, busy_ns()});
  return policy.active() && now >= policy.not_before();
}

/// SYSRET in translated code would go on with translated user code. It may, as long as that is to
/// be so for longer than until the next interrupt, at which it is looked at again.
void DirectVcpu::keep_returns_in_sight() {
  constexpr std::uint64_t kLong = 1'000'000;
  const bool soon = current_ != nullptr && current_->policy.active() &&
                    current_->policy.not_before() < now_ns() + kLong;
  translated_.shortcuts.user_in_place = !eager_ && !soon;
}

bool DirectVcpu::takes_user_code() {
  hold_ = false;
  open_window();
  return wants_process();
}

void DirectVcpu::before_interrupt() { judge(); }

/// From here on user code is judged.
void DirectVcpu::begin_window(std::uint64_t now) {
  window_start_ = now;
  window_entries_ = kernel_entries(translated_);
  window_cr3_ = translated_.state.cr3;
  window_switches_ = switches_;
}

/// User code runs, or is about to.
void DirectVcpu::open_window() {
  if (!window_timer_ || window_open_ || family_ == nullptr) return;
  const bool active = current() != nullptr && current_->policy.active();
  const std::uint64_t now = now_ns();
  std::uint64_t wait = DirectPolicy::kWindowNs;
  if (active) {
    if (current_->policy.not_before() <= now) return;
    wait = current_->policy.not_before() - now;  // a break
  } else if (now < next_window_) {
    wait = next_window_ - now;
  } else {
    begin_window(now);
  }
  window_open_ = true;
  window_timer_->arm(context_.clock.now_ns() + wait);
}

void DirectVcpu::judge() {
  const x86::CpuState& state = translated_.state;
  if (family_ == nullptr || state.cpl() != 3) return;
  if (current() != nullptr && current_->policy.active()) return keep_returns_in_sight();
  const std::uint64_t now = now_ns(), elapsed = now - window_start_;
  const bool same = window_cr3_ == state.cr3 && window_switches_ == switches_;
  if (same && elapsed < DirectPolicy::kWindowNs) return;
  if (same) {
    Space& space = enter_current();
    space.policy.note_translated(now, elapsed, kernel_entries(translated_) - window_entries_);
    if (space.policy.active())
      ++activations_;
    else
      next_window_ = now + DirectPolicy::kPatienceNs;
    keep_returns_in_sight();
  }
  begin_window(now);
}

void DirectVcpu::execute() {
  x86::CpuState& state = translated_.state;
  if (window_over_->load(std::memory_order_relaxed)) [[unlikely]] {
    *window_over_ = window_open_ = false;
    judge();
  }
  scanned_.unwatch_written();
  if (state.cpl() != 3) {
    hold_ = false;
    return TranslatorVcpu::execute();
  }
  open_window();
  if (hold_ && unclean_) return leave_unclean_page();
  if (!hold_ && wants_process()) {
    translated_.bring_out_flags();
    HostStubs::sync(state);
    const bool avx = context_.cpuid.features().has(x86::Feature::kAvx);
    if (mmu_.current() == TlbIndex::kUser && runs_as_a_process(state, avx) &&
        ensure_process(*current_))
      return run_natively(*current_);
    hold_ = true;
  }
  TranslatorVcpu::execute();
}

/// Interprets until code is in another page, or just an instruction that has a breakpoint. Where
/// code stays, or comes often, sensitive instructions get breakpoints.
void DirectVcpu::leave_unclean_page() {
  constexpr unsigned kMostSteps = 256, kMostIfRefused = 4096, kOften = 4;
  const x86::CpuState& state = translated_.state;
  const std::uint64_t page = *std::exchange(unclean_, std::nullopt);
  Space* const space = current();
  if (space == nullptr) return;
  const bool stops_here = space->guarded.has(page) || space->trapped.has(page);
  const unsigned before = space->visits[page];
  const unsigned most = before == kRefused ? kMostIfRefused : kMostSteps;
  bool left = false;
  for (unsigned steps = 0; steps < most && !left; ++steps) {
    if (must_step()) return;
    execute_one();
    if (translated_.fault_pending || state.cpl() != 3) return;
    left = stops_here || (state.rip & ~kPageMask) != page;
  }
  const unsigned visits = before == kRefused ? kRefused : before + 1;
  space->visits[page] = visits;
  if (!stops_here && visits != kRefused && (visits >= kOften || !left)) guard(*space, page);
  hold_ = !left && space->visits.contains(page);
}

// --- What the TLB would no longer know.

void DirectVcpu::make_stale(std::uint16_t pcid) {
  for (const auto& space : spaces_of_processes_)
    if (space->pcid == pcid) space->stale = true;
}

void DirectVcpu::mappings_flushed(x86::TlbFlush kind) {
  TranslatorVcpu::mappings_flushed(kind);
  ++switches_;
  current_cr3_ = ~0ull;
  for (const auto& space : spaces_of_processes_) space->stale = true;
}

void DirectVcpu::page_invalidated(std::uint64_t linear) {
  TranslatorVcpu::page_invalidated(linear);
  constexpr std::size_t kMost = 256;
  Space* const space = current();
  if (space == nullptr || !ShadowSpace::possible(linear)) return;
  if (space->suspects.size() < kMost)
    space->suspects.push_back(linear);
  else
    space->stale = true;
}

void DirectVcpu::address_space_changed(std::uint16_t from, std::uint16_t to, bool keep) {
  TranslatorVcpu::address_space_changed(from, to, keep);
  ++switches_;
  current_cr3_ = ~0ull;
  if (!keep) make_stale(to);
  current();
}

void DirectVcpu::address_space_forgotten(std::uint16_t pcid) {
  TranslatorVcpu::address_space_forgotten(pcid);
  make_stale(pcid);
}

void DirectVcpu::page_protected(PhysAddr page) {
  for (const auto& space : spaces_of_processes_)
    if (space->shadow) space->shadow->protect(page);
}

void DirectVcpu::pages_moved() {
  for (const auto& space : spaces_of_processes_)
    if (space->shadow) space->shadow->remove_all();
}

// --- Native code.

void DirectVcpu::give_up(Space& space) {
  space.shadow.reset();
  space.policy.pause(now_ns());
  keep_returns_in_sight();
}

TrapCause DirectVcpu::cause_of_trap(const Space& space, const StubProcess::Event& event,
                                    const StubProcess::Registers& registers) {
  constexpr std::byte kInt1{0xf1};
  Trap trap;
  trap.code = event.code;
  trap.stepping = (registers.eflags & x86::rflags::kTf) != 0;
  trap.at_breakpoint = space.guarded.has_breakpoint(registers.rip);
  if (trap.code == TRAP_BRKPT && trap.at_breakpoint) {
    const std::uint64_t before = registers.rip - 1;
    const auto code = code_at(before & ~kPageMask);
    trap.behind_int1 = !code.empty() && code[before & kPageMask] == kInt1;
  }
  return cause_of(trap);
}

/// Traps are reported behind the instruction that made them, and happen again there.
void DirectVcpu::take_back_trap(const Space& space, const StubProcess::Event& event,
                                StubProcess::Registers& registers) {
  constexpr unsigned kSystemCallLength = 2;  // of SYSCALL and of INT 80h
  if (event.stop == StubProcess::Stop::kSystemCall) {
    registers.rip -= kSystemCallLength;
    registers.rax = registers.orig_rax;
    return;
  }
  if (event.signal != SIGTRAP) return;
  switch (cause_of_trap(space, event, registers)) {
    case TrapCause::kBreakpoint:
      unclean_ = registers.rip & ~kPageMask;
      return;
    case TrapCause::kStep:
      translated_.state.pending_debug |= x86::dr6::kBs;
      break;
    case TrapCause::kInstruction:
      registers.rip -= 1;
      break;
  }
  if (space.trapped.is_trap(registers.rip)) unclean_ = registers.rip & ~kPageMask;
}

/// Whether the process can go on: it only lacked a page.
bool DirectVcpu::lacked_a_page(Space& space, const StubProcess::Event& event,
                               const StubProcess::Registers& registers) {
  if (event.signal != SIGSEGV || (event.code != SEGV_MAPERR && event.code != SEGV_ACCERR))
    return false;
  translated_.state.rip = registers.rip;
  if (!resolve(space, event.address)) return false;
  ++resolved_;
  if (space.shadow->carry_out(space.trapped)) return true;
  space.broken = true;
  return false;
}

/// Up to something that the process cannot do, which is left to the translator, or to an event.
void DirectVcpu::run_natively(Space& space) {
  x86::CpuState& state = translated_.state;
  const std::uint64_t start = now_ns();
  bring_up_to_date(space);
  if (const auto wanted = std::exchange(space.wanted, std::nullopt)) map_now(space, *wanted);
  const bool own_place_free = !mmu_.look_up(LinearAddr{StubProcess::kBase});
  if (!(eager_ || space.policy.active()) || !own_place_free ||
      !space.shadow->carry_out(space.trapped)) {
    give_up(space);
    hold_ = true;
    return;
  }
  StubProcess& process = space.shadow->process();
  image_.resize(process.vector_bytes());
  to_image(state.fpu, image_);
  const bool same_vectors = image_ == space.vectors;  // the guest's kernel leaves them alone
  StubProcess::Registers registers = to_registers(state);
  space.used = ++runs_;
  bool gone = !same_vectors && !process.load_vectors(image_);
  unclean_.reset();
  cpu_->events.set_process(process.pid());
  hold_ = false;
  std::uint64_t inside = 0, ran = 0;
  while (!gone && !hold_ && !cpu_->events.any()) {
    const std::uint64_t entered = now_ns(), had = process.cpu_ns();
    const auto event = process.run(registers);
    const std::uint64_t had_now = process.cpu_ns();
    inside += now_ns() - entered;
    ran += std::max(had_now, had + DirectPolicy::kStopNs) - had - DirectPolicy::kStopNs;
    gone = event.stop == StubProcess::Stop::kGone;
    if (gone || event.signal == StubProcess::kKickSignal) continue;
    hold_ = !lacked_a_page(space, event, registers);
    if (hold_ && event.signal == SIGSEGV) space.wanted = event.address;
    if (hold_) take_back_trap(space, event, registers);
  }
  cpu_->events.set_process(0);
  const std::uint64_t end = now_ns();
  native_ns_ += ran;
  inside_ns_ += inside;
  space.policy.note_native(end, ran, end - start - std::min(end - start, ran));
  if (gone || !process.store_vectors(image_)) {
    lost_ = true;
    cpu_->events.raise(PendingEvents::kKick);
    return;
  }
  from_image(image_, state.fpu);
  to_image(state.fpu, image_);
  space.vectors = image_;
  from_registers(registers, state);
  translated_.take_in_flags();
  mmu_.refresh_mode();  // alignment may be checked from here on
  if (std::exchange(space.broken, false)) give_up(space);
  keep_returns_in_sight();
}

std::vector<Counter> DirectVcpu::counters() const {
  std::vector<Counter> result = TranslatorVcpu::counters();
  result.insert(result.end(), {{"direct_activations", activations_},
                               {"direct_runs", runs_},
                               {"direct_faults_resolved", resolved_},
                               {"direct_reviews", reviews_},
                               {"direct_pages_guarded", guards_},
                               {"direct_pages_trapped", traps_},
                               {"direct_microseconds", native_ns_ / 1000}});
  return result;
}

}  // namespace vireo::engine::direct
