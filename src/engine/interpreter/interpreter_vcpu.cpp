#include "engine/interpreter/interpreter_vcpu.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "engine/interpreter/handlers.h"
#include "x86/semantics/operands.h"

namespace vireo::engine::interpreter {
namespace {

using x86::Activity;
namespace rflags = x86::rflags;

bool is(const x86::CpuState& state, Activity activity) {
  return state.activity == static_cast<std::uint8_t>(activity);
}

/// Of the instructions that wait for x87 exceptions.
bool replaces_status(const Block& block) {
  const Op& op = block.ops[1];
  return op.run == op_call_handler &&
         (op.insn->mnemonic == ZYDIS_MNEMONIC_FLDENV || op.insn->mnemonic == ZYDIS_MNEMONIC_FRSTOR);
}

}  // namespace

InterpreterVcpu::InterpreterVcpu(const VcpuContext& context, memory::GuestMemory& memory)
    : InterpreterVcpu(context, memory, std::shared_ptr<Cpu>(new Cpu), op_enter) {}

InterpreterVcpu::InterpreterVcpu(const VcpuContext& context, memory::GuestMemory& memory,
                                 std::shared_ptr<Cpu> cpu, OpHandler enter,
                                 std::size_t decoded_bytes)
    : context_(context),
      cpu_(std::move(cpu)),
      mmu_(*cpu_, memory, context.port, context.cpuid),
      port_(*cpu_, mmu_, context),
      blocks_(*cpu_, memory, leave_before, leave_at_entry, decoded_bytes),
      decoder_(context.cpuid.features()),
      builder_(*cpu_, blocks_, stubs_, memory, decoder_, enter) {
  cpu_->mmu = &mmu_;
  cpu_->port = &port_;
  cpu_->stubs = &stubs_;
  cpu_->vcpu = this;
  cpu_->find_block = find_block;
  cpu_->find_linked = find_linked;
  mmu_.refresh_mode();
}

InterpreterVcpu::~InterpreterVcpu() = default;

void InterpreterVcpu::load(const x86::CpuState& state) {
  cpu_->state = state;
  cpu_->take_in_flags();
  cpu_->fault_pending = false;
  cpu_->interrupt_hint = true;
  mmu_.refresh_mode();
  mmu_.flush(x86::TlbFlush::kAll);
}

void InterpreterVcpu::store(x86::CpuState& state) const {
  state = cpu_->state;
  state.rflags = x86::merge_flags(state.rflags, cpu_->flags);
}

void InterpreterVcpu::end_halt() {
  if (is(cpu_->state, Activity::kHalted))
    cpu_->state.activity = static_cast<std::uint8_t>(Activity::kRunning);
}

BlockMode InterpreterVcpu::mode() const {
  const x86::CpuState& state = cpu_->state;
  const auto& cs = state.segment[x86::kCs];
  BlockMode result;
  result.code_size = state.code64() ? x86::CodeSize::k64
                     : cs.big()     ? x86::CodeSize::k32
                                    : x86::CodeSize::k16;
  result.limited_code = !state.code64() && cs.limit != 0xffffffff;
  return result;
}

x86::OrFault<Block*> InterpreterVcpu::find(BlockMode mode) {
  const x86::CpuState& state = cpu_->state;
  ++cpu_->counters.block_lookups;
  std::uint64_t linear = state.rip;
  if (mode.code_size == x86::CodeSize::k64) {
    if (!x86::canonical(state, linear)) return x86::general_protection();
  } else {
    linear = (linear + state.segment[x86::kCs].base) & 0xffffffff;
  }
  const PhysAddr physical = TRY(mmu_.translate_code(LinearAddr{linear}));
  if (Block* block = blocks_.find(physical, mode.key())) {
    if (!block->straddles) return block;
    // Its second page may be mapped elsewhere by now.
    const PhysAddr second = TRY(translate_next_page(*cpu_, LinearAddr{linear}));
    if (second == block->second_page) return block;
    blocks_.retire(*block);
  }
  if (!mode.single && has_other_form()) return nullptr;
  return builder_.build(LinearAddr{linear}, physical, mode);
}

/// Where CS has a limit, code runs block by block up to it, then one by one, then faults.
x86::OrFault<Block*> InterpreterVcpu::find_within_limit(std::uint64_t limit) {
  const std::uint64_t rip = cpu_->state.rip;
  if (rip > limit) return x86::general_protection();
  BlockMode wanted = mode();
  Block* block = TRY(find(wanted));
  if (block == nullptr || rip + block->bytes - 1 <= limit) return block;
  wanted.single = true;
  block = TRY(find(wanted));
  if (rip + block->bytes - 1 > limit) return x86::general_protection();
  return block;
}

const Op* InterpreterVcpu::find_block(Cpu* cpu) {
  if (cpu->stepping) return nullptr;
  JumpCacheEntry& entry = cpu->jump_entry(cpu->state.rip);
  const bool known = entry.rip == cpu->state.rip && entry.tag == cpu->jump_tag;
  if (known && entry.entry->run != leave_at_entry) return entry.entry;
  auto* vcpu = static_cast<InterpreterVcpu*>(cpu->vcpu);
  const BlockMode mode = vcpu->mode();
  const auto block = mode.limited_code ? vcpu->find_within_limit(cpu->state.segment[x86::kCs].limit)
                                       : vcpu->find(mode);
  if (!block) {
    cpu->raise(block.error());
    return nullptr;
  }
  if (*block == nullptr) return nullptr;
  if ((*block)->valid) entry = {cpu->state.rip, cpu->jump_tag, (*block)->ops};
  return (*block)->ops;
}

/// From the start of the block to where the operation leads.
static std::uint64_t branch_distance(const Op& branch) {
  return branch.run == op_fall_through ? branch.offset : branch.immediate;
}

/// Within a linear page a branch always leads to the same physical place, whatever the mapping.
const Op* InterpreterVcpu::find_linked(const Op* branch, Cpu* cpu) {
  const Op* entry = find_block(cpu);
  if (entry == nullptr) return nullptr;
  const Block& from = *branch->block;
  Block& to = *entry->block;
  const std::uint64_t target = (value(from.start) & kPageMask) + branch_distance(*branch);
  const bool same_page = target < kPageSize;
  const bool same_mode = from.mode == to.mode && (from.mode & 0xc) == 0;
  if (same_page && same_mode && !from.straddles && !to.straddles && from.valid && to.valid) {
    Op* own = from.ops + (branch - from.ops);
    BlockCache::link(own, to);
  }
  return entry;
}

bool InterpreterVcpu::take_events() {
  const std::uint32_t events = cpu_->events.take();
  if (events & PendingEvents::kStaleCode) blocks_.serve_others();
  if (events & PendingEvents::kInterrupt) cpu_->interrupt_hint = true;
  if (events & PendingEvents::kNmi) port_.latch_nmis();
  return (events & PendingEvents::kKick) != 0;
}

std::optional<ExitReason> InterpreterVcpu::deliver(const x86::Event& event) {
  cpu_->bring_out_flags();
  const auto outcome = x86::deliver(cpu_->state, port_, event);
  cpu_->take_in_flags();
  if (outcome == x86::DeliveryOutcome::kTripleFault) return ExitReason::kTripleFault;
  return {};
}

std::optional<ExitReason> InterpreterVcpu::deliver_pending_fault() {
  cpu_->fault_pending = false;
  if (x86::reported_by_ferr(cpu_->state, cpu_->fault)) {
    x86::freeze(cpu_->state, port_);
    return {};
  }
  ++cpu_->counters.faults[static_cast<std::size_t>(cpu_->fault.vector) & 31];
  cpu_->bring_out_flags();
  const auto outcome = x86::deliver_fault(cpu_->state, port_, cpu_->fault);
  cpu_->take_in_flags();
  if (outcome == x86::DeliveryOutcome::kTripleFault) return ExitReason::kTripleFault;
  return {};
}

/// Delivers what waits, in the order of SDM vol. 3A, table 6-2: traps, NMI, interrupts.
std::optional<ExitReason> InterpreterVcpu::inject() {
  x86::CpuState& state = cpu_->state;
  if (state.mov_ss_shadow) return {};
  if (state.pending_debug != 0) {
    x86::Fault trap{x86::Vector::kDB};
    trap.dr6 = std::exchange(state.pending_debug, 0);
    ++cpu_->counters.faults[static_cast<std::size_t>(x86::Vector::kDB)];
    return deliver(x86::Event::exception(trap));
  }
  if (state.nmi_pending && !state.nmi_blocked && !state.sti_shadow) {
    --state.nmi_pending;
    return deliver(x86::Event::nmi());
  }
  if (!cpu_->interrupt_hint || !(state.rflags & rflags::kIf) || state.sti_shadow) return {};
  cpu_->interrupt_hint = false;
  const auto vector = context_.port.acknowledge_interrupt();
  if (!vector) return {};
  ++cpu_->counters.interrupts;
  before_interrupt();
  cpu_->interrupt_hint = true;  // there may be more behind it
  return deliver(x86::Event::external_interrupt(*vector));
}

std::optional<ExitReason> InterpreterVcpu::between_instructions() {
  if (take_events()) return ExitReason::kKicked;
  if (is(cpu_->state, Activity::kShutdown)) return ExitReason::kTripleFault;
  if (const auto exit = inject()) return exit;
  if (!is(cpu_->state, Activity::kRunning)) return ExitReason::kHalted;
  return {};
}

/// Instruction breakpoints that are enabled: 4 bits, as in DR6. SDM vol. 3B, 17.2.4.
std::uint64_t InterpreterVcpu::instruction_breakpoints() const {
  const x86::CpuState& state = cpu_->state;
  const std::uint64_t linear =
      state.code64() ? state.rip : (state.rip + state.segment[x86::kCs].base) & 0xffffffff;
  std::uint64_t hit = 0, enabled = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const bool instruction = ((state.dr7 >> (16 + 4 * i)) & 3) == 0;
    if (!instruction || state.dr[i] != linear) continue;
    hit |= 1u << i;
    if ((state.dr7 >> (2 * i)) & 3) enabled |= 1u << i;
  }
  return enabled ? hit : 0;
}

