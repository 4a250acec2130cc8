#pragma once
#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {

/// Whether the feature's instructions are carried out by the host's own, so that a guest can have
/// it only where the host does. All others Vireo implements itself.
bool needs_host(Feature feature);

/// What the host's own CPUID reports, whether or not Vireo would need it.
FeatureSet reported_by_host();

/// The parts of the register file that the host's system saves; 0 without XSAVE.
std::uint64_t host_xcr0();

/// Whether the x87 keeps no selectors of its last instruction and operand: leaf 7 EBX bit 13. Not a
/// feature that one can have or not: guests are told what all engines do on this host.
bool host_deprecates_fpu_selectors();

/// Whether the x87 notes the address of an operand only where there is an unmasked exception: leaf
/// 7 EBX bit 6. No feature either: guests are told it, for their user code may run natively. What
/// else executes the x87 notes every operand, which no program that reads the bit can mind.
bool host_notes_fpu_operand_at_exceptions_only();

/// Whose conventions the host's CPU follows; clones are sorted to the original.
Vendor host_vendor();

}  // namespace vireo::x86
