#include "engine/interpreter/op.h"

#include "x86/semantics/operands.h"

namespace vireo::engine::interpreter {

void leave_before(const Op* op, Cpu* cpu) {
  cpu->counters.instructions -= op->remaining;
  cpu->state.rip = rip_at(cpu, op->offset);
}

void leave_after(const Op* op, Cpu* cpu) {
  cpu->counters.instructions -= op->remaining - 1u;
  cpu->state.rip = rip_at(cpu, std::uint64_t{op->offset} + op->length);
}

void leave_at_entry(const Op*, Cpu*) {}

bool general_address(const Op* op, Cpu* cpu, bool write, std::uint64_t& linear) {
  const x86::CpuState& state = cpu->state;
  const std::uint64_t offset = offset_of(op, cpu) & x86::width_mask(op->address_width);
  const x86::Segment& segment = state.segment[op->segment];
  if (state.code64()) {
    linear = op->segment >= x86::kFs ? segment.base + offset : offset;
    return true;  // whether it is canonical is looked at where it misses the TLB
  }
  // The common case in protected mode: a writable data segment that is large enough.
  constexpr std::uint32_t kMask = x86::Segment::kUnusable | x86::Segment::kCode |
                                  x86::Segment::kExpandDownOrConforming |
                                  x86::Segment::kWritableOrReadable;
  const std::uint64_t last = offset + (op->width ? op->width - 1u : 0u);
  const bool fits = last <= segment.limit || segment.limit == 0xffffffff;
  if ((segment.access & kMask) == x86::Segment::kWritableOrReadable && fits) {
    linear = (segment.base + offset) & 0xffffffff;
    return true;
  }
  const auto checked =
      x86::linear_address(state, static_cast<x86::SegmentIndex>(op->segment), offset, op->width,
                          write ? x86::Use::kWrite : x86::Use::kRead);
  if (!checked) {
    cpu->raise(checked.error());
    return false;
  }
  linear = value(*checked);
  return true;
}

}  // namespace vireo::engine::interpreter
