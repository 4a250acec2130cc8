#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// IRET, IRETD and IRETQ in every mode. SDM vol. 2A, IRET. They end the blocking of NMIs even if
/// they fault. RF of the popped image is in RFLAGS afterwards: an engine that clears RF with each
/// instruction does so before it calls the handler.
std::span<const HandlerRow> iret_handlers();

}  // namespace vireo::x86
