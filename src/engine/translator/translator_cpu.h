#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/software/cpu.h"
#include "engine/translator/segment_slots.h"
#include "engine/translator/shortcuts.h"
#include "engine/translator/superblock.h"

namespace vireo::engine::translator {

class TranslatorVcpu;
struct Translation;

/// A virtual CPU as translated code sees it: GS points into it, so that code is the same for every
/// vCPU. While translated code runs, the guest's general registers are in the host's, except R10
/// and R11, which stay in `state`; RSP holds the guest's stack pointer plus `stack_delta`.
struct alignas(kPageSize) TranslatorCpu final : Cpu {
  /// Indirect branches find their code by a hash of the target, in a half of the tables for
  /// supervisor and one for user code.
  static constexpr std::size_t kBranchEntries = 65536;
  static std::size_t branch_hash(std::uint64_t target) {
    return static_cast<std::uint16_t>(__builtin_ia32_crc32di(0, target));
  }
  /// Where pages of code are mapped, in halves alike. A page has its home, a number, as long as
  /// anything is known of it; what stands there is its linear address as branches of that privilege
  /// find it, negated, or kNowhere.
  static constexpr std::size_t kHomes = 16384;
  static constexpr std::uint64_t kNowhere = 1;
  static constexpr std::uint32_t kNobodysHome = 0;  ///< always nowhere
  /// A stack window reaches this many bytes up from `stack_window`.
  static constexpr std::size_t kWindowSize = kPageSize;

  std::uint64_t host_rsp = 0;        ///< the monitor's stack while translated code runs
  std::uint64_t rsp = 0;             ///< RSP in host form while the monitor's code runs
  std::uint64_t stack_delta = 0;     ///< RSP in host form - the guest's RSP
  std::uint64_t negative_delta = 0;  ///< the same, negated
  std::uint64_t code_base = 0;       ///< RIP - tag, for code that does not know where it runs
  std::uint64_t resume = 0;          ///< where translated code goes on
  std::uint64_t miss_address = 0;    ///< linear address of an access that missed
  std::uint64_t target = 0;          ///< of an indirect branch in the making
  std::uint32_t branch_site = 0;     ///< of the last indirect branch: its target may be no address
  std::uint64_t scratch = 0;         ///< for one register, for a few instructions
  std::array<std::uint64_t, Superblock::kMaxLooks> looks{};  ///< host address - linear address
  std::uint64_t exit = 0;  ///< what translated code was left for: an exit's number, or
  static constexpr std::uint64_t kIndirect = ~0ull, kEvent = ~0ull - 1;
  TranslatorCpu* self = this;
  bool vectors_loaded = false;  ///< the guest's vector registers are in the host's
  bool vectors_wanted = false;  ///< they are to be when translated code goes on
  /// The guest's x87 and MMX registers are in the host's, and FpuState's control and status words
  /// true only in the monitor's code: see HostX87, which keeps this.
  bool x87_loaded = false;
  std::array<const void*, 2 * kBranchEntries> branch_code{};
  std::array<const void*, 2 * kBranchEntries> branch_code_saved{};  ///< with flags in `flags`
  std::array<Translation*, 2 * kBranchEntries> branch_to{};         ///< null: none
  std::array<std::uint64_t, 2 * kHomes> page_home;
  SegmentSlots segment_slots;
  Shortcuts shortcuts;
  bool warm = false;          ///< the block at RIP has run often enough to be translated
  bool perhaps_made = false;  ///< another vCPU may have translated the block at RIP
  TranslatorVcpu* translator = nullptr;
  alignas(kPageSize) std::array<std::byte, kPageSize> nobodys_page{};