bool InterpreterVcpu::must_step() const {
  const x86::CpuState& state = cpu_->state;
  return (state.rflags & rflags::kTf) != 0 || (state.dr7 & 0xff) != 0 ||
         (state.sti_shadow | state.mov_ss_shadow | state.ferr) != 0;
}

/// Runs the only instruction of a block, and nothing after it.
void InterpreterVcpu::run_single(const Block& block) {
  cpu_->counters.instructions += 1;
  cpu_->stepping = true;
  cpu_->events.raise(PendingEvents::kStop);  // where a branch leads has been looked up before
  const Op* op = block.ops + 1;              // behind the entry: events wait for the instruction
  op->run(op, cpu_.get());
  cpu_->stepping = false;
}

/// Software interrupts and, where it masks TF, SYSCALL do not trap behind themselves.
bool InterpreterVcpu::traps_after(const Block& block) const {
  if (cpu_->state.rflags & rflags::kTf) return true;
  const Op& op = block.ops[1];
  if (op.run != op_call_handler) return true;
  switch (op.insn->mnemonic) {
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_SYSCALL:
      return false;
    default:
      return true;
  }
}

const Block* InterpreterVcpu::execute_one() {
  x86::CpuState& state = cpu_->state;
  BlockMode single = mode();
  single.single = true;
  const auto block = find(single);
  const std::uint64_t limit = state.segment[x86::kCs].limit;
  if (!block || (single.limited_code && state.rip + (*block)->bytes - 1 > limit)) {
    cpu_->raise(block ? x86::Fault{x86::Vector::kGP} : block.error());
    return nullptr;
  }
  state.rflags &= ~rflags::kRf;
  run_single(**block);
  return *block;
}

