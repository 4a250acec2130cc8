#include "differential/policy.h"

#include <algorithm>
#include <array>

#include "differential/vendors.h"
#include "support/silicon.h"

namespace vireo::test {
namespace {

// Answers depend on the machine (time, identity, descriptor tables, segment selectors), on where
// the instruction stands (x87 pointers), or the host kernel takes them for itself.
constexpr std::array kExcluded{
    ZYDIS_MNEMONIC_RDTSC,     ZYDIS_MNEMONIC_RDTSCP,   ZYDIS_MNEMONIC_RDPMC,
    ZYDIS_MNEMONIC_CPUID,     ZYDIS_MNEMONIC_XGETBV,   ZYDIS_MNEMONIC_XSETBV,
    ZYDIS_MNEMONIC_INT,       ZYDIS_MNEMONIC_INT1,     ZYDIS_MNEMONIC_INT3,
    ZYDIS_MNEMONIC_IRET,      ZYDIS_MNEMONIC_IRETD,    ZYDIS_MNEMONIC_IRETQ,
    ZYDIS_MNEMONIC_SYSCALL,   ZYDIS_MNEMONIC_SYSRET,   ZYDIS_MNEMONIC_SYSENTER,
    ZYDIS_MNEMONIC_SYSEXIT,   ZYDIS_MNEMONIC_LDS,      ZYDIS_MNEMONIC_LES,
    ZYDIS_MNEMONIC_LFS,       ZYDIS_MNEMONIC_LGS,      ZYDIS_MNEMONIC_LSS,
    ZYDIS_MNEMONIC_LAR,       ZYDIS_MNEMONIC_LSL,      ZYDIS_MNEMONIC_VERR,
    ZYDIS_MNEMONIC_VERW,      ZYDIS_MNEMONIC_SGDT,     ZYDIS_MNEMONIC_SIDT,
    ZYDIS_MNEMONIC_SLDT,      ZYDIS_MNEMONIC_SMSW,     ZYDIS_MNEMONIC_STR,
    ZYDIS_MNEMONIC_FXSAVE,    ZYDIS_MNEMONIC_FXSAVE64, ZYDIS_MNEMONIC_FXRSTOR,
    ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_FNSAVE,   ZYDIS_MNEMONIC_FNSTENV,
    ZYDIS_MNEMONIC_FRSTOR,    ZYDIS_MNEMONIC_FLDENV,   ZYDIS_MNEMONIC_MONITOR,
    ZYDIS_MNEMONIC_MWAIT,     ZYDIS_MNEMONIC_SWAPGS,   ZYDIS_MNEMONIC_RSM,
    ZYDIS_MNEMONIC_VMCALL,    ZYDIS_MNEMONIC_HLT,
};

bool touches_segment_register(const ZydisDecodedInstruction& instruction,
                              const ZydisDecodedOperand* operands) {
  for (unsigned i = 0; i < instruction.operand_count_visible; ++i)
    if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
      return true;
  return false;
}

}  // namespace

std::optional<Family> comparable(const ZydisDecodedInstruction& instruction,
                                 const ZydisDecodedOperand* operands) {
  if (std::find(kExcluded.begin(), kExcluded.end(), instruction.mnemonic) != kExcluded.end())
    return std::nullopt;
  if ((instruction.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) != 0) return std::nullopt;
  if (instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return std::nullopt;
  if (touches_segment_register(instruction, operands)) return std::nullopt;
  if (!intel_silicon() && vendors_differ(instruction, operands)) return std::nullopt;
  switch (instruction.meta.isa_set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_LAHF:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_BMI1:
    case ZYDIS_ISA_SET_BMI2:
    case ZYDIS_ISA_SET_LZCNT:
    case ZYDIS_ISA_SET_ADOX_ADCX:
    case ZYDIS_ISA_SET_MOVBE:
    case ZYDIS_ISA_SET_POPCNT:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
    case ZYDIS_ISA_SET_CMPXCHG16B:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_PPRO:
      return Family::kInteger;
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_PENTIUMMMX:
      return Family::kX87;
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_SHA:
      return Family::kSse;
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C:
      return Family::kAvx;
    default:
      return std::nullopt;
  }
}

}  // namespace vireo::test
