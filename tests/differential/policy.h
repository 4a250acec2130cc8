#pragma once
#include <Zydis/Zydis.h>

#include <optional>

#include "differential/stream.h"

namespace vireo::test {

/// The family of an instruction that can be compared between guest and host in user mode; empty if
/// it cannot: it talks to the system, or guest and host may rightly answer differently.
std::optional<Family> comparable(const ZydisDecodedInstruction& instruction,
                                 const ZydisDecodedOperand* operands);

}  // namespace vireo::test
