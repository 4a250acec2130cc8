#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/descriptor.h"
#include "x86/delivery/stack_access.h"
#include "x86/fault.h"

namespace vireo::x86 {

// What segment registers become, and what may be loaded into CS and SS by transfers of control.
// Nothing here changes CpuState unless it takes it as non-const; accessed bits in memory are set.

/// A register loaded with a null selector.
constexpr Segment null_segment(std::uint16_t selector, unsigned dpl = 0) {
  return Segment{selector, Segment::kUnusable | dpl << 5, 0, 0};
}
/// Virtual-8086 mode. SDM vol. 3A, 20.2.1.
constexpr Segment virtual8086_segment(std::uint16_t selector) {
  return Segment{selector, 0xf3, 0xffff, std::uint64_t{selector} << 4};
}
/// Real-address mode: limit and size stay what they were.
Segment real_mode_segment(const Segment& old, SegmentIndex index, std::uint16_t selector);
/// The flat segments of SYSCALL, SYSENTER and their returns.
Segment flat_code_segment(std::uint16_t selector, unsigned dpl, bool is_long);
Segment flat_stack_segment(std::uint16_t selector, unsigned dpl);

/// `segment` with the RPL of its selector replaced.
constexpr Segment with_rpl(Segment segment, unsigned rpl) {
  segment.selector = static_cast<std::uint16_t>((segment.selector & 0xfffc) | rpl);
  return segment;
}

/// Whether code in this segment is 64-bit.
constexpr bool is_code64(const CpuState& state, const Segment& cs) {
  return state.long_mode() && cs.is_long();
}
constexpr StackMode stack_mode(const CpuState& state, const Segment& cs) {
  return is_code64(state, cs) ? StackMode::kFlat64 : StackMode::kSegmented;
}

/// L and D together are reserved in IA-32e mode.
constexpr bool reserved_code_size(const CpuState& state, const Descriptor& code) {
  return state.long_mode() && code.is_long() && code.big();
}

/// #GP(EXT) unless `rip` is inside the code segment, or canonical for 64-bit code.
OrFault<> check_code_offset(const CpuState& state, const Segment& cs, std::uint64_t rip,
                            bool external = false);

/// A stack segment for privilege level `cpl`: writable data with RPL and DPL equal to it.
OrFault<Segment> stack_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                               unsigned cpl, Raise raise);

/// What ES, DS, FS or GS becomes: null, or readable and not more privileged than CPL and RPL.
OrFault<Segment> data_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                              Raise raise);

/// The code segment of a far return or IRET: nothing more privileged. Its RPL is the new CPL.
OrFault<Segment> return_code_segment(const CpuState& state, CpuPort& port, std::uint16_t selector);
/// The stack segment that goes with it; it may be null for 64-bit code of CPL 0-2.
OrFault<Segment> return_stack_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                      const Segment& cs);

/// After a return to an outer level: ES, DS, FS and GS lose what that level may not use.
/// SDM vol. 3A, 5.8.6.
void drop_privileged_segments(CpuState& state);

}  // namespace vireo::x86
