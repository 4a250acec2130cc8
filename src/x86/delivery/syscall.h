#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// SYSCALL, SYSRET, SYSENTER and SYSEXIT. SDM vol. 2B; vol. 3A, 5.8.7 and 5.8.8. SYSCALL and SYSRET
/// exist in 64-bit code only, unless CPUID tells the guest that it runs on an AMD processor: then
/// they work in compatibility and legacy modes as in AMD64 APM vol. 3, and SYSENTER and SYSEXIT
/// do not exist in IA-32e mode.
std::span<const HandlerRow> syscall_handlers();

}  // namespace vireo::x86
