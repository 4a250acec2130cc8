#pragma once
#include <cstddef>
#include <cstdint>

namespace vireo::engine::direct {

/// How many bytes insn_length() may read.
inline constexpr std::size_t kInsnLookahead = 24;

/// Whether the byte is a legacy prefix or a REX prefix in 64-bit code. SDM vol. 2A, 2.1.1, 2.2.1.
bool is_insn_prefix(std::uint8_t byte);

/// The length of the instruction of 64-bit code that begins at `bytes`, from 1 to 15: exact for
/// those that exist (but for SSE4a's with two immediates), and some length for other bytes. A small
/// part of the work of decoding it. `bytes` has kInsnLookahead bytes. SDM vol. 2D, appendix A.
std::size_t insn_length(const std::uint8_t* bytes);

}  // namespace vireo::engine::direct
