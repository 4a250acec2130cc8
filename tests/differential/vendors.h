#pragma once
#include <Zydis/Zydis.h>

namespace vireo::test {

/// Whether AMD's silicon may do something else than Intel's with it, flags that are undefined
/// aside: what prefixes without a meaning change, what is asked for first of two faults, what an
/// instruction that faults has done before.
bool vendors_differ(const ZydisDecodedInstruction& instruction,
                    const ZydisDecodedOperand* operands);

/// Whether flags that the manual calls undefined behind it are others on AMD's silicon: they may
/// even be those from before.
bool vendors_leave_other_flags(ZydisMnemonic mnemonic);

}  // namespace vireo::test
