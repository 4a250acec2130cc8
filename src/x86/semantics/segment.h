#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// Loads ES, SS, DS, FS or GS as MOV does, in every mode; #UD for CS. SDM vol. 3A, 3.4.3 and 5.6.
/// Unchanged on a fault. The shadow after a load of SS is the instruction's business.
OrFault<> load_segment(CpuState& state, CpuPort& port, SegmentIndex index, std::uint16_t selector);

/// MOV, PUSH and POP for the forms that have an operand of kind OperandKind::kSegment.
std::span<const HandlerRow> segment_move_handlers();

/// LDS, LES, LFS, LGS and LSS.
std::span<const HandlerRow> far_pointer_handlers();

}  // namespace vireo::x86
