#pragma once
#include <memory>
#include <span>

#include "engine/interpreter/code_that_passes.h"
#include "engine/software/block.h"
#include "engine/software/block_cache.h"
#include "engine/software/cpu.h"
#include "engine/software/host_stub.h"
#include "x86/decode/decode_cache.h"

namespace vireo::engine::interpreter {

/// Turns guest code into blocks of operations: decodes, chooses each instruction's handler and
/// resolves its operands.
class BlockBuilder final : public BlockMender {
 public:
  /// `enter` becomes the first operation of every block.
  BlockBuilder(Cpu& cpu, BlockCache& cache, HostStubs& stubs, memory::GuestMemory& memory,
               x86::DecodeCache& decoder, OpHandler enter);
  ~BlockBuilder() override;

  /// The block that starts at `linear`, whose first byte is at `physical`. A fault if its first
  /// instruction cannot be fetched. An instruction that does not exist becomes an operation that
  /// raises the fault.
  ///
  /// Code that is expected to run only once (CodeThatPasses), and cannot change itself before its
  /// end, is not entered into the cache: the block is not `valid`, and is gone when another two
  /// have been built. Its operations are to be run at once, and not to be kept.
  x86::OrFault<Block*> build(LinearAddr linear, PhysAddr physical, BlockMode mode);
  /// Code there will probably be built soon.
  void prefetch(PhysAddr start) const { passing_.prefetch(start); }

  // BlockMender
  bool mend(Block& block, std::span<const std::uint8_t> now) override;

 private:
  struct Draft;
  std::span<const std::uint8_t> code_at(Draft& draft, std::size_t offset);
  x86::OrFault<> add_first(Draft& draft, LinearAddr linear);
  bool add_next(Draft& draft);
  void add(Draft& draft, const x86::Insn& insn);
  void add_fault(Draft& draft, x86::Vector vector, std::uint8_t length);
  void choose(Op& op, const x86::Insn& insn);
  Block* finish(Draft& draft);
  Op* keep(const Draft& draft, Block& block);
  bool mend(Block& block, Op& op, std::span<const std::uint8_t> now);
  x86::OrFault<PhysAddr> fetch_across(Draft& draft, LinearAddr linear,
                                      std::span<std::uint8_t, 15> bytes);

  Cpu& cpu_;
  BlockCache& cache_;
  HostStubs& stubs_;
  memory::GuestMemory& memory_;
  x86::DecodeCache& decoder_;
  const OpHandler enter_;
  std::unique_ptr<Draft> draft_;
  std::unique_ptr<Draft> previous_;  ///< the one before: a block that passes may be running in it
  CodeThatPasses passing_;
};

/// Where an instruction goes on that leaves the page of `linear`. #GP(0) if it leaves canonical
/// addresses there.
x86::OrFault<PhysAddr> translate_next_page(Cpu& cpu, LinearAddr linear);

/// Instructions that surely write no memory; not all of them.
bool only_reads(const x86::Insn& insn);

/// Control never reaches what stands behind the instruction.
bool ends_block(const x86::Insn& insn);

/// Fills the operand fields of `op` from the instruction; exposed for tests.
void resolve_operands(Op& op, const x86::Insn& insn);

}  // namespace vireo::engine::interpreter
