#pragma once
#include <Zydis/Zydis.h>

#include <cstdint>

#include "x86/feature.h"

namespace vireo::x86 {

/// Whether the instructions of one ISA extension exist on a CPU model.
struct IsaRule {
  enum class Kind : std::uint8_t {
    kAlways,   ///< on every model
    kFeature,  ///< only with `feature` and `also`; else #UD
    kLegacy,   ///< as kFeature, but without them the CPU ignores the mandatory prefix and executes
               ///< what the rest encodes: TZCNT is BSF, LZCNT is BSR
    kNop,      ///< a hint that no model has: no operation, its memory operand is not accessed
    kNever,    ///< no model has it: #UD
  };
  Kind kind = Kind::kAlways;
  Feature feature = Feature::kFpu;
  Feature also = Feature::kFpu;  ///< equal to `feature` or kFpu where one is enough
  bool only_in_64bit = false;    ///< outside 64-bit code the instruction always exists (LAHF)

  bool exists(const FeatureSet& features, bool code64) const {
    if (kind == Kind::kAlways || kind == Kind::kNop) return true;
    if (kind == Kind::kNever) return false;
    if (only_in_64bit && !code64) return true;
    return features.has(feature) && (also == Feature::kFpu || features.has(also));
  }
  bool operator==(const IsaRule&) const = default;
};

/// The rule of a whole ISA set as Zydis groups instructions
/// (ZydisDecodedInstruction::meta.isa_set).
IsaRule isa_rule(ZydisISASet isa_set);
/// The same for one instruction: some sets mix instructions of several CPUID features (TZCNT among
/// BMI1, ENDBR among CET, SYSENTER among the Pentium Pro's).
IsaRule isa_rule(ZydisISASet isa_set, ZydisMnemonic mnemonic);

}  // namespace vireo::x86
