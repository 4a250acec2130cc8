#include "engine/direct/sensitive_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/direct/insn_length.h"
#include "x86/cpuid/cpuid_model.h"
#include "x86/decode/decoder.h"

namespace vireo::engine::direct {
namespace {

using Code = std::vector<std::uint8_t>;
using PageBytes = std::array<std::byte, kPageSize>;
using x86::Feature;
using x86::FeatureSet;

/// What compilers make: prologues, loads, comparisons, calls, SSE, an epilogue.
const Code kPlain[] = {
    {0x55},                                            // push rbp
    {0x48, 0x89, 0xe5},                                // mov rbp,rsp
    {0x41, 0x57},                                      // push r15
    {0x48, 0x83, 0xec, 0x28},                          // sub rsp,0x28
    {0x48, 0x8b, 0x7f, 0x10},                          // mov rdi,[rdi+0x10]
    {0x85, 0xc0},                                      // test eax,eax
    {0x0f, 0x84, 0x9b, 0x01, 0x00, 0x00},              // je
    {0x8b, 0x8c, 0x24, 0x80, 0x00, 0x00, 0x00},        // mov ecx,[rsp+0x80]
    {0x89, 0xca},                                      // mov edx,ecx
    {0x89, 0xcd},                                      // mov ebp,ecx
    {0x01, 0xcf},                                      // add edi,ecx
    {0xe8, 0x3c, 0xf1, 0xff, 0xff},                    // call
    {0x0f, 0x8e, 0x20, 0x00, 0x00, 0x00},              // jle
    {0xf3, 0x0f, 0x10, 0x05, 0x10, 0x20, 0x00, 0x00},  // movss xmm0,[rip+0x2010]
    {0x0f, 0xb6, 0x44, 0x37, 0x01},                    // movzx eax,[rdi+rsi+1]
    {0x48, 0x8d, 0x15, 0xd0, 0x0f, 0x00, 0x00},        // lea rdx,[rip+0xfd0]
    {0x0f, 0x1f, 0x44, 0x00, 0x00},                    // nop
    {0xff, 0xd0},                                      // call rax
    {0x75, 0xf2},                                      // jne
    {0x0f, 0x05},                                      // syscall
    {0xcc},                                            // int3
    {0xcd, 0x80},                                      // int 0x80
    {0x48, 0x83, 0xc4, 0x28},                          // add rsp,0x28
    {0x5d},                                            // pop rbp
    {0xc3},                                            // ret
};

/// A page and what is around it: ordinary code, among which stands `code`.
struct Scene {
  Code bytes;
  std::size_t first = 0;  ///< where the page begins

