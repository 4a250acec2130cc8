#pragma once
#include <memory>
#include <optional>

#include "engine/engine.h"
#include "engine/interpreter/block_builder.h"
#include "engine/software/block_cache.h"
#include "engine/software/cpu.h"
#include "engine/software/host_stub.h"
#include "engine/software/soft_mmu.h"
#include "engine/software/soft_port.h"
#include "x86/delivery/interrupt_delivery.h"
#include "x86/delivery/numeric_error.h"

namespace vireo::engine::interpreter {

/// The run loop of a software engine and, by itself, the interpreter. An engine that executes some
/// code by other means derives from it, brings a larger Cpu and puts its own operation in front of
/// every block.
class InterpreterVcpu : public EngineVcpu {
 public:
  InterpreterVcpu(const VcpuContext& context, memory::GuestMemory& memory);
  InterpreterVcpu(const VcpuContext& context, memory::GuestMemory& memory, std::shared_ptr<Cpu> cpu,
                  OpHandler enter, std::size_t decoded_bytes = BlockCache::kBytes);
  ~InterpreterVcpu() override;

  Result<ExitReason> run() override;
  void kick() noexcept override { cpu_->events.raise(PendingEvents::kKick); }
  void notify_interrupt() noexcept override { cpu_->events.raise(PendingEvents::kInterrupt); }
  void notify_nmi() noexcept override { cpu_->events.raise_nmi(); }
  void load(const x86::CpuState& state) override;
  void store(x86::CpuState& state) const override;
  void flush_tlb() override { port_.flush_tlb(x86::TlbFlush::kAnyPcid); }
  void end_halt() override;
  std::vector<Counter> counters() const override;

 protected:
  /// An interrupt is about to be delivered; the state is that of before.
  virtual void before_interrupt() {}
  /// Code at state.rip is about to be decoded, to be run along with what follows: whether execute()
  /// has it in another form by now. Then it is not, and control leaves.
  virtual bool has_other_form() { return false; }
  /// Runs code from state.rip on until there is something to look at, or a fault is pending.
  virtual void execute();
  /// One instruction, with everything that debugging and shadows ask for. An answer ends run().
  virtual std::optional<ExitReason> step();
  /// Delivers Cpu::fault. An answer ends run(); so does the state that comes with it.
  std::optional<ExitReason> deliver_pending_fault();
  /// Whether the irqchip may have an interrupt for the CPU when it enables them.
  bool interrupt_may_wait() const { return cpu_->interrupt_hint; }
  static const Op* find_block(Cpu* cpu);
  static const Op* find_linked(const Op* branch, Cpu* cpu);
  /// Null: see has_other_form(). Never for a single instruction.
  x86::OrFault<Block*> find(BlockMode mode);
  x86::OrFault<Block*> find_within_limit(std::uint64_t limit);
  BlockMode mode() const;
  /// Runs the instruction at state.rip and nothing after it. Null: its code cannot be fetched, and
  /// there is a fault to deliver.
  const Block* execute_one();
  /// Whether debugging or a shadow want the next instruction to be run by step().
  bool must_step() const;
  /// Code at the address will be looked for soon, and is probably new: brings near what finding
  /// and making it touch.
  void prefetch_code(PhysAddr start, std::uint64_t rip) {
    __builtin_prefetch(&cpu_->jump_entry(rip));
    blocks_.prefetch(start);
    builder_.prefetch(start);
  }

  VcpuContext context_;
  std::shared_ptr<Cpu> cpu_;
  SoftMmu mmu_;
  SoftPort port_;
  HostStubs stubs_;
  BlockCache blocks_;
  x86::DecodeCache decoder_;

 private:
  /// Everything that can happen between two instructions. An answer ends run().
  std::optional<ExitReason> between_instructions();
  bool take_events();
  std::optional<ExitReason> inject();
  void run_single(const Block& block);
  bool traps_after(const Block& block) const;
  bool ignores_fault();
  const Block* execute_regardless();
  std::optional<ExitReason> deliver(const x86::Event& event);
  std::uint64_t instruction_breakpoints() const;

  BlockBuilder builder_;
};

}  // namespace vireo::engine::interpreter
