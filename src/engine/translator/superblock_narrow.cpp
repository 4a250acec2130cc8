#include "engine/translator/long_form.h"
#include "engine/translator/superblock.h"
#include "x86/semantics/operands.h"

// What is different in superblocks of code that is not 64-bit.

namespace vireo::engine::translator {
namespace {

bool uses_stack(Kind kind) {
  switch (kind) {
    case Kind::kPush:
    case Kind::kPop:
    case Kind::kLeave:
    case Kind::kCall:
    case Kind::kReturn:
      return true;
    default:
      return false;
  }
}

}  // namespace

/// All of the instruction is in front of the end of CS; behind that the interpreter faults.
bool SuperblockReader::within_code(const Step& step) const {
  const std::uint64_t eip = narrow_.eip(page_address_ + step.offset);
  return eip + step.insn.length - 1 <= narrow_.code_limit;
}

/// What segments do not let through, or what cannot be written as 64-bit code, is for C++. So are
/// branches around the end of the address space and beyond that of CS.
void SuperblockReader::fit_to_segments(Step& step) const {
  const x86::Insn& insn = step.insn;
  const auto refuse = [&step] {
    step.kind = Kind::kInterpret;
    step.has_memory = false;
  };
  if (is_direct(step)) {
    const std::uint64_t next =
        narrow_.eip(page_address_ + step.offset) + std::uint64_t{insn.length};
    const std::uint64_t target = next + insn.immediate;
    const std::uint64_t cut = target & x86::width_mask(insn.operand_width);
    if (cut != target || target > narrow_.code_limit) return refuse();
  }
  if (uses_stack(step.kind) && narrow_.form(x86::kSs) == SegmentForm::kRefused) return refuse();
  if (step.kind == Kind::kLeave && !(narrow_.flat_stack() && insn.operand_width == 4))
    return refuse();
  if (step.has_memory && !narrow_.reaches(insn.memory.segment, step.memory_written))
    return refuse();
  const auto flat = [this](unsigned segment) {
    return narrow_.form(segment) == SegmentForm::kFlat;
  };
  if (step.kind == Kind::kSystem && is_fill_or_move(insn) &&
      !(flat(x86::kEs) && flat(insn.memory.segment)))
    return refuse();
  if (!is_copied(step.kind)) return;
  const auto encoding = long_form(insn, decoder_);
  if (!encoding) return refuse();
  step.long_insn = std::make_shared<const x86::Insn>(*encoding);
}

}  // namespace vireo::engine::translator
