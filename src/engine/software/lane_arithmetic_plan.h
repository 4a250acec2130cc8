#pragma once
#include <Zydis/Zydis.h>

#include <span>

#include "engine/software/lane_arithmetic.h"

namespace vireo::engine {

/// The arithmetic of an instruction whose result has `lanes` floating-point lanes of `result_bits`;
/// of no kind where a lane cannot overflow or underflow.
LaneArithmetic plan_lanes(const ZydisDecodedInstruction& insn,
                          std::span<const ZydisDecodedOperand> operands, unsigned result_bits,
                          unsigned lanes);

}  // namespace vireo::engine
