#pragma once
#include <optional>

#include "x86/decode/decode_cache.h"
#include "x86/decode/insn.h"

namespace vireo::engine::translator {

/// The instruction of 64-bit code that does to registers, flags and an operand in memory what
/// `narrow`, decoded from 16- or 32-bit code, does. Its address is not the same: every memory
/// operand is [disp32], to be replaced. Empty: there is none.
std::optional<x86::Insn> long_form(const x86::Insn& narrow, x86::DecodeCache& decoder);

}  // namespace vireo::engine::translator
