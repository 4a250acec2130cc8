#include "x86/delivery/segment_rules.h"

#include "x86/semantics/operands.h"

namespace vireo::x86 {

Segment real_mode_segment(const Segment& old, SegmentIndex index, std::uint16_t selector) {
  const std::uint32_t type = index == kCs ? 0x9b : 0x93;
  const std::uint32_t size = old.usable() ? old.access & 0xf000 : 0;
  return Segment{selector, size | type, old.usable() ? old.limit : 0xffff,
                 std::uint64_t{selector} << 4};
}

Segment flat_code_segment(std::uint16_t selector, unsigned dpl, bool is_long) {
  const std::uint32_t size = is_long ? Segment::kLong : Segment::kBig;
  return Segment{selector, 0x9b | dpl << 5 | Segment::kGranular | size, 0xffffffff, 0};
}

Segment flat_stack_segment(std::uint16_t selector, unsigned dpl) {
  return Segment{selector, 0x93 | dpl << 5 | Segment::kGranular | Segment::kBig, 0xffffffff, 0};
}

OrFault<> check_code_offset(const CpuState& state, const Segment& cs, std::uint64_t rip,
                            bool external) {
  const bool good = is_code64(state, cs) ? canonical(state, rip) : rip <= cs.limit;
  if (!good) return general_protection(external ? 1 : 0);
  return Unit{};
}

OrFault<Segment> stack_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                               unsigned cpl, Raise raise) {
  if (is_null(selector)) return raise.at(0);
  Descriptor descriptor = TRY(read_descriptor(state, port, selector, raise));
  if ((selector & 3) != cpl || descriptor.dpl() != cpl || !descriptor.writable_data())
    return raise.at(selector);
  if (!descriptor.present()) return raise.stack_not_present(selector);
  TRY(mark_accessed(port, descriptor));
  return descriptor.segment(selector);
}

OrFault<Segment> data_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                              Raise raise) {
  if (is_null(selector)) return null_segment(selector);
  Descriptor descriptor = TRY(read_descriptor(state, port, selector, raise));
  if (!descriptor.readable()) return raise.at(selector);
  const unsigned rpl = selector & 3;
  if (!descriptor.conforming() && (rpl > descriptor.dpl() || state.cpl() > descriptor.dpl()))
    return raise.at(selector);
  if (!descriptor.present()) return raise.not_present(selector);
  TRY(mark_accessed(port, descriptor));
  return descriptor.segment(selector);
}

OrFault<Segment> return_code_segment(const CpuState& state, CpuPort& port, std::uint16_t selector) {
  const Raise raise;
  if (is_null(selector)) return raise.at(0);
  Descriptor descriptor = TRY(read_descriptor(state, port, selector, raise));
  const unsigned rpl = selector & 3;
  if (!descriptor.code() || rpl < state.cpl() || reserved_code_size(state, descriptor))
    return raise.at(selector);
  if (descriptor.conforming() ? descriptor.dpl() > rpl : descriptor.dpl() != rpl)
    return raise.at(selector);
  if (!descriptor.present()) return raise.not_present(selector);
  TRY(mark_accessed(port, descriptor));
  return descriptor.segment(selector);
}

OrFault<Segment> return_stack_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                      const Segment& cs) {
  if (is_null(selector) && is_code64(state, cs) && cs.rpl() != 3)
    return null_segment(selector, cs.rpl());
  return stack_segment(state, port, selector, cs.rpl(), Raise{});
}

void drop_privileged_segments(CpuState& state) {
  for (const SegmentIndex index : {kEs, kDs, kFs, kGs}) {
    Segment& segment = state.segment[index];
    if (segment.usable() && (segment.dpl() >= state.cpl() || segment.conforming())) continue;
    segment.selector = 0;
    segment.access |= Segment::kUnusable;
  }
}

}  // namespace vireo::x86
