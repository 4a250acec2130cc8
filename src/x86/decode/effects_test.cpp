#include "x86/decode/effects.h"

#include <gtest/gtest.h>

#include <vector>

#include "x86/cpu_state.h"
#include "x86/decode/decoder.h"
#include "x86/flags.h"

namespace vireo::x86 {
namespace {

using rflags::kArithmetic;
using rflags::kCf;
using rflags::kOf;
using rflags::kSf;
using rflags::kZf;

Insn decoded(const std::vector<std::uint8_t>& bytes, CodeSize size = CodeSize::k64) {
  FeatureSet everything;
  for (unsigned i = 0; i < static_cast<unsigned>(Feature::kCount); ++i)
    everything.set(static_cast<Feature>(i));
  Insn insn;
  EXPECT_EQ(decode(bytes, size, everything, insn), DecodeStatus::kOk);
  return insn;
}

Effects effects(const std::vector<std::uint8_t>& bytes) { return decoded(bytes).effects; }

Effects make(unsigned read, unsigned written, std::uint64_t flags_read, std::uint64_t flags_written,
             std::uint64_t flags_killed) {
  return {static_cast<std::uint16_t>(read), static_cast<std::uint16_t>(written),
          static_cast<std::uint16_t>(flags_read), static_cast<std::uint16_t>(flags_written),
          static_cast<std::uint16_t>(flags_killed)};
}

constexpr unsigned kA = 1 << kRax, kC = 1 << kRcx, kD = 1 << kRdx, kB = 1 << kRbx, kSp = 1 << kRsp,
                   kSi = 1 << kRsi, kDi = 1 << kRdi, k11 = 1 << 11;
constexpr std::uint64_t kAll6 = kArithmetic;

TEST(Effects, OfTheCommonForms) {
  EXPECT_EQ(effects({0x48, 0x01, 0xc8}), make(kA | kC, kA, 0, kAll6, kAll6));     // add rax, rcx
  EXPECT_EQ(effects({0x48, 0x11, 0xc8}), make(kA | kC, kA, kCf, kAll6, kAll6));   // adc rax, rcx
  EXPECT_EQ(effects({0x89, 0xc8}), make(kC, kA, 0, 0, 0));                        // mov eax, ecx
  EXPECT_EQ(effects({0x88, 0xc8}), make(kA | kC, kA, 0, 0, 0));                   // mov al, cl
  EXPECT_EQ(effects({0x88, 0xcc}), make(kA | kC, kA, 0, 0, 0));                   // mov ah, cl
  EXPECT_EQ(effects({0x66, 0x89, 0xc8}), make(kA | kC, kA, 0, 0, 0));             // mov ax, cx
  EXPECT_EQ(effects({0x8b, 0x04, 0x99}), make(kB | kC, kA, 0, 0, 0));             // [rcx+rbx*4]
  EXPECT_EQ(effects({0x48, 0x8d, 0x04, 0x99}), make(kB | kC, kA, 0, 0, 0));       // lea
  EXPECT_EQ(effects({0xff, 0xc0}), make(kA, kA, 0, kAll6 & ~kCf, kAll6 & ~kCf));  // inc eax
  EXPECT_EQ(effects({0x0f, 0x44, 0xc1}), make(kA | kC, kA, kZf, 0, 0));           // cmove eax, ecx
  EXPECT_EQ(effects({0x0f, 0x9f, 0xc0}), make(kA, kA, kZf | kSf | kOf, 0, 0));    // setg al
  EXPECT_EQ(effects({0x74, 0}), make(0, 0, kZf, 0, 0));                           // je
}

TEST(Effects, OfImplicitRegisters) {
  EXPECT_EQ(effects({0x53}), make(kB | kSp, kSp, 0, 0, 0));                         // push rbx
  EXPECT_EQ(effects({0x5b}), make(kSp, kB | kSp, 0, 0, 0));                         // pop rbx
  EXPECT_EQ(effects({0xc3}), make(kSp, kSp, 0, 0, 0));                              // ret
  EXPECT_EQ(effects({0xf3, 0xa4}), make(kC | kSi | kDi, kC | kSi | kDi, 0, 0, 0));  // rep movsb
  EXPECT_EQ(effects({0xaa}).gpr_read, kA | kDi);                                    // stosb
  EXPECT_EQ(effects({0xaa}).gpr_written, kDi);
  EXPECT_EQ(effects({0x48, 0xf7, 0xe3}).gpr_read, kA | kB);  // mul rbx
  EXPECT_EQ(effects({0x48, 0xf7, 0xe3}).gpr_written, kA | kD);
  EXPECT_EQ(effects({0xe2, 0}), make(kC, kC, 0, 0, 0));             // loop
  EXPECT_EQ(effects({0xd7}).gpr_read, kA | kB);                     // xlat
  EXPECT_EQ(effects({0x0f, 0xa2}).gpr_written, kA | kB | kC | kD);  // cpuid
  EXPECT_EQ(effects({0x0f, 0x05}).gpr_written, kC | k11);           // syscall
}

TEST(Effects, AShiftThatMayCountToZeroKillsNoFlag) {
  EXPECT_EQ(effects({0xd3, 0xe0}).flags_written, kAll6);  // shl eax, cl
  EXPECT_EQ(effects({0xd3, 0xe0}).flags_killed, 0);
  EXPECT_EQ(effects({0xc1, 0xe0, 5}).flags_killed, kAll6);           // shl eax, 5
  EXPECT_EQ(effects({0xc1, 0xe0, 0x20}), make(kA, kA, 0, 0, 0));     // shl eax, 32
  EXPECT_EQ(effects({0x48, 0xc1, 0xe0, 0x20}).flags_killed, kAll6);  // shl rax, 32
  EXPECT_EQ(effects({0xd1, 0xe0}).flags_killed, kAll6);              // shl eax, 1
  EXPECT_EQ(effects({0xc0, 0xd0, 9}).flags_killed, 0);               // rcl al, 9
  EXPECT_EQ(effects({0x0f, 0xa4, 0xc8, 0}).flags_written, 0);        // shld eax, ecx, 0
  EXPECT_EQ(effects({0x0f, 0xa5, 0xc8}).flags_killed, 0);            // shld eax, ecx, cl
}

TEST(Effects, RepeatedComparesAndSystemTransfersKillNoFlag) {
  EXPECT_EQ(effects({0xa6}).flags_killed, kAll6);         // cmpsb
  EXPECT_EQ(effects({0xf3, 0xa6}).flags_killed, 0);       // repe cmpsb
  EXPECT_EQ(effects({0xf2, 0xae}).flags_written, kAll6);  // repne scasb
  for (const std::vector<std::uint8_t>& bytes :
       {std::vector<std::uint8_t>{0x9d}, {0x48, 0xcf}, {0x9e}, {0x0f, 0x05}, {0xcd, 0x80}}) {
    EXPECT_EQ(effects(bytes).flags_read, kAll6);
    EXPECT_EQ(effects(bytes).flags_killed, 0);
  }
}

TEST(Effects, WhatIsUndefinedButMayStayIsWrittenAndNotKilled) {
  EXPECT_EQ(effects({0x0f, 0xa3, 0xc8}).flags_killed, kCf);                    // bt eax, ecx
  EXPECT_EQ(effects({0x0f, 0xbc, 0xc8}), make(kA | kC, kC, 0, kAll6, kZf));    // bsf ecx, eax
  EXPECT_EQ(effects({0xf7, 0xf3}), make(kA | kD | kB, kA | kD, 0, kAll6, 0));  // div ebx
  EXPECT_EQ(effects({0xc1, 0xc0, 5}).flags_killed, kCf);                       // rol eax, 5
}

TEST(Layout, SaysWhereTheBytesStand) {
  // lock add qword gs:[rbx+rcx*4+0x11223344], 0x55667788
  const Layout whole =
      decoded({0xf0, 0x65, 0x48, 0x81, 0x84, 0x8b, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55})
          .layout;
  EXPECT_EQ(whole.rex, 3);
  EXPECT_EQ(whole.vex, 0);
  EXPECT_EQ(whole.opcode, 3);
  EXPECT_EQ(whole.modrm, 4);
  EXPECT_EQ(whole.sib, 5);
  EXPECT_EQ(whole.displacement, 6);
  EXPECT_EQ(whole.displacement_size, 4);
  EXPECT_EQ(whole.immediate, 10);
  EXPECT_EQ(whole.immediate_size, 4);

  const Layout enter = decoded({0xc8, 1, 2, 3}).layout;
  EXPECT_EQ(enter.opcode, 0);
  EXPECT_EQ(enter.modrm, 0);
  EXPECT_EQ(enter.immediate, 1);
  EXPECT_EQ(enter.immediate_size, 3);

  const Layout moffs = decoded({0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8}).layout;  // mov rax, [moffs64]
  EXPECT_EQ(moffs.opcode, 1);
  EXPECT_EQ(moffs.displacement, 2);
  EXPECT_EQ(moffs.displacement_size, 8);
  EXPECT_EQ(moffs.immediate_size, 0);

  // vblendvps xmm0, xmm1, [rax+1], xmm2: the register stands in an immediate byte
  const Layout blend = decoded({0xc4, 0xe3, 0x71, 0x4a, 0x40, 0x01, 0x20}).layout;
  EXPECT_EQ(blend.vex, 1);
  EXPECT_EQ(blend.rex, 0);
  EXPECT_EQ(blend.opcode, 3);
  EXPECT_EQ(blend.modrm, 4);
  EXPECT_EQ(blend.displacement, 5);
  EXPECT_EQ(blend.immediate, 6);
  EXPECT_EQ(blend.immediate_size, 1);

  EXPECT_EQ(decoded({0xc5, 0xf8, 0x77}).layout.opcode, 2);  // vzeroupper
  EXPECT_EQ(decoded({0x66, 0x0f, 0x38, 0xdc, 0xc1}).layout.opcode, 3);
  EXPECT_EQ(decoded({0xeb, 0xfe}).layout.immediate, 1);  // jmp: the branch offset
}

}  // namespace
}  // namespace vireo::x86
