#pragma once
#include <cstdint>

/// Where things lie in the little machine that tests run code in. Linear equals physical unless a
/// test changes the page tables. The assembler prelude of the conformance cases repeats these.
namespace vireo::test::layout {

inline constexpr std::uint64_t kRamSize = 8u << 20;

inline constexpr std::uint64_t kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kLdt = 0x6000;
/// 256 handlers of 16 bytes, each a HLT: where the CPU halts says which vector was delivered.
inline constexpr std::uint64_t kHandlers = 0x7000;
inline constexpr std::uint64_t kKernelStackTop = 0x9000, kIst1Top = 0xa000, kIst2Top = 0xb000;
inline constexpr std::uint64_t kTss2 = 0xb000;

inline constexpr std::uint64_t kCode = 0x10000, kData = 0x20000, kStack = 0x30000,
                               kStackTop = 0x38000, kExtra = 0x40000, kSegmentSize = 0x10000;

/// Page tables: the root, and one table for the first 2 MiB (4 MiB with 32-bit paging).
inline constexpr std::uint64_t kPageRoot = 0x50000, kPageDirectoryPointers = 0x51000,
                               kPageDirectory = 0x52000, kPageTable = 0x53000;

/// Pages with something special about them wherever there is paging.
inline constexpr std::uint64_t kHole = 0x80000, kReadOnly = 0x81000, kSupervisor = 0x82000,
                               kNoExecute = 0x83000, kSupervisorReadOnly = 0x84000;

// Selectors.
inline constexpr std::uint16_t kKernelCode64 = 0x08, kKernelData = 0x10, kUserCode32 = 0x1b,
                               kUserData = 0x23, kUserCode64 = 0x2b, kKernelCode32 = 0x30,
                               kKernelCode16 = 0x38, kKernelData16 = 0x40, kKernelStack16 = 0x48,
                               kTssSelector = 0x50, kLdtSelector = 0x60, kTss2Selector = 0x70;

}  // namespace vireo::test::layout
