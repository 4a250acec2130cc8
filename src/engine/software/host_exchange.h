#pragma once
#include <cstddef>
#include <span>

namespace vireo::engine {

/// Compare-and-exchange of 1, 2, 4, 8 or 16 bytes of guest memory in one step: if they are
/// `expected`, they become `desired` and the answer is true; else `expected` becomes what they are.
/// The bytes lie in one page, 16 of them aligned. Any thread.
///
/// Across a border of cache lines the host is never asked to lock: it would lock the buses of all
/// processors, and its system slows such programs down to a few locks a second or ends them (SDM
/// vol. 3A, 8.1.2.3). Two such exchanges are still one step for each other, and no other write to
/// the bytes is lost; but another processor may see one half without the other.
bool host_exchange(std::byte* host, std::span<std::byte> expected,
                   std::span<const std::byte> desired);

/// The same of 2, 4 or 8 bytes of which the first are the last of one page, from `host` on, and the
/// others the first of another, which begins at `second`.
bool host_exchange_across(std::byte* host, std::byte* second, std::span<std::byte> expected,
                          std::span<const std::byte> desired);

}  // namespace vireo::engine
