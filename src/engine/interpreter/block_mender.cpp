#include <algorithm>

#include "engine/interpreter/block_builder.h"
#include "engine/interpreter/handlers.h"
#include "x86/decode/insn_form.h"

// Programs that make code write immediates, displacements and targets of branches into what they
// have made before. A block outlives that: the operation gets the new number.

namespace vireo::engine::interpreter {

using x86::Insn;
using x86::OperandKind;

bool BlockBuilder::mend(Block& block, std::span<const std::uint8_t> now) {
  const auto before = std::span(block.code, block.bytes);
  for (Op& op : std::span(block.ops, block.op_count).subspan(1)) {
    const std::size_t end = op.offset + std::size_t{op.length};
    if (end > before.size()) return false;
    const auto was = before.subspan(op.offset, op.length);
    const auto is = now.subspan(op.offset, op.length);
    if (std::ranges::equal(was, is)) continue;
    if (!mend(block, op, is)) return false;
    std::ranges::copy(is, was.begin());
  }
  return true;
}

bool BlockBuilder::mend(Block& block, Op& op, std::span<const std::uint8_t> now) {
  Insn insn;
  const auto before = std::span(block.code + op.offset, op.length);
  const auto size = static_cast<x86::CodeSize>(block.mode & BlockMode::kCodeSizeBits);
  // One that writes over itself goes on with what it was.
  if (decoder_.decode(before, size, insn) != x86::DecodeStatus::kOk || !only_reads(insn))
    return false;
  const std::size_t same = x86::form_length(insn);
  if (same == 0 || !std::ranges::equal(before.first(same), now.first(same))) return false;
  x86::give_numbers(insn, now);
  if (op.run == op_call_handler) {
    const_cast<Insn&>(*op.insn) = insn;  // this operation's own, of which only numbers change
  } else if (op.run == op_host_stub) {
    return false;
  } else {
    if (insn.operands[0].kind == OperandKind::kRelative) BlockCache::unlink(&op);
    resolve_operands(op, insn);
  }
  cache_.note_patch(block.start + op.offset);
  // Translated code would have to be thrown away for any other: it stays cold.
  if (!x86::loads_constant(insn)) block.ops[0].dst = 0;
  return true;
}

}  // namespace vireo::engine::interpreter