  std::span<const std::byte> all() const { return std::as_bytes(std::span(bytes)); }
  std::span<const std::byte, kPageSize> page() const {
    return all().subspan(first).first<kPageSize>();
  }
  SensitiveCode::Neighbours neighbours() const {
    return {all().first(first), all().subspan(first + kPageSize)};
  }
};

struct OrdinaryCode {
  Code bytes;
  std::vector<std::size_t> starts;  ///< of its instructions
};
const OrdinaryCode& ordinary_code() {
  static const OrdinaryCode kMade = [] {
    OrdinaryCode made;
    for (std::size_t i = 0; made.bytes.size() < 3 * kPageSize; ++i) {
      const Code& plain = kPlain[i % std::size(kPlain)];
      made.starts.push_back(made.bytes.size());
      made.bytes.insert(made.bytes.end(), plain.begin(), plain.end());
    }
    return made;
  }();
  return kMade;
}

/// The code begins `offset` bytes from the page's start, which may be outside; `variant` says
/// behind which ordinary instruction.
Scene place(const Code& code, std::ptrdiff_t offset, std::size_t variant = 0) {
  const auto& [bytes, starts] = ordinary_code();
  const auto middle = std::lower_bound(starts.begin(), starts.end(), kPageSize + 256);
  const std::size_t at = middle[static_cast<std::ptrdiff_t>(variant)];
  Scene scene;
  scene.bytes.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  scene.bytes.insert(scene.bytes.end(), code.begin(), code.end());
  scene.bytes.insert(scene.bytes.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                     bytes.end());
  scene.first = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(at) - offset);
  return scene;
}

FeatureSet all_features() {
  FeatureSet set;
  for (const auto& info : x86::feature_table()) set.set(info.feature);
  return set;
}

FeatureSet without(std::initializer_list<Feature> features) {
  FeatureSet set = all_features();
  for (const Feature feature : features) set.set(feature, false);
  return set;
}

SensitiveCode::Rules same_as_host() { return {all_features(), all_features(), true, true}; }

std::string hex(const Code& code) {
  std::string text;
  for (const auto byte : code) text += fmt::format("{:02x} ", byte);
  return text;
}

constexpr auto kPageEnd = static_cast<std::ptrdiff_t>(kPageSize);

/// At the page's start, at many alignments in the middle, at its end and across it; by itself also,
/// but for the first bytes.
void expect_found(const SensitiveCode& scan, const Code& code) {
  const auto size = static_cast<std::ptrdiff_t>(code.size());
  const auto prefixes = std::find_if_not(code.begin(), code.end(), is_insn_prefix) - code.begin();
  const auto check = [&](std::ptrdiff_t offset, std::size_t variant) {
    const Scene scene = place(code, offset, variant);
    EXPECT_FALSE(scan.clean(scene.page(), scene.neighbours())) << hex(code) << " at " << offset;
    // Its first byte, and those behind its prefixes.
    const auto places = scan.places(scene.page(), scene.neighbours(), 8);
    ASSERT_EQ(places.has_value(), offset >= 0) << hex(code) << " at " << offset;
    if (places) {
      std::vector<std::size_t> expected(static_cast<std::size_t>(prefixes) + 1);
      std::iota(expected.begin(), expected.end(), static_cast<std::size_t>(offset));
      EXPECT_EQ(*places, expected) << hex(code) << " at " << offset;
    }
    if (offset >= 64 && offset <= kPageEnd - size)
      EXPECT_FALSE(scan.clean(scene.page())) << hex(code) << " at " << offset << " by itself";
  };
  for (std::ptrdiff_t offset = 0; offset < 40; ++offset) check(offset, 3);
  for (std::size_t variant = 0; variant < std::size(kPlain); ++variant) check(2000, variant);
  for (std::ptrdiff_t offset = 64; offset < kPageEnd; offset += 101) check(offset, 7);
  for (std::ptrdiff_t offset = -prefixes; offset < 0; ++offset) check(offset, 5);
  for (std::ptrdiff_t offset = kPageEnd - size; offset < kPageEnd - prefixes; ++offset)
    check(offset, 5);
}

void expect_clean(const SensitiveCode& scan, const Code& code) {
  const auto check = [&](std::ptrdiff_t offset, std::size_t variant) {
    const Scene scene = place(code, offset, variant);
    EXPECT_TRUE(scan.clean(scene.page(), scene.neighbours())) << hex(code) << " at " << offset;
  };
  for (std::ptrdiff_t offset = -20; offset < 40; ++offset) check(offset, 3);
  for (std::size_t variant = 0; variant < std::size(kPlain); ++variant) check(2000, variant);
  for (std::ptrdiff_t offset = 64; offset < kPageEnd + 4; offset += 101) check(offset, 7);
  for (std::ptrdiff_t offset = kPageEnd - 20; offset < kPageEnd + 4; ++offset) check(offset, 5);
}

const Code kSensitive[] = {
    {0x0f, 0xa2},                    // cpuid
    {0x0f, 0x31},                    // rdtsc
    {0x0f, 0x01, 0xf9},              // rdtscp
    {0xf3, 0x0f, 0xc7, 0xf8},        // rdpid rax
    {0xf3, 0x41, 0x0f, 0xc7, 0xf9},  // rdpid r9
    {0x0f, 0x01, 0xfd},              // rdpru
    {0x0f, 0x01, 0xee},              // rdpkru
    {0x0f, 0x01, 0xef},              // wrpkru
    {0x0f, 0x01, 0x07},              // sgdt [rdi]
    {0x0f, 0x01, 0x4c, 0x24, 0x08},  // sidt [rsp+8]
    {0x0f, 0x00, 0xc0},              // sldt eax
    {0x48, 0x0f, 0x00, 0xc9},        // str rcx
    {0x0f, 0x01, 0xe2},              // smsw edx
    {0x0f, 0x02, 0xc1},              // lar eax,ecx
    {0x48, 0x0f, 0x03, 0xc1},        // lsl rax,rcx
    {0x0f, 0x00, 0xe0},              // verr ax
    {0x0f, 0x00, 0x2f},              // verw [rdi]
    {0x0f, 0x01, 0xc1},              // vmcall
    {0x0f, 0x01, 0xd9},              // vmmcall
    {0x0f, 0x01, 0xd4},              // vmfunc
    {0x0f, 0x34},                    // sysenter
    {0x8c, 0xd8},                    // mov eax,ds
    {0x66, 0x41, 0x8c, 0xe0},        // mov r8w,fs
    {0x8c, 0x5c, 0x24, 0x04},        // mov [rsp+4],ds
    {0x8e, 0xe0},                    // mov fs,eax
    {0x8e, 0x07},                    // mov es,[rdi]
    {0x0f, 0xa0},                    // push fs
    {0x0f, 0xa1},                    // pop fs
    {0x0f, 0xa8},                    // push gs
    {0x0f, 0xa9},                    // pop gs
    {0x0f, 0xb2, 0x07},              // lss eax,[rdi]
    {0x48, 0x0f, 0xb4, 0x07},        // lfs rax,[rdi]
    {0x0f, 0xb5, 0x07},              // lgs eax,[rdi]
    {0xff, 0x2f},                    // jmp far [rdi]
    {0x48, 0xff, 0x5c, 0x24, 0x08},  // call far [rsp+8]
    {0xcb},                          // retf
    {0x48, 0xcb},                    // retf with REX.W
    {0xca, 0x08, 0x00},              // retf 8
    {0xcf},                          // iret
    {0x48, 0xcf},                    // iretq
    {0xcd, 0x03},                    // int 3
    {0xcd, 0x2d},                    // int 0x2d
    {0xcd, 0x81},                    // int 0x81
};

TEST(SensitiveCode, EachIsFoundAmongOrdinaryCode) {
  const SensitiveCode scan(same_as_host());
  for (const Code& code : kSensitive) expect_found(scan, code);
}

TEST(SensitiveCode, SurePlacesAreAmongOrdinaryCodeOnly) {
  const SensitiveCode scan({});
  const Code cpuid{0x0f, 0xa2};
  const Scene among_code = place(cpuid, 1000, 3);
  EXPECT_EQ(scan.sure_places(among_code.page(), among_code.neighbours(), 8),
            std::vector<std::size_t>{1000});
  EXPECT_EQ(scan.sure_places(among_code.page(), among_code.neighbours(), 0), std::nullopt);
  // In front of the first bytes nothing is known.
  const Scene first = place(cpuid, 20, 3);
  EXPECT_TRUE(scan.places(first.page(), {}, 8).has_value());
  EXPECT_EQ(scan.sure_places(first.page(), {}, 8), std::nullopt);
  // An opcode of one byte may be anything.
  const Scene move = place({0x8e, 0xd8}, 1000, 3);  // mov ds, eax
  EXPECT_TRUE(scan.places(move.page(), move.neighbours(), 8).has_value());
  EXPECT_EQ(scan.sure_places(move.page(), move.neighbours(), 8), std::nullopt);
}

TEST(SensitiveCode, OrdinaryCodeIsClean) {
  const SensitiveCode scan(same_as_host());
  for (const Code& code : kPlain) expect_clean(scan, code);
}

TEST(SensitiveCode, OnlyThoseThatBeginInThePageCount) {
  const SensitiveCode scan(same_as_host());
  for (const Code& code : kSensitive) {
    const auto size = static_cast<std::ptrdiff_t>(code.size());
    for (const std::ptrdiff_t offset : {-size - 5, -size, kPageEnd, kPageEnd + 5}) {
      const Scene scene = place(code, offset);
      EXPECT_TRUE(scan.clean(scene.page(), scene.neighbours())) << hex(code) << " at " << offset;
    }
  }
}

/// With nothing known of what is in front, those whose opcode is rare among other bytes.
TEST(SensitiveCode, TheFirstBytesAreTakenForAnInstruction) {
  const SensitiveCode scan(same_as_host());
  for (const Code& code : {Code{0x0f, 0xa2}, Code{0x0f, 0x01, 0xf9}})
    for (std::size_t variant = 0; variant < std::size(kPlain); ++variant)
      EXPECT_FALSE(scan.clean(place(code, 0, variant).page())) << hex(code);
}

TEST(SensitiveCode, OperandsAreNoInstructions) {
  const SensitiveCode scan(same_as_host());
  const Code kHolders[] = {
      {0x8b, 0x05, 0x0f, 0xa2, 0x00, 0x00},                          // mov eax,[rip+0xa20f]
      {0x8b, 0x05, 0x00, 0x0f, 0x31, 0x00},                          // mov eax,[rip+0x310f00]
      {0x8b, 0x05, 0x00, 0x0f, 0x00, 0x00},                          // mov eax,[rip+0xf00]
      {0xe8, 0x0f, 0x01, 0xf9, 0xff},                                // call
      {0xe8, 0x00, 0xcd, 0x21, 0x00},                                // call
      {0xe9, 0xcf, 0xcb, 0xff, 0xff},                                // jmp
      {0x48, 0xb8, 0x0f, 0xa2, 0x8e, 0xe0, 0xcf, 0xcb, 0xcd, 0x03},  // mov rax,imm64
      {0x48, 0x8b, 0x05, 0x8e, 0xd8, 0x00, 0x00},                    // mov rax,[rip+0xd88e]
      {0x81, 0xf9, 0x0f, 0x01, 0xee, 0x00},                          // cmp ecx,0xee010f
      {0xc7, 0x44, 0x24, 0x0c, 0xff, 0x2f, 0x00, 0x00},              // mov [rsp+12],0x2fff
      {0x0f, 0x8c, 0xc0, 0x00, 0x00, 0x00},                          // jl
      {0x0f, 0x8e, 0xe0, 0x00, 0x00, 0x00},                          // jle
  };
  for (const Code& code : kHolders) expect_clean(scan, code);
}

TEST(SensitiveCode, WhatTrapsByItselfIsClean) {
  const SensitiveCode scan(same_as_host());
  const Code kTrapping[] = {
      {0xf4},                    // hlt
      {0xfa},                    // cli
      {0x0f, 0x33},              // rdpmc
      {0x0f, 0x30},              // wrmsr
      {0x0f, 0x01, 0xf8},        // swapgs
      {0x0f, 0x01, 0x17},        // lgdt [rdi]
      {0x0f, 0x00, 0xd0},        // lldt ax
      {0x0f, 0x22, 0xc0},        // mov cr0,rax
      {0x0f, 0x0b},              // ud2
      {0xec},                    // in al,dx
      {0xff, 0xe0},              // jmp rax
      {0xff, 0x67, 0x08},        // jmp [rdi+8]
      {0x0f, 0xc7, 0x0f},        // cmpxchg8b [rdi]
      {0x0f, 0xae, 0xe8},        // lfence
      {0x0f, 0xae, 0x07},        // fxsave [rdi]
      {0x0f, 0xae, 0x17},        // ldmxcsr [rdi]
      {0xf3, 0x0f, 0x1e, 0xfa},  // endbr64
  };
  for (const Code& code : kTrapping) expect_clean(scan, code);
}

TEST(SensitiveCode, ExtendedStateCountsIfItIsNotTheHosts) {
  auto rules = same_as_host();
  const SensitiveCode same(rules);
  rules.same_xcr0 = false;
  const SensitiveCode other(rules);
  const Code kState[] = {
      {0x0f, 0x01, 0xd0},              // xgetbv
      {0x0f, 0xae, 0x64, 0x24, 0x40},  // xsave [rsp+0x40]
      {0x48, 0x0f, 0xae, 0x27},        // xsave64 [rdi]
      {0x0f, 0xc7, 0x64, 0x24, 0x40},  // xsavec [rsp+0x40]
      {0x0f, 0xae, 0x37},              // xsaveopt [rdi]
      {0x0f, 0xae, 0x6c, 0x24, 0x40},  // xrstor [rsp+0x40]
  };
  for (const Code& code : kState) {
    expect_clean(same, code);
    expect_found(other, code);
  }
  expect_clean(other, {0x0f, 0xae, 0xe8});  // lfence
}

TEST(SensitiveCode, SegmentBasesCountIfTheGuestMayNotAccessThem) {
  auto rules = same_as_host();
  const SensitiveCode allowed(rules);
  rules.fsgsbase = false;
  const SensitiveCode refused(rules);
  for (const int modrm : {0xc0, 0xc8, 0xd0, 0xd8}) {
    const Code code = {0xf3, 0x48, 0x0f, 0xae, static_cast<std::uint8_t>(modrm)};
    expect_clean(allowed, code);
    expect_found(refused, code);
  }
}

TEST(SensitiveCode, TheTimeStampCounterCountsIfItIsNotTheHosts) {
  auto rules = same_as_host();
  const SensitiveCode other(rules);
  rules.same_tsc = true;
  const SensitiveCode same(rules);
  const Code kRdtsc = {0x0f, 0x31}, kRdtscp = {0x0f, 0x01, 0xf9};
  expect_clean(same, kRdtsc);
  expect_found(other, kRdtsc);
  expect_found(same, kRdtscp);  // it answers with the guest's TSC_AUX too
}

TEST(SensitiveCode, ExtensionsCountIfOnlyTheHostHasThem) {
  const FeatureSet guest =
      without({Feature::kAes, Feature::kSha, Feature::kRdrand, Feature::kAdx, Feature::kPclmulqdq});
  const SensitiveCode scan({guest, all_features(), true, true}), same(same_as_host()),
      neither({guest, guest, true, true});
  const Code kMasked[] = {
      {0x66, 0x0f, 0x38, 0xdc, 0xc1},              // aesenc xmm0,xmm1
      {0x66, 0x41, 0x0f, 0x3a, 0xdf, 0xc0, 0x01},  // aeskeygenassist xmm0,xmm8,1
      {0x0f, 0x38, 0xcb, 0xc1},                    // sha256rnds2 xmm0,xmm1
      {0x48, 0x0f, 0xc7, 0xf0},                    // rdrand rax
      {0x66, 0x48, 0x0f, 0x38, 0xf6, 0xc1},        // adcx rax,rcx
      {0xc4, 0xe2, 0x71, 0xdc, 0xc2},              // vaesenc xmm0,xmm1,xmm2
      {0xc4, 0xe3, 0x71, 0x44, 0xc2, 0x00},        // vpclmulqdq xmm0,xmm1,xmm2,0
  };
  for (const Code& code : kMasked) {
    expect_found(scan, code);
    expect_clean(same, code);
    expect_clean(neither, code);
  }
  const Code kOffered[] = {
      {0x66, 0x0f, 0x38, 0x00, 0xc1},        // pshufb xmm0,xmm1
      {0xc4, 0xe2, 0x7d, 0x58, 0xc1},        // vpbroadcastd ymm0,xmm1
      {0xc5, 0xfd, 0x6f, 0x07},              // vmovdqa ymm0,[rdi]
      {0xc4, 0xe3, 0x7d, 0x39, 0xc1, 0x01},  // vextracti128 xmm1,ymm0,1
      {0x0f, 0xc7, 0x0f},                    // cmpxchg8b [rdi]
  };
  for (const Code& code : kOffered) expect_clean(scan, code);
}

TEST(SensitiveCode, VexCountsWithoutAvx) {
  const FeatureSet guest = without({Feature::kAvx, Feature::kAvx2, Feature::kFma, Feature::kBmi2});
  const SensitiveCode scan({guest, all_features(), true, true});
  const Code kMasked[] = {
      {0xc5, 0xfd, 0x6f, 0x07},              // vmovdqa ymm0,[rdi]
      {0xc5, 0xf8, 0x77},                    // vzeroupper
      {0xc4, 0xc1, 0x7a, 0x6f, 0x00},        // vmovdqu xmm0,[r8]
      {0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x0f},  // vpgatherdd ymm0,[rdi+ymm1],ymm2
      {0xc4, 0xe2, 0xf1, 0xb8, 0xc2},        // vfmadd231pd xmm0,xmm1,xmm2
      {0xc4, 0xe3, 0xfd, 0x00, 0xc1, 0x1b},  // vpermq ymm0,ymm1,0x1b
      {0xc4, 0xe2, 0xfb, 0xf6, 0xc1},        // mulx rax,rax,rcx
  };
  for (const Code& code : kMasked) expect_found(scan, code);
}

/// TZCNT and LZCNT are BSF and BSR where the extension is not.
TEST(SensitiveCode, WhatIsExecutedAsAnotherInstructionCounts) {
  const FeatureSet plain = without({Feature::kAbm, Feature::kBmi1}), full = all_features();
  const Code kTzcnt = {0xf3, 0x0f, 0xbc, 0xc1}, kLzcnt = {0xf3, 0x48, 0x0f, 0xbd, 0xc1};
  const Code kBsf = {0x0f, 0xbc, 0xc1};
  const SensitiveCode guest_lacks({plain, full, true, true}), host_lacks({full, plain, true, true}),
      both_lack({plain, plain, true, true});
  for (const Code& code : {kTzcnt, kLzcnt}) {
    expect_found(guest_lacks, code);
    expect_found(host_lacks, code);
    expect_clean(both_lack, code);
  }
  expect_clean(guest_lacks, kBsf);
}

/// With nothing known of what is behind.
TEST(SensitiveCode, WhatThePagesEndCutsOffCounts) {
  const SensitiveCode scan(same_as_host());
  const auto ends_clean = [&](const Code& code) {
    return scan.clean(place(code, kPageEnd - static_cast<std::ptrdiff_t>(code.size())).page());
  };
  const Code kCut[] = {{0x0f}, {0x0f, 0x01}, {0x0f, 0x00}, {0x48, 0x0f}, {0xcd},
                       {0x8e}, {0xff},       {0xca},       {0xca, 0x08}, {0x8e, 0x1d, 0x00}};
  for (const Code& code : kCut) EXPECT_FALSE(ends_clean(code)) << hex(code);
  const Code kHarmless[] = {{0x48}, {0x0f, 0x84}, {0xff, 0x15}, {0x8b}, {0xe8, 0x0f}, {0x66}};
  for (const Code& code : kHarmless) EXPECT_TRUE(ends_clean(code)) << hex(code);
}

/// Whether it is near those of 0F that are sensitive in any case.
bool may_count_anyway(const x86::Insn& insn) {
  if (insn.opcode_map != ZYDIS_OPCODE_MAP_0F) return false;
  const unsigned opcode = insn.opcode;
  return opcode < 0x04 || opcode == 0x31 || opcode == 0x34 || (opcode & 0xf0) == 0xa0 ||
         (opcode & 0xf8) == 0xb0;
}

/// The decoder of the guest's model is asked what is masked.
TEST(SensitiveCode, MaskedIsWhatTheGuestsDecoderRefuses) {
  std::mt19937_64 random(3);
  const FeatureSet host = all_features(), guest = *x86::CpuidModel::model_features("v2");
  const SensitiveCode scan({guest, host, true, true});
  const Code kLeads[] = {{0x66, 0x0f, 0x38}, {0x0f, 0x38},       {0x66, 0x0f, 0x3a}, {0x0f, 0x3a},
                         {0xc5, 0xf9},       {0xc5, 0xfc},       {0xc4, 0xc1, 0x7a}, {0xf3, 0x0f},
                         {0xc4, 0xe2, 0x79}, {0xc4, 0x62, 0xf5}, {0xc4, 0xe3, 0x79}, {0x0f}};
  unsigned refused = 0, accepted = 0;
  while (refused < 2000 || accepted < 500) {
    Code bytes = kLeads[random() % std::size(kLeads)];
    while (bytes.size() < 15) bytes.push_back(static_cast<std::uint8_t>(random()));
    x86::Insn as_host, as_guest;
    if (decode(bytes, x86::CodeSize::k64, host, as_host) != x86::DecodeStatus::kOk) continue;
    const bool same =
        decode(bytes, x86::CodeSize::k64, guest, as_guest) == x86::DecodeStatus::kOk &&
        as_guest.mnemonic == as_host.mnemonic;
    bytes.resize(as_host.length);
    const Scene scene = place(bytes, 1000, random() % std::size(kPlain));
    const bool clean = scan.clean(scene.page(), scene.neighbours());
    if (!same) EXPECT_FALSE(clean) << hex(bytes);
    if (same && !may_count_anyway(as_host)) EXPECT_TRUE(clean) << hex(bytes);
    ++(same ? accepted : refused);
  }
}

/// Behind zeros, each of which may begin an instruction of two bytes, both readings of what follows
/// count. Where chains of one length in four come to it, they are not believed.
TEST(SensitiveCode, ChainsThatDisagreeAreCounted) {
  const SensitiveCode scan(same_as_host());
  const auto clean_behind = [&](std::uint8_t filling, std::size_t at) {
    Code bytes(kPageSize, 0x90);
    std::fill_n(bytes.begin(), at, filling);
    bytes[at] = 0x0f;  // cpuid
    bytes[at + 1] = 0xa2;
    return scan.clean(std::as_bytes(std::span(bytes)).first<kPageSize>());
  };
  for (const std::size_t at : {200u, 201u}) EXPECT_FALSE(clean_behind(0x00, at)) << at;
  for (std::size_t at = 200; at < 204; ++at)  // imul ebp,[rbx+0x6b],0x6b
    EXPECT_TRUE(clean_behind(0x6b, at)) << at;
}

/// With nothing known of what is in front, a byte that is an opcode of its own is none for two
/// chains in eight, nor for the one from the page's first byte.
TEST(SensitiveCode, OperandsAmongTheFirstBytesAreSeldomTaken) {
  const SensitiveCode scan(same_as_host());
  unsigned taken = 0, all = 0;
  for (std::ptrdiff_t offset = 0; offset < 14; ++offset)
    for (std::size_t variant = 0; variant < std::size(kPlain); ++variant, ++all)
      taken += !scan.clean(place({0x48, 0x89, 0xcb}, offset, variant).page());  // mov rbx,rcx
  EXPECT_LT(taken, all / 3);
}

TEST(SensitiveCode, AnyBytesAreTaken) {
  const SensitiveCode scan({without({Feature::kAvx}), all_features(), false, false});
  for (unsigned byte = 0; byte < 256; ++byte) {
    PageBytes page;
    page.fill(static_cast<std::byte>(byte));
    const bool repeats = byte == 0xcf || byte == 0xcb || byte == 0xca || byte == 0xcd;
    if (repeats) EXPECT_FALSE(scan.clean(page)) << byte;
    if (byte == 0x90 || byte == 0x00 || byte == 0xcc) EXPECT_TRUE(scan.clean(page)) << byte;
  }
}

}  // namespace
}  // namespace vireo::engine::direct
