#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// LAR, LSL, VERR, VERW and ARPL: they answer in ZF whether a descriptor could be used and fault
/// only for memory. #UD in real-address and virtual-8086 mode. SDM vol. 3A, 5.10.
std::span<const HandlerRow> descriptor_query_handlers();

}  // namespace vireo::x86
