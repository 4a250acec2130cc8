#include "engine/translator/superblock.h"

#include <algorithm>

#include "x86/cpu_state.h"
#include "x86/decode/decoder.h"

namespace vireo::engine::translator {
namespace {

constexpr std::uint16_t kAllFlags = x86::rflags::kArithmetic;

bool writes_rsp(const x86::Insn& insn) { return (insn.effects.gpr_written >> x86::kRsp & 1) != 0; }

/// After it nothing is known of where RSP stands, so that what follows is another superblock.
bool loses_stack(const Step& step) {
  switch (step.kind) {
    case Kind::kCopy:
    case Kind::kVector:
    case Kind::kX87:
    case Kind::kLea:
    case Kind::kInterpret:
      return writes_rsp(step.insn);
    case Kind::kLeave:
      return true;
    case Kind::kPop:
      return step.insn.operands[0].number == x86::kRsp;
    default:
      return false;
  }
}

/// How far PUSHFQ and POPFQ move RSP; 0 for other system instructions.
std::int32_t system_stack_change(const Step& step) {
  if (step.insn.mnemonic == ZYDIS_MNEMONIC_PUSHFQ) return -8;
  return step.insn.mnemonic == ZYDIS_MNEMONIC_POPFQ ? 8 : 0;
}

/// How far the step moves RSP.
std::int32_t stack_change(const Step& step) {
  const x86::Insn& insn = step.insn;
  switch (step.kind) {
    case Kind::kPush:
    case Kind::kCall:
      return -step.stack_width();
    case Kind::kPop:
      return step.stack_width();
    case Kind::kAdjustStack:
      return insn.mnemonic == ZYDIS_MNEMONIC_LEA
                 ? static_cast<std::int32_t>(insn.memory.displacement)
             : insn.mnemonic == ZYDIS_MNEMONIC_ADD ? static_cast<std::int32_t>(insn.immediate)
                                                   : -static_cast<std::int32_t>(insn.immediate);
    case Kind::kSystem:
      return system_stack_change(step);
    default:
      return 0;
  }
}

/// The stack access of a step, from where RSP is before it. Empty: none, or not at a known place.
struct StackRange {
  std::int64_t low = 0, high = 0;
};
StackRange stack_access(const Step& step, const Narrow& narrow) {
  switch (step.kind) {
    case Kind::kPush:
    case Kind::kCall:
      return {-step.stack_width(), 0};
    case Kind::kPop:
    case Kind::kReturn:
      return {0, step.stack_width()};
    case Kind::kSystem: {
      const std::int32_t change = system_stack_change(step);
      return {std::min(change, 0), std::max(change, 0)};
    }
    case Kind::kCopy:
    case Kind::kVector:
    case Kind::kX87: {
      const x86::MemoryOperand& memory = step.insn.memory;
      const bool flat =
          narrow ? narrow.form(memory.segment) == SegmentForm::kFlat : memory.segment < x86::kFs;
      const bool fixed = step.has_memory && step.alignment == 1 && memory.base == x86::kRsp &&
                         memory.index == x86::kNoRegister && flat;
      if (!fixed) return {};
      return {memory.displacement, memory.displacement + step.memory_size};
    }
    default:
      return {};
  }
}

void find_stack_span(Superblock& block, const Narrow& narrow) {
  std::int64_t offset = 0;
  bool any = false;
  for (Step& step : block.steps) {
    step.stack_offset = static_cast<std::int32_t>(offset);
    step.stack_known = true;
    const StackRange range = stack_access(step, narrow);
    if (range.low != range.high) {
      const std::int64_t low =
          std::min<std::int64_t>(any ? block.stack_low : offset + range.low, offset + range.low);
      const std::int64_t high =
          std::max<std::int64_t>(any ? block.stack_high : offset + range.high, offset + range.high);
      const bool near = low > -Superblock::kMaxStackSpan && high < Superblock::kMaxStackSpan;
      if (near && high - low <= Superblock::kMaxStackSpan) {
        block.stack_low = static_cast<std::int32_t>(low);
        block.stack_high = static_cast<std::int32_t>(high);
        step.on_stack = true;
        any = true;
      }
    }
    offset += stack_change(step);
    if (offset > Superblock::kMaxStackSpan || offset < -Superblock::kMaxStackSpan) break;
  }
}

/// Surely neither a branch nor something that shows the flags to the system.
bool goes_on(Step& step) {
  classify(step, {});
  return step.kind != Kind::kInterpret && step.kind != Kind::kBranch && step.kind != Kind::kCall &&
         step.kind != Kind::kJump && step.kind != Kind::kReturn;
}

}  // namespace

/// The instruction at the offset in `code`, whose bytes count as seen.
x86::DecodeStatus SuperblockReader::look(std::span<const std::uint8_t> code, std::uint16_t offset,
                                         x86::Insn& insn) {
  const auto rest = code.subspan(offset);
  const auto status = decoder_.decode(rest, narrow_.size, insn);
  const std::size_t length = status == x86::DecodeStatus::kOk
                                 ? std::size_t{insn.length}
                                 : std::min(rest.size(), x86::kMaxInsnLength);
  seen_first_ = std::min(seen_first_, offset);
  seen_last_ = std::max(seen_last_, static_cast<std::uint16_t>(offset + length - 1));
  return status;
}

bool SuperblockReader::decode(std::uint16_t offset, x86::Insn& insn) {
  return look(page_, offset, insn) == x86::DecodeStatus::kOk;
}

/// An instruction begins there that goes on in the next page, as far as can be told.
bool SuperblockReader::leaves_page(std::int64_t offset) {
  if (!in_page(offset) || static_cast<std::size_t>(offset) + x86::kMaxInsnLength <= kPageSize)
    return false;
  x86::Insn insn;
  return look(page_, static_cast<std::uint16_t>(offset), insn) == x86::DecodeStatus::kNeedMoreBytes;
}

void SuperblockReader::note_pages(Superblock& block) {
  block.next_on_two_pages = block.falls_through && leaves_page(block.next);
  for (Step& step : block.steps)
    step.target_on_two_pages = is_direct(step) && leaves_page(exit_target(step));
}

/// How many steps a loop has, if `step` goes back from its end to the start of the block, and
/// another round fits in; else 0. The code behind the loop is another superblock then, so that it
/// must be in this page.
std::size_t SuperblockReader::round_again(const Superblock& block, const Step& step) {
  const bool counts = step.insn.opcode_map == 0 && step.insn.opcode >= 0xe0;  // LOOP, JRCXZ
  const bool jump = step.kind == Kind::kJump, branch = step.kind == Kind::kBranch && !counts;
  if (!(jump || branch) || !is_direct(step) || branch_target(step) != block.steps.front().offset)
    return 0;
  const std::int64_t behind = step.offset + step.insn.length;
  if (branch && (!in_page(behind) || leaves_page(behind))) return 0;
  const auto from_start = [&](const Step& each) {
    return each.offset == block.steps.front().offset;
  };
  const auto rounds = static_cast<std::size_t>(std::ranges::count_if(block.steps, from_start));
  const auto called = [](const Step& each) { return each.kind == Kind::kInterpret; };
  const auto looks = [](const Step& each) { return each.has_memory && each.memory_size != 0; };
  const std::size_t length = (block.steps.size() + 1) / rounds;
  const bool pays = length <= Superblock::kShortLoop && std::ranges::any_of(block.steps, looks);
  const std::size_t most = pays ? Superblock::kMaxLoopSteps : Superblock::kMaxSteps - 1;
  const bool fits = rounds < Superblock::kMaxRounds && length * (rounds + 1) <= most;
  return fits && std::ranges::none_of(block.steps, called) ? length : 0;
}

void SuperblockReader::collect(Superblock& block, std::uint16_t offset, const Mode& mode) {
  block.first = block.last = offset;
  std::uint32_t at = offset;
  std::size_t most = Superblock::kMaxSteps;
  for (;;) {
    block.falls_through = true;
    block.next = static_cast<std::uint16_t>(at);
    if (at >= kPageSize || block.steps.size() >= most) return;
    Step step;
    step.offset = static_cast<std::uint16_t>(at);
    if (!decode(step.offset, step.insn)) return;
    if (narrow_ && !within_code(step)) return;
    classify(step, {mode.sse, mode.avx, mode.x87});
    if (narrow_) fit_to_segments(step);
    at += step.insn.length;
    block.first = std::min(block.first, step.offset);
    block.last = std::max(block.last, static_cast<std::uint16_t>(at - 1));
    // Otherwise only forward: where control goes back, events have to be looked for.
    const std::size_t round = mode.careful || block.steps.empty() ? 0 : round_again(block, step);
    const bool around = round != 0;
    const bool jump = step.kind == Kind::kJump && is_direct(step) && in_page(branch_target(step)) &&
                      (around || branch_target(step) >= at);
    if (around) most = std::max(most, block.steps.size() + 1 + round);
    if (around || jump) at = static_cast<std::uint32_t>(branch_target(step));
    step.taken_inside = around && !jump;
    if (jump) step.kind = Kind::kNothing;
    const bool ends = !jump && ends_block(step), loses = loses_stack(step);
    block.steps.push_back(std::move(step));
    block.next = static_cast<std::uint16_t>(at);
    if (ends) {
      block.falls_through = block.steps.back().kind == Kind::kInterpret;
      return;
    }
    if (loses) return;
  }
}

/// Which flags somebody may ask for who starts at the offset. Looks a few instructions ahead.
std::uint16_t SuperblockReader::live_at(std::uint64_t offset) {
  if (exact_flags_ || offset >= kPageSize) return kAllFlags;
  for (const auto& [place, known] : known_live_)
    if (place == offset) return known;
  std::uint16_t live = 0, open = kAllFlags;  // `open`: not overwritten so far
  std::uint64_t at = offset;
  for (int i = 0; i < 8 && open != 0; ++i) {
    Step step;
    if (at >= kPageSize || !decode(static_cast<std::uint16_t>(at), step.insn)) break;
    live |= static_cast<std::uint16_t>(step.insn.effects.flags_read & open);
    open &= static_cast<std::uint16_t>(~step.insn.effects.flags_killed);
    if (!goes_on(step)) break;
    at += step.insn.length;
  }
  live |= open;
  known_live_.emplace_back(offset, live);
  return live;
}

std::uint16_t SuperblockReader::live_at_target(const Step& step) {
  if (!is_direct(step) || !in_page(exit_target(step))) return kAllFlags;
  return live_at(static_cast<std::uint64_t>(exit_target(step)));
}

void SuperblockReader::find_live_flags(Superblock& block) {
  std::uint16_t live = block.falls_through ? live_at(block.next) : kAllFlags;
  for (auto step = block.steps.rbegin(); step != block.steps.rend(); ++step) {
    if (exact_flags_) live = kAllFlags;
    const x86::Effects& effects = step->insn.effects;
    const auto mask = [](unsigned bits) { return static_cast<std::uint16_t>(bits); };
    switch (step->kind) {
      case Kind::kBranch:
        live |= live_at_target(*step);
        step->flags_live = live;
        step->flags_used = mask(effects.flags_read | live);
        break;
      case Kind::kCall:
      case Kind::kJump:
        live = live_at_target(*step);
        step->flags_live = step->flags_used = live;
        break;
      case Kind::kReturn:
        step->flags_live = step->flags_used = live = kAllFlags;
        break;
      default: {
        if (step->kind == Kind::kInterpret && (ends_block(*step) || is_direct(*step))) {
          step->flags_live = step->flags_used = live = kAllFlags;  // it may branch
          break;
        }
        step->flags_live = live;
        const std::uint16_t kept = mask(live & ~effects.flags_killed);
        step->flags_used = mask(effects.flags_read | (step->defines_flags() ? kept : 0u));
        live = mask(kept | effects.flags_read);
        break;
      }
    }
    if (step->kind == Kind::kBranch) live = mask(live | effects.flags_read);
  }
  block.flags_live_at_entry = live != 0 && !exact_flags_;
}

Superblock SuperblockReader::read_across(std::uint16_t offset, const Mode& mode,
                                         std::uint64_t page_address) {
  narrow_ = mode.narrow;
  page_address_ = page_address;
  Superblock block;
  Step step;
  step.offset = offset;
  const auto status = look(code_, offset, step.insn);
  if (status != x86::DecodeStatus::kOk || offset + step.insn.length <= kPageSize) return block;
  if (narrow_ && !within_code(step)) return block;
  classify(step, {mode.sse, mode.avx, mode.x87});
  if (narrow_) fit_to_segments(step);
  block.first = offset;
  block.next = static_cast<std::uint16_t>(offset + step.insn.length);
  block.last = static_cast<std::uint16_t>(block.next - 1);
  block.falls_through = !ends_block(step) || step.kind == Kind::kInterpret;
  block.steps.push_back(std::move(step));
  note_pages(block);
  find_live_flags(block);
  block.seen_first = seen_first_;
  block.seen_last = seen_last_;
  return block;
}

Superblock SuperblockReader::read(std::uint16_t offset, const Mode& mode,
                                  std::uint64_t page_address, Superblock into) {
  narrow_ = mode.narrow;
  page_address_ = page_address;
  Superblock block;
  block.steps = std::move(into.steps);
  block.steps.clear();
  collect(block, offset, mode);
  note_pages(block);
  find_live_flags(block);
  const bool host_stack = !narrow_ || narrow_.flat_stack();
  if (!mode.careful && host_stack) find_stack_span(block, narrow_);
  block.seen_first = seen_first_;
  block.seen_last = seen_last_;
  return block;
}

}  // namespace vireo::engine::translator
