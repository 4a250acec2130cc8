#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// LGDT, LIDT, SGDT, SIDT, LLDT, SLDT, LTR and STR. SDM vol. 3A, 2.4 and 7.2.4. The stores are
/// #GP(0) outside CPL 0 when CR4.UMIP is set.
std::span<const HandlerRow> table_register_handlers();

}  // namespace vireo::x86
