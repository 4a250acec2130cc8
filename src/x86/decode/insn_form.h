#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "x86/decode/insn.h"

namespace vireo::x86 {

/// Instructions that differ in nothing but the value of their displacement and of their immediate
/// are of one form. They begin with the same bytes; what differs stands at the end.
/// SDM vol. 2A, 2.1.

/// How many bytes all of the instruction's form begin with. 0: it has neither a displacement nor an
/// immediate, or they mean more than a number.
std::size_t form_length(const Insn& insn);

/// Makes of the instruction, whose form_length() is not 0, the one of its form that has these
/// bytes: as many as it is long, the first of which are the same.
void give_numbers(Insn& insn, std::span<const std::uint8_t> bytes);

/// MOV of an immediate to a whole register of 32 or 64 bits.
bool loads_constant(const Insn& insn);

}  // namespace vireo::x86
