#include "engine/translator/translator_vcpu.h"

#include <Zydis/Mnemonic.h>
#include <asm/prctl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/assert.h"
#include "engine/interpreter/handlers.h"
#include "engine/software/attention.h"
#include "engine/software/host_stub.h"
#include "engine/software/x87_host.h"
#include "x86/semantics/fpu_state.h"
#include "x86/semantics/operands.h"

namespace vireo::engine::translator {
namespace {

std::shared_ptr<Cpu> make_cpu() { return std::shared_ptr<Cpu>(new TranslatorCpu); }

/// GS of this thread points to the vCPU while it lives.
class GsBase {
 public:
  explicit GsBase(const TranslatorCpu& cpu) {
    syscall(SYS_arch_prctl, ARCH_GET_GS, &before_);
    // SAFETY: an address is made from the pointer; translated code uses it as one.
    syscall(SYS_arch_prctl, ARCH_SET_GS, reinterpret_cast<unsigned long>(&cpu) + at::kOrigin);
  }
  ~GsBase() { syscall(SYS_arch_prctl, ARCH_SET_GS, before_); }
  GsBase(const GsBase&) = delete;
  GsBase& operator=(const GsBase&) = delete;

 private:
  unsigned long before_ = 0;
};

}  // namespace

TranslatorVcpu::TranslatorVcpu(const VcpuContext& context, memory::GuestMemory& memory,
                               CodeMemory code, const TranslatorOptions& options)
    : InterpreterVcpu(context, memory, make_cpu(), enter_cold, 3 * options.code_bytes),
      translated_(static_cast<TranslatorCpu&>(*cpu_)),
      cache_(translated_, blocks_, memory, decoder_, std::move(code), kCallbacks,
             options.exact_flags, options.shared),
      warm_after_(options.warm_after) {
  cache_.set_listener(options.code_listener);
  translated_.translator = this;
  translated_.mapping_listener = this;
}

TranslatorVcpu::~TranslatorVcpu() { translated_.mapping_listener = nullptr; }

Result<ExitReason> TranslatorVcpu::run() {
  const GsBase gs(translated_);
  const HostX87::Watch watch(translated_.state, translated_.x87_loaded);
  prepare_shortcuts();
  return InterpreterVcpu::run();
}

/// Empty: the state is one that only the interpreter runs.
std::optional<Mode> TranslatorVcpu::mode() const {
  const x86::CpuState& state = translated_.state;
  // System instructions at level 0 are translated as such, so levels 1 and 2 are not.
  if (state.cpl() != 0 && state.cpl() != 3) return {};
  Mode result;
  if (!state.code64()) result.narrow = narrow_of(state);
  switch (mmu_.current()) {
    case TlbIndex::kSupervisor:
    case TlbIndex::kSmapSuspended:
      break;
    case TlbIndex::kUser:
      result.user = true;
      break;
    default:
      return {};
  }
  constexpr std::uint32_t kMasks = 0x1f80, kValid = 0xffff;
  const bool masked = (state.fpu.mxcsr & (kMasks | ~kValid)) == kMasks;
  result.sse = masked && surely_enabled(state, VectorUnit::kSse);
  result.avx = masked && surely_enabled(state, VectorUnit::kAvx);
  const bool x87_masked = (state.fpu.control & x86::fp_exception::kAll) == x86::fp_exception::kAll;
  result.x87 = x87_masked && surely_enabled(state, VectorUnit::kMmx);
  return result;
}

/// After so many times code that is cold looks once more whether another vCPU has made it.
constexpr unsigned kLookAgain = 8;

void TranslatorVcpu::enter_cold(const Op* op, Cpu* cpu) {
  if (cpu->events.any()) [[unlikely]]
    return;
  auto* translated = static_cast<TranslatorCpu*>(cpu);
  // SAFETY: entries belong to blocks of this vCPU, which are not constant.
  auto* entry = const_cast<Op*>(op);
  const unsigned times = ++entry->dst;
  if (times >= translated->translator->warm_after_) {
    entry->dst = 0;
    translated->warm = true;
    return;
  }
  if (times % kLookAgain == 0 && translated->translator->cache_.shares()) {
    translated->perhaps_made = true;
    return;
  }
  cpu->counters.instructions += op->immediate;
  VIREO_TAIL op[1].run(op + 1, cpu);
}

void TranslatorVcpu::enter_translated(const Op*, Cpu*) {}

/// One run of interpreted code, up to code that is translated or ought to be.
void TranslatorVcpu::interpret() {
  const Op* entry = find_block(cpu_.get());
  if (entry == nullptr) return;
  if (std::exchange(interpret_next_, false)) {
    cpu_->counters.instructions += entry->immediate;
    ++entry;  // past what would ask for a translation
  } else if (entry->run == enter_translated) {
    const_cast<Op*>(entry)->run = enter_cold;
  }
  entry->run(entry, cpu_.get());
}

void TranslatorVcpu::execute() {
  const bool nothing_known = std::exchange(not_translated_, kNoAddress) == translated_.state.rip;
  const auto now = interpret_next_ || nothing_known ? std::nullopt : mode();
  if (now) {
    keep_branches_of(*now);
    const std::uint64_t linear = linear_at(translated_.state.rip, *now);
    if (Translation* found = find_entry(linear, *now)) return run_translated(found);
  }
  interpret();
  if (std::exchange(translated_.perhaps_made, false)) {
    interpret_next_ = !adopt_here();
    if (interpret_next_) return;
  } else if (!std::exchange(translated_.warm, false)) {
    return;
  }
  const bool done = translate_here();
  // What cannot be translated is interpreted from now on.
  if (const Op* entry = find_block(cpu_.get()))
    const_cast<Op*>(entry)->run = done ? enter_translated : interpreter::op_enter;
}

bool TranslatorVcpu::translate_here() {
  const auto now = mode();
  return now && find_or_make(linear_at(translated_.state.rip, *now), *now) != nullptr;
}

/// The block at RIP is cold here, but another vCPU may have translated it.
bool TranslatorVcpu::adopt_here() {
  const auto now = mode();
  if (!now) return false;
  const std::uint64_t linear = linear_at(translated_.state.rip, *now);
  const CodePage* page = code_page(linear);
  if (page == nullptr) return false;
  const PhysAddr start = page->physical + (linear & kPageMask);
  if (!cache_.may_adopt(start)) return false;
  return find(linear, *now) != nullptr || cache_.adopt(start, *now, linear) != nullptr;
}

void TranslatorVcpu::run_translated(Translation* translation) {
  TranslatorCpu& cpu = translated_;
  ++entries_;
  while (translation != nullptr) {
    prepare_entry(*translation, linear_at(cpu.state.rip, translation->mode));
    cache_.glue().enter(&cpu, translation->entry);
    settle_privilege();
    cpu.state.gpr[x86::kRsp] = cpu.rsp - cpu.stack_delta;
    if (cpu.exit == TranslatorCpu::kEvent) return;
    translation = after_exit();
  }
}

/// Where to go on after translated code did not know; null: through the run loop.
Translation* TranslatorVcpu::after_exit() {
  TranslatorCpu& cpu = translated_;
  const auto now = mode();
  if (!now) return nullptr;
  if (cpu.exit == TranslatorCpu::kIndirect) {
    ++indirect_misses_;
    const bool nothing = std::exchange(nothing_at_, kNoAddress) == cpu.target;
    cpu.state.rip = rip_at(cpu.target, *now);
    if (!x86::canonical(cpu.state, cpu.target)) refuse_target();
    if (cpu.events.any() || cpu.fault_pending) return nullptr;
    const bool looked = nothing && *now == branch_mode_[now->user];
    Translation* to = looked ? nullptr : find_entry(cpu.target, *now);
    if (to == nullptr) not_translated_ = cpu.state.rip;
    return to;
  }
  const auto number = static_cast<std::uint32_t>(cpu.exit);
  const Exit& exit = cache_.tables().exits[number];
  cpu.state.rip = rip_of(*exit.from, exit.tag);
  if (cpu.events.any()) return nullptr;
  Mode careful = exit.from->mode;
  careful.suspended = false;
  const std::uint64_t linear = linear_of(*exit.from, exit.tag);
  Translation* to = exit.careful ? find_careful(linear, careful) : find(linear, *now);
  if (to != nullptr && exit.suspended) to = find_suspended(*to);
  if (to != nullptr) link(number, *to, linear);
  return to;
}

/// The interpreter has an operation of its own for the instruction, and only that.
const void* TranslatorVcpu::leave_to_interpret(std::uint64_t rip) {
  translated_.state.rip = rip;
  interpret_next_ = true;
  return leave();
}

const void* TranslatorVcpu::leave() {
  translated_.exit = TranslatorCpu::kEvent;
  return nullptr;
}

/// A branch to no address faults itself: it is taken back.
void TranslatorVcpu::refuse_target() {
  TranslatorCpu& cpu = translated_;
  const Site& site = cache_.tables().sites[cpu.branch_site];
  const x86::Insn& insn = decoded(site).insn;
  std::uint64_t& rsp = cpu.state.gpr[x86::kRsp];
  if (insn.mnemonic == ZYDIS_MNEMONIC_CALL) rsp += 8;
  if (insn.mnemonic == ZYDIS_MNEMONIC_RET)
    rsp -= 8 + (insn.operands[0].kind == x86::OperandKind::kImmediate ? insn.immediate : 0);
  cpu.state.rip = rip_of(*site.from, site.tag);
  cpu.raise({x86::Vector::kGP});
}

const SiteCallbacks TranslatorVcpu::kCallbacks{quick_miss, on_miss,        quick_window,
                                               on_window,  quick_indirect, on_call};

const void* TranslatorVcpu::on_miss(TranslatorCpu* cpu, std::uint32_t number) {
  TranslatorVcpu& self = *cpu->translator;
  const Site& site = self.cache_.tables().sites[number];
  const LinearAddr linear{cpu->miss_address};
  if (self.contest_.lost(number)) self.cache_.salt(site);
  const bool whole = (cpu->miss_address & kPageMask) + site.size <= kPageSize;
  const bool slow = site.write && self.mmu_.written_slowly(linear, site.tlb);
  if (whole && !slow && self.mmu_.fill(linear, site.write, site.tlb))
    if (const void* retry = quick_miss(cpu, number)) return self.go_to(site, retry);
  ++self.misses_;
  self.settle_privilege();
  return site.looks_for_others ? self.go_carefully(site) : self.execute_site(site);
}

const void* TranslatorVcpu::on_call(TranslatorCpu* cpu, std::uint32_t number) {
  TranslatorVcpu& self = *cpu->translator;
  const Site& site = self.cache_.tables().sites[number];
  if (site.load_x87) {
    HostX87::ensure_loaded(cpu->state);
    return site.resume;
  }
  ++self.calls_;
  ++self.calls_by_mnemonic_[self.decoded(site).insn.mnemonic];
  self.settle_privilege();
  return self.execute_site(site);
}

/// The site's instruction, decoded once more.
Site::Decoded& TranslatorVcpu::decoded(const Site& site) {
  if (site.decoded == nullptr) {
    site.decoded = std::make_unique<Site::Decoded>();
    const auto bytes = std::span(site.bytes).first(site.length);
    const auto status = decoder_.decode(bytes, site.code_size, site.decoded->insn);
    VIREO_ASSERT(status == x86::DecodeStatus::kOk);
    site.decoded->handler = interpreter::find_handler(site.decoded->insn);
  }
  return *site.decoded;
}

/// A MOV to a page that may not be written directly, mostly one with code. False: it is another
/// instruction, or not that page.
bool TranslatorVcpu::store_slowly(const Site& site) {
  TranslatorCpu& cpu = translated_;
  if (!site.write || (cpu.miss_address & kPageMask) + site.size > kPageSize) return false;
  const auto physical = mmu_.written_slowly(LinearAddr{cpu.miss_address}, site.tlb);
  const x86::Insn& insn = decoded(site).insn;
  const x86::Operand& from = insn.operands[1];
  const bool in_register = from.kind == x86::OperandKind::kGpr;
  const bool simple = in_register || from.kind == x86::OperandKind::kImmediate;
  if (!physical || insn.mnemonic != ZYDIS_MNEMONIC_MOV || !simple) return false;
  const std::uint64_t data = in_register ? cpu.state.gpr[from.number] : insn.immediate;
  memory::GuestMemory& memory = mmu_.memory();
  // Who makes code anew writes much of it as it was. Now and then it is told all the same, so that
  // the watch can end when there is no code in the page.
  if (++slow_stores_ % 16 == 0)
    memory.write(*physical, std::as_bytes(std::span(&data, 1)).first(site.size));
  else
    memory.write_changes(*physical, data, site.size);
  return true;
}

/// One instruction by its semantics, and on behind it unless there is something to look at.
const void* TranslatorVcpu::execute_site(const Site& site) {
  TranslatorCpu& cpu = translated_;
  x86::CpuState& state = cpu.state;
  const Mode before = site.from->mode;
  const std::uint64_t rip = rip_of(*site.from, site.tag);
  const std::uint64_t mask = before.narrow ? 0xffffffff : ~0ull;
  const std::uint64_t next = (rip + site.length) & mask;
  state.gpr[x86::kRsp] = cpu.rsp - cpu.stack_delta;
  const std::uint64_t epoch = cpu.window_epoch;
  if (store_slowly(site)) {
    if (site.from->valid && epoch == cpu.window_epoch) return go_to(site, site.resume);
    return go_on(state.rip = next);
  }
  cpu.bring_out_flags();
  const std::uint64_t flags_before = state.rflags;
  cpu.leave_block = false;
  state.rip = next;
  x86::OrFault<> done;
  Site::Decoded& what = decoded(site);
  if (what.handler != nullptr)
    done = what.handler(state, port_, what.insn);
  else if (what.stub != nullptr || (what.stub = stubs_.find(what.insn)) != nullptr)
    done = execute_stub(*what.stub, state, port_, what.insn);
  else
    return leave_to_interpret(rip);
  cpu.take_in_flags();
  cpu.rsp = state.gpr[x86::kRsp] + cpu.stack_delta;
  if (!done) {
    state.rip = rip;
    cpu.raise(done.error());
    return deliver_here();
  }
  std::uint64_t known = 0;
  const std::uint8_t shadow = state.sti_shadow;
  if (!interrupt_may_wait()) {
    // It does not matter that interrupts are enabled, nor that they wait for the next instruction
    // if nobody looks for any before it is done.
    known = x86::rflags::kIf;
    if (site.more_follows && site.from->valid) state.sti_shadow = 0;
  }
  note_flat_pairs();
  // RF is there for the next instruction's breakpoints, and for one that is repeated.
  // SDM vol. 3B, 17.3.1.1.
  if ((state.dr7 & 0xff) == 0 && state.rip != rip) state.rflags &= ~x86::rflags::kRf;
  // Where code goes on is looked up anew below, if need be.
  // So are addresses that the rest of the superblock remembers.
  const bool elsewhere = std::exchange(cpu.leave_block, false) || epoch != cpu.window_epoch;
  if (needs_attention(cpu, flags_before | known)) {
    state.sti_shadow = shadow;
    return leave();
  }
  auto now = mode();
  if (!now) return leave();
  if (now->user && !before.user && takes_user_code()) return leave();
  if (state.rip != next || site.branches || elsewhere || !site.from->valid) return go_on(state.rip);
  now->careful = before.careful;
  now->suspended = before.suspended;
  return *now == before ? go_to(site, site.resume) : go_on(next);
}

/// Back into the site's translation.
const void* TranslatorVcpu::go_to(const Site& site, const void* code) {
  if (site.x87_loaded) HostX87::ensure_loaded(translated_.state);
  return code;
}

/// Indirect branches find nothing of another mode of the same privilege.
void TranslatorVcpu::keep_branches_of(Mode mode) {
  Mode& last = branch_mode_[mode.user];
  if (last == mode) return;
  cache_.branches().forget_all();
  last = mode;
  const Mode &supervisor = branch_mode_[0], &user = branch_mode_[1];
  translated_.shortcuts.halves_agree = user.user && !user.narrow && !supervisor.narrow &&
                                       supervisor.sse == user.sse && supervisor.avx == user.avx;
}

/// From an instruction that branched, or changed the mode, straight to the code behind it.
const void* TranslatorVcpu::go_on(std::uint64_t rip) {
  TranslatorCpu& cpu = translated_;
  const auto now = mode();
  if (!now) return leave();
  keep_branches_of(*now);
  const std::uint64_t linear = linear_at(rip, *now);
  Translation* to = find_entry(linear, *now);
  if (to == nullptr) return leave();
  prepare_entry(*to, linear);
  cpu.vectors_wanted = false;
  return to->entry;
}

/// Base, stack and segment slots, as the code at the address wants them.
void TranslatorVcpu::prepare_entry(const Translation& to, std::uint64_t linear) {
  TranslatorCpu& cpu = translated_;
  cpu.code_base = linear - to.tag;
  renew_slots();
  choose_window(to.mode);
  cpu.negative_delta = 0 - cpu.stack_delta;
  cpu.rsp = cpu.state.gpr[x86::kRsp] + cpu.stack_delta;
}

void TranslatorVcpu::renew_slots() {
  const std::uint64_t epoch = translated_.window_epoch;
  if (std::exchange(slots_epoch_, epoch) != epoch)
    translated_.segment_slots.keep_what_holds(translated_.tlbs);
}

/// The window that code of this privilege had last, if the TLB has not changed since.
void TranslatorVcpu::choose_window(const Mode& mode) {
  TranslatorCpu& cpu = translated_;
  const Shortcuts::Window& last = cpu.shortcuts.windows[mode.user];
  if (cpu.stack_window == cpu.no_window && last.epoch == cpu.window_epoch) {
    cpu.stack_window = last.window;
    cpu.stack_delta = last.delta;
  }
  if (mode.narrow && !may_be_window(mode, cpu.stack_window - cpu.stack_delta))
    cpu.stack_window = cpu.no_window;
}

/// Code that has a check for every access. Null: it cannot be made.
Translation* TranslatorVcpu::find_careful(std::uint64_t linear, Mode mode) {
  mode.careful = true;
  return find_or_make(linear, mode);
}

/// What one access was to find for others is not there, or not in one page.
const void* TranslatorVcpu::go_carefully(const Site& site) {
  constexpr std::uint8_t kPatience = 32;
  if (++site.times_not_found == kPatience) cache_.separate(site);
  TranslatorCpu& cpu = translated_;
  const std::uint64_t linear = linear_of(*site.from, site.tag);
  Mode mode = site.from->mode;
  mode.suspended = site.tlb == TlbIndex::kSmapSuspended;
  const Translation* to = find_careful(linear, mode);
  cpu.state.gpr[x86::kRsp] = cpu.rsp - cpu.stack_delta;
  if (to == nullptr) return leave_to_interpret(rip_at(linear, mode));
  prepare_entry(*to, linear);
  cpu.vectors_wanted = false;
  return to->entry;
}

/// Where the stack is cannot be the window: every access has its own check.
const void* TranslatorVcpu::on_window(TranslatorCpu* cpu, std::uint32_t number) {
  TranslatorVcpu& self = *cpu->translator;
  const Site& site = self.cache_.tables().sites[number];
  const LinearAddr low{stack_bottom(*cpu, site)};
  const bool possible = may_be_window(site.from->mode, value(low) & ~kPageMask);
  if (possible && self.mmu_.fill(low, false, stack_user(site)))
    if (const void* resume = quick_window(cpu, number)) return resume;
  ++self.window_moves_;
  const Mode& mode = site.from->mode;
  const std::uint64_t linear = self.linear_of(*site.from, site.tag);
  const Translation* to = self.find_careful(linear, mode);
  self.renew_slots();  // it may be new, and its page be watched from now on
  if (to != nullptr) return to->entry;
  cpu->state.rip = rip_at(linear, mode);
  cpu->state.gpr[x86::kRsp] = cpu->rsp - cpu->stack_delta;
  return self.leave();
}

std::vector<Counter> TranslatorVcpu::counters() const {
  std::vector<Counter> result = InterpreterVcpu::counters();
  const auto& statistics = cache_.statistics();
  result.insert(result.end(), {{"translations", statistics.translations},
                               {"translated_instructions", statistics.guest_instructions},
                               {"translation_microseconds", statistics.nanoseconds / 1000},
                               {"translations_retired", statistics.retired},
                               {"translated_code_bytes", cache_.code_bytes()},
                               {"translation_flushes", statistics.flushes},
                               {"translations_evicted", statistics.evicted},
                               {"longest_eviction_microseconds", statistics.longest_trim / 1000},
                               {"translations_offered", statistics.offered},
                               {"translations_adopted", statistics.adopted},
                               {"translations_refused", statistics.refused},
                               {"links", statistics.links},
                               {"translated_entries", entries_},
                               {"access_misses", misses_},
                               {"instruction_calls", calls_},
                               {"indirect_misses", indirect_misses_},
                               {"stack_windows", window_moves_}});
  count_calls(result);
  return result;
}

/// The instructions that are most often left to C++.
void TranslatorVcpu::count_calls(std::vector<Counter>& counters) const {
  constexpr std::size_t kShown = 16;
  std::vector<std::pair<std::uint64_t, ZydisMnemonic>> ranking;
  for (std::size_t i = 0; i < calls_by_mnemonic_.size(); ++i)
    if (calls_by_mnemonic_[i] != 0)
      ranking.emplace_back(calls_by_mnemonic_[i], static_cast<ZydisMnemonic>(i));
  std::ranges::sort(ranking, std::greater{});
  if (ranking.size() > kShown) ranking.resize(kShown);
  for (const auto& [calls, mnemonic] : ranking)
    counters.push_back({fmt::format("calls_{}", ZydisMnemonicGetString(mnemonic)), calls});
}

}  // namespace vireo::engine::translator
