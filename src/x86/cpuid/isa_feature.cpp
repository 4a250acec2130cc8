#include "x86/cpuid/isa_feature.h"

#include <optional>

namespace vireo::x86 {
namespace {

constexpr IsaRule kAlways{};
constexpr IsaRule kNop{IsaRule::Kind::kNop};
constexpr IsaRule kNever{IsaRule::Kind::kNever};

constexpr IsaRule needs(Feature feature, Feature also = Feature::kFpu) {
  return {IsaRule::Kind::kFeature, feature, also};
}

IsaRule vector_rule(ZydisISASet isa_set) {
  switch (isa_set) {
    case ZYDIS_ISA_SET_PENTIUMMMX:
      return needs(Feature::kMmx);
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
      return needs(Feature::kSse);
    case ZYDIS_ISA_SET_SSE2:
      return needs(Feature::kSse2);
    case ZYDIS_ISA_SET_SSE2MMX:
      return needs(Feature::kSse2, Feature::kMmx);
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
      return needs(Feature::kSse3);
    case ZYDIS_ISA_SET_SSSE3:
      return needs(Feature::kSsse3);
    case ZYDIS_ISA_SET_SSSE3MMX:
      return needs(Feature::kSsse3, Feature::kMmx);
    case ZYDIS_ISA_SET_SSE4:
      return needs(Feature::kSse41);
    case ZYDIS_ISA_SET_SSE42:
      return needs(Feature::kSse42);
    case ZYDIS_ISA_SET_AES:
      return needs(Feature::kAes);
    case ZYDIS_ISA_SET_PCLMULQDQ:
      return needs(Feature::kPclmulqdq);
    case ZYDIS_ISA_SET_SHA:
      return needs(Feature::kSha);
    case ZYDIS_ISA_SET_AVX:
      return needs(Feature::kAvx);
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
      return needs(Feature::kAvx2);
    case ZYDIS_ISA_SET_AVXAES:
      return needs(Feature::kAes, Feature::kAvx);
    case ZYDIS_ISA_SET_F16C:
      return needs(Feature::kF16c);
    case ZYDIS_ISA_SET_FMA:
      return needs(Feature::kFma);
    default:  // AVX-512, AMX, 3DNow!, XOP, FMA4, VMX, SVM, TSX, SGX, ...
      return kNever;
  }
}

IsaRule system_rule(ZydisISASet isa_set) {
  switch (isa_set) {
    case ZYDIS_ISA_SET_AMD:  // SYSCALL and SYSRET outside 64-bit mode
      return needs(Feature::kSyscall);
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_FXSAVE64:
      return needs(Feature::kFxsr);
    case ZYDIS_ISA_SET_XSAVE:
      return needs(Feature::kXsave);
    case ZYDIS_ISA_SET_XSAVEC:
      return needs(Feature::kXsavec);
    case ZYDIS_ISA_SET_XSAVEOPT:
      return needs(Feature::kXsaveopt);
    case ZYDIS_ISA_SET_XSAVES:
      return needs(Feature::kXsaves);
    case ZYDIS_ISA_SET_INVPCID:
      return needs(Feature::kInvpcid);
    case ZYDIS_ISA_SET_MONITOR:
      return needs(Feature::kMonitor);
    case ZYDIS_ISA_SET_PKU:
      return needs(Feature::kPku);
    case ZYDIS_ISA_SET_RDPID:
      return needs(Feature::kRdpid);
    case ZYDIS_ISA_SET_RDTSCP:
      return needs(Feature::kRdtscp);
    case ZYDIS_ISA_SET_RDWRFSGS:
      return needs(Feature::kFsgsbase);
    case ZYDIS_ISA_SET_SMAP:
      return needs(Feature::kSmap);
    case ZYDIS_ISA_SET_CLFSH:
      return needs(Feature::kClflush);
    case ZYDIS_ISA_SET_CLFLUSHOPT:
      return needs(Feature::kClflushopt);
    case ZYDIS_ISA_SET_CLWB:
      return needs(Feature::kClwb);
    default:
      return vector_rule(isa_set);
  }
}

IsaRule integer_rule(ZydisISASet isa_set) {
  switch (isa_set) {
    case ZYDIS_ISA_SET_ADOX_ADCX:
      return needs(Feature::kAdx);
    case ZYDIS_ISA_SET_BMI1:
      return needs(Feature::kBmi1);
    case ZYDIS_ISA_SET_BMI2:
      return needs(Feature::kBmi2);
    case ZYDIS_ISA_SET_CMOV:
      return needs(Feature::kCmov);
    case ZYDIS_ISA_SET_FCMOV:
      return needs(Feature::kFpu, Feature::kCmov);
    case ZYDIS_ISA_SET_CMPXCHG16B:
      return needs(Feature::kCx16);
    case ZYDIS_ISA_SET_LAHF:
      return {IsaRule::Kind::kFeature, Feature::kLahf, Feature::kLahf, true};
    case ZYDIS_ISA_SET_LZCNT:
      return {IsaRule::Kind::kLegacy, Feature::kAbm, Feature::kAbm};
    case ZYDIS_ISA_SET_MOVBE:
      return needs(Feature::kMovbe);
    case ZYDIS_ISA_SET_POPCNT:
      return needs(Feature::kPopcnt);
    case ZYDIS_ISA_SET_RDRAND:
      return needs(Feature::kRdrand);
    case ZYDIS_ISA_SET_RDSEED:
      return needs(Feature::kRdseed);
    case ZYDIS_ISA_SET_X87:
      return needs(Feature::kFpu);
    default:
      return system_rule(isa_set);
  }
}

/// Instructions on MMX registers that came with SSE and stand among MMX's or SSE's, and those of
/// SSE2's that have one. SDM vol. 1, 5.5.3, 5.5.4 and 5.6.3.
std::optional<IsaRule> mmx_rule(ZydisISASet isa_set, ZydisMnemonic mnemonic) {
  const bool mmx = isa_set == ZYDIS_ISA_SET_PENTIUMMMX, sse = isa_set == ZYDIS_ISA_SET_SSE;
  if (!mmx && !sse && isa_set != ZYDIS_ISA_SET_SSE2) return std::nullopt;
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MOVNTQ:
    case ZYDIS_MNEMONIC_PAVGB:
    case ZYDIS_MNEMONIC_PAVGW:
    case ZYDIS_MNEMONIC_PEXTRW:
    case ZYDIS_MNEMONIC_PINSRW:
    case ZYDIS_MNEMONIC_PMAXSW:
    case ZYDIS_MNEMONIC_PMAXUB:
    case ZYDIS_MNEMONIC_PMINSW:
    case ZYDIS_MNEMONIC_PMINUB:
    case ZYDIS_MNEMONIC_PMOVMSKB:
    case ZYDIS_MNEMONIC_PMULHUW:
    case ZYDIS_MNEMONIC_PSADBW:
    case ZYDIS_MNEMONIC_PSHUFW:
      if (!mmx && !sse) return std::nullopt;  // those of SSE2 are on XMM registers
      return needs(Feature::kSse, Feature::kMmx);
    case ZYDIS_MNEMONIC_CVTPI2PS:
    case ZYDIS_MNEMONIC_CVTPS2PI:
    case ZYDIS_MNEMONIC_CVTTPS2PI:
      return needs(Feature::kSse, Feature::kMmx);
    case ZYDIS_MNEMONIC_CVTPI2PD:
    case ZYDIS_MNEMONIC_CVTPD2PI:
    case ZYDIS_MNEMONIC_CVTTPD2PI:
    case ZYDIS_MNEMONIC_MOVDQ2Q:
    case ZYDIS_MNEMONIC_MOVQ2DQ:
      return needs(Feature::kSse2, Feature::kMmx);
    default:
      return std::nullopt;
  }
}

}  // namespace