  TranslatorCpu() {
    // SAFETY: an address is made from the pointer; translated code uses it as one.
    stack_window = no_window = reinterpret_cast<std::uint64_t>(nobodys_page.data());
    page_home.fill(kNowhere);
  }
};

// Offsets from GS. Cpu is not of standard layout; Clang and GCC lay it out as they would one.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winvalid-offsetof"
#define VIREO_CPU_OFFSET(member)                                                            \
  (static_cast<std::size_t>(offsetof(::vireo::engine::translator::TranslatorCpu, member)) - \
   ::vireo::engine::translator::at::kOrigin)
namespace at {
/// What GS points to, from the start of the vCPU: the user's TLB, whose entries programs look at
/// all the time, so that a displacement of one byte is enough.
inline constexpr std::size_t kOrigin = static_cast<std::size_t>(offsetof(TranslatorCpu, tlbs)) +
                                       static_cast<std::size_t>(TlbIndex::kUser) * sizeof(Tlb);
inline constexpr std::size_t kGpr = VIREO_CPU_OFFSET(state.gpr);
inline constexpr std::size_t kRflags = VIREO_CPU_OFFSET(state.rflags);
inline constexpr std::size_t kSegments = VIREO_CPU_OFFSET(state.segment);
inline constexpr std::size_t kFpu = VIREO_CPU_OFFSET(state.fpu);
inline constexpr std::size_t kFlags = VIREO_CPU_OFFSET(flags);
inline constexpr std::size_t kEvents = VIREO_CPU_OFFSET(events);
inline constexpr std::size_t kTlbs = VIREO_CPU_OFFSET(tlbs);
inline constexpr std::size_t kHostRsp = VIREO_CPU_OFFSET(host_rsp);
inline constexpr std::size_t kRsp = VIREO_CPU_OFFSET(rsp);
inline constexpr std::size_t kStackDelta = VIREO_CPU_OFFSET(stack_delta);
inline constexpr std::size_t kNegativeDelta = VIREO_CPU_OFFSET(negative_delta);
inline constexpr std::size_t kWindow = VIREO_CPU_OFFSET(stack_window);
inline constexpr std::size_t kCodeBase = VIREO_CPU_OFFSET(code_base);
inline constexpr std::size_t kResume = VIREO_CPU_OFFSET(resume);
inline constexpr std::size_t kMissAddress = VIREO_CPU_OFFSET(miss_address);
inline constexpr std::size_t kTarget = VIREO_CPU_OFFSET(target);
inline constexpr std::size_t kBranchSite = VIREO_CPU_OFFSET(branch_site);
inline constexpr std::size_t kScratch = VIREO_CPU_OFFSET(scratch);
inline constexpr std::size_t kLooks = VIREO_CPU_OFFSET(looks);
inline constexpr std::size_t kExit = VIREO_CPU_OFFSET(exit);
inline constexpr std::size_t kSelf = VIREO_CPU_OFFSET(self);
inline constexpr std::size_t kVectorsLoaded = VIREO_CPU_OFFSET(vectors_loaded);
inline constexpr std::size_t kVectorsWanted = VIREO_CPU_OFFSET(vectors_wanted);
inline constexpr std::size_t kX87Loaded = VIREO_CPU_OFFSET(x87_loaded);
inline constexpr std::size_t kBranchCode = VIREO_CPU_OFFSET(branch_code);
inline constexpr std::size_t kBranchCodeSaved = VIREO_CPU_OFFSET(branch_code_saved);
inline constexpr std::size_t kPageHome = VIREO_CPU_OFFSET(page_home);
inline constexpr std::size_t kSegmentSlots = VIREO_CPU_OFFSET(segment_slots);
inline constexpr std::size_t kTranslator = VIREO_CPU_OFFSET(translator);

inline constexpr std::size_t branch_half(bool user) {
  return user ? 8 * TranslatorCpu::kBranchEntries : 0;
}
inline constexpr std::size_t page_home(bool user, std::uint32_t home) {
  return kPageHome + std::size_t{8} * (home + (user ? TranslatorCpu::kHomes : 0));
}
inline constexpr std::size_t look(unsigned n) { return kLooks + std::size_t{8} * n; }
inline constexpr std::size_t gpr(unsigned n) { return kGpr + std::size_t{8} * n; }
inline constexpr std::size_t segment_base(unsigned s) {
  return kSegments + s * sizeof(x86::Segment) + offsetof(x86::Segment, base);
}
inline constexpr std::size_t xmm(unsigned n) {
  return kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, xmm) + 16 * n);
}
inline constexpr std::size_t ymm_high(unsigned n) {
  return kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, ymm_high) + 16 * n);
}
inline constexpr std::size_t kMxcsr =
    kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, mxcsr));
inline constexpr std::size_t kX87Control =
    kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, control));
inline constexpr std::size_t kX87Status =
    kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, status));
inline constexpr std::size_t kX87Instruction =
    kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, instruction_pointer));
inline constexpr std::size_t kX87Operand =
    kFpu + static_cast<std::size_t>(offsetof(x86::FpuState, data_pointer));
inline constexpr std::size_t segment_slot(std::size_t place, std::size_t member) {
  return kSegmentSlots + place * sizeof(SegmentSlots::Slot) + member;
}
inline constexpr std::size_t tlb(TlbIndex index, std::size_t member) {
  return kTlbs + static_cast<std::size_t>(index) * sizeof(Tlb) + member;
}
}  // namespace at
#undef VIREO_CPU_OFFSET
#pragma clang diagnostic pop

}  // namespace vireo::engine::translator
