#include "engine/translator/narrow.h"

namespace vireo::engine::translator {
namespace {

/// As x86::linear_address() judges.
SegmentForm form_of(const x86::CpuState& state, unsigned index) {
  const x86::Segment& segment = state.segment[index];
  if (!segment.usable() || segment.expand_down()) return SegmentForm::kRefused;
  if (state.protected_mode() && !state.virtual8086()) {
    const bool good = index == x86::kCs ? segment.readable() : segment.writable();
    if (!good) return SegmentForm::kRefused;
  }
  if (segment.limit != 0xffffffff) return SegmentForm::kLimited;
  return static_cast<std::uint32_t>(segment.base) == 0 ? SegmentForm::kFlat : SegmentForm::kBased;
}

}  // namespace

Narrow narrow_of(const x86::CpuState& state) {
  const x86::Segment& cs = state.segment[x86::kCs];
  Narrow result;
  result.size = cs.big() ? x86::CodeSize::k32 : x86::CodeSize::k16;
  result.big_stack = state.segment[x86::kSs].big();
  for (unsigned i = 0; i < x86::kSegmentCount; ++i)
    result.forms = static_cast<std::uint16_t>(result.forms |
                                              static_cast<unsigned>(form_of(state, i)) << (2 * i));
  result.code_base = static_cast<std::uint32_t>(cs.base);
  result.code_limit = cs.limit;
  return result;
}

}  // namespace vireo::engine::translator