IsaRule isa_rule(ZydisISASet isa_set) {
  switch (isa_set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_RDPMC:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
      return kAlways;
    // In the space of reserved NOPs and of prefetches, which CPUs without the extension ignore.
    case ZYDIS_ISA_SET_MPX:
    case ZYDIS_ISA_SET_CLDEMOTE:
    case ZYDIS_ISA_SET_PREFETCHWT1:
      return kNop;
    default:
      return integer_rule(isa_set);
  }
}

IsaRule isa_rule(ZydisISASet isa_set, ZydisMnemonic mnemonic) {
  if (const auto rule = mmx_rule(isa_set, mnemonic)) return *rule;
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_RDSSPD:
    case ZYDIS_MNEMONIC_RDSSPQ:
      return kNop;
    case ZYDIS_MNEMONIC_TZCNT:
      if (isa_set != ZYDIS_ISA_SET_BMI1) return kNever;
      return {IsaRule::Kind::kLegacy, Feature::kBmi1, Feature::kBmi1};
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
      return needs(Feature::kSep);
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
      return needs(Feature::kSyscall);
    case ZYDIS_MNEMONIC_VMCALL:  // the guest's way to call its monitor, whatever the processor
    case ZYDIS_MNEMONIC_VMMCALL:
      return kAlways;
    case ZYDIS_MNEMONIC_FCOMI:
    case ZYDIS_MNEMONIC_FCOMIP:
    case ZYDIS_MNEMONIC_FUCOMI:
    case ZYDIS_MNEMONIC_FUCOMIP:
      return needs(Feature::kFpu, Feature::kCmov);
    case ZYDIS_MNEMONIC_RDTSC:
      return needs(Feature::kTsc);
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_WRMSR:
      return needs(Feature::kMsr);
    case ZYDIS_MNEMONIC_CMPXCHG8B:
      return needs(Feature::kCx8);
    case ZYDIS_MNEMONIC_VPCLMULQDQ:
      return isa_set == ZYDIS_ISA_SET_AVX ? needs(Feature::kPclmulqdq, Feature::kAvx)
                                          : isa_rule(isa_set);
    default:
      return isa_rule(isa_set);
  }
}

}  // namespace vireo::x86
