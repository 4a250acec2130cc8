#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// Integer instructions in all their operand forms, locked ones included: arithmetic, exchanges,
/// shifts, multiplication and division, bit operations, moves, BMI and decimal adjustment.
std::span<const HandlerRow> integer_handlers();
std::span<const HandlerRow> bit_handlers();
std::span<const HandlerRow> decimal_handlers();
/// PUSH, POP, PUSHA, POPA, ENTER, LEAVE of everything but segment registers and flags.
std::span<const HandlerRow> stack_handlers();
/// Near JMP, Jcc, CALL, RET, LOOP and JCXZ.
std::span<const HandlerRow> branch_handlers();
/// MOVS, STOS, LODS, CMPS, SCAS, INS and OUTS. A repeated one may stop before it is finished, with
/// RIP at itself, so that interrupts get their turn. With EFLAGS.TF set it stops after each
/// element.
std::span<const HandlerRow> string_handlers();
/// IN, OUT, HLT, flag instructions, hints, fences, BOUND, XLAT, UD.
std::span<const HandlerRow> miscellaneous_handlers();

}  // namespace vireo::x86
