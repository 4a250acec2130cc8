#pragma once
#include <cstdint>
#include <span>

#include "x86/decode/insn.h"
#include "x86/fault.h"
#include "x86/feature.h"

namespace vireo::x86 {

inline constexpr std::size_t kMaxInsnLength = 15;

enum class DecodeStatus : std::uint8_t {
  kOk,
  kNeedMoreBytes,  ///< the instruction goes on behind the end of `bytes`
  kUndefined,      ///< #UD: no such instruction, or one that the CPU model masks
  kTooLong,        ///< #GP(0): more than 15 bytes
};

/// Decodes the first instruction of `bytes` (at most 15 are looked at). Never reads elsewhere.
/// An instruction whose feature is not in `features` does not exist. Thread safe.
DecodeStatus decode(std::span<const std::uint8_t> bytes, CodeSize code_size,
                    const FeatureSet& features, Insn& insn);

}  // namespace vireo::x86