/// Its #MF, where IGNNE# says that the instruction runs regardless of what is pending.
bool InterpreterVcpu::ignores_fault() {
  return cpu_->fault_pending && x86::reported_by_ferr(cpu_->state, cpu_->fault) && port_.ignne();
}

const Block* InterpreterVcpu::execute_regardless() {
  x86::CpuState& state = cpu_->state;
  cpu_->fault_pending = false;
  HostStubs::sync(state);
  const x86::IgnoredExceptions ignored(state.fpu);
  const Block* block = execute_one();
  HostStubs::sync(state);
  if (cpu_->fault_pending || !replaces_status(*block)) ignored.put_back(state.fpu);
  return block;
}

std::optional<ExitReason> InterpreterVcpu::step() {
  x86::CpuState& state = cpu_->state;
  // AMD's CPUs take an instruction breakpoint behind MOV SS, Intel's do not. SDM vol. 3A, 6.8.3.
  const bool shadowed = state.mov_ss_shadow != 0 && port_.cpuid().vendor() != x86::Vendor::kAmd;
  if ((state.dr7 & 0xff) && !(state.rflags & rflags::kRf) && !shadowed) {
    if (const std::uint64_t hit = instruction_breakpoints()) {
      x86::Fault breakpoint{x86::Vector::kDB};
      breakpoint.dr6 = hit;
      cpu_->raise(breakpoint);
      return deliver_pending_fault();
    }
  }
  const bool trap = (state.rflags & rflags::kTf) != 0;
  state.sti_shadow = 0;
  state.mov_ss_shadow = 0;
  const Block* block = execute_one();
  if (ignores_fault()) block = execute_regardless();
  x86::follow_error_summary(state, port_);
  if (cpu_->fault_pending) return deliver_pending_fault();
  // Behind MOV SS the trap is lost, not late. SDM vol. 3A, 6.8.3.
  if (trap && !state.mov_ss_shadow && traps_after(*block)) state.pending_debug |= x86::dr6::kBs;
  return {};
}

