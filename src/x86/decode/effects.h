#pragma once
#include <Zydis/Zydis.h>

#include "x86/decode/insn.h"

namespace vireo::x86 {

/// `operands` are all that the decoder found, hidden ones included.
Effects effects_of(const ZydisDecodedInstruction& source, const ZydisDecodedOperand* operands);

Layout layout_of(const ZydisDecodedInstruction& source);

}  // namespace vireo::x86
