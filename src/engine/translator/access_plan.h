#pragma once
#include <cstdint>
#include <span>

#include "engine/translator/superblock.h"

namespace vireo::engine::translator {

/// Lets memory accesses of a superblock that lie at known distances from each other share one look
/// into the TLB: the first asks for the span of all and remembers the way to the host's memory,
/// the others go there. What one span holds has one base register, whatever constants were added to
/// it in between, or one page. A span that leaves its page, or is not what the first finds, is for
/// careful code: see Mode::careful.
///
/// The permission to write is asked for where the first write is sure to follow, so that a page
/// that is only read is not taken for one that may not be.
///
/// `alone`: page offsets of instructions that are to have a look of their own.
void plan_accesses(Superblock& block, std::span<const std::uint16_t> alone);

}  // namespace vireo::engine::translator