void InterpreterVcpu::execute() {
  if (const Op* entry = find_block(cpu_.get())) entry->run(entry, cpu_.get());
}

Result<ExitReason> InterpreterVcpu::run() {
  blocks_.enter_guest();
  cpu_->fault_pending = false;
  cpu_->interrupt_hint = true;
  std::optional<ExitReason> exit;
  while (!exit) {
    blocks_.trim();
    exit = between_instructions();
    if (exit) break;
    if (must_step()) [[unlikely]] {
      exit = step();
      continue;
    }
    cpu_->state.rflags &= ~rflags::kRf;
    execute();
    if (cpu_->fault_pending)
      exit = deliver_pending_fault();
    else if (is(cpu_->state, Activity::kShutdown))
      exit = ExitReason::kTripleFault;
  }
  HostStubs::sync(cpu_->state);
  blocks_.leave_guest();
  return *exit;
}

std::vector<Counter> InterpreterVcpu::counters() const {
  const CpuCounters& c = cpu_->counters;
  std::vector<Counter> result{{"instructions", c.instructions},
                              {"blocks_decoded", c.blocks_decoded},
                              {"blocks_invalidated", c.blocks_invalidated},
                              {"block_lookups", c.block_lookups},
                              {"code_flushes", c.code_flushes},
                              {"code_evictions", c.code_evictions},
                              {"tlb_misses", c.tlb_misses},
                              {"tlb_flushes", c.tlb_flushes},
                              {"mmio_accesses", c.mmio_accesses},
                              {"pio_accesses", c.pio_accesses},
                              {"handler_calls", c.handler_calls},
                              {"interrupts", c.interrupts}};
  constexpr const char* kNames[32] = {"de", "db",    "nmi",   "bp", "of", "br", "ud",
                                      "nm", "df",    nullptr, "ts", "np", "ss", "gp",
                                      "pf", nullptr, "mf",    "ac", "mc", "xm"};
  for (std::size_t i = 0; i < c.faults.size(); ++i)
    if (c.faults[i] != 0)
      result.push_back({kNames[i] ? std::string("fault_") + kNames[i] : fmt::format("fault_{}", i),
                        c.faults[i]});
  return result;
}

}  // namespace vireo::engine::interpreter
