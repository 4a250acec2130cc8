// Programs with more code than there is memory for translations.
#include <gtest/gtest.h>

#include "engine/software/vcpu_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine::translator {
namespace {

using test::append;
using test::Bytes;

/// Calls every function of the first quarter, which goes on to one in each of the others.
struct World : test::VcpuWorld {
  static constexpr std::uint64_t kFunctions = 0x110000;
  static constexpr std::uint32_t kSize = 64, kCount = 15000, kCalls = kCount / 4, kRounds = 5;

  World()
      : VcpuWorld([](auto& memory) {
          return make_translator(memory, {.warm_after = 1, .code_bytes = 6 << 20});
        }) {
    for (std::uint32_t i = 0; i < kCount; ++i) code(function(i), body(i, i));
    for (std::uint32_t i = 0; i < 6; ++i) put<std::uint64_t>(kData + 8 * i, i + 1);
  }
  static std::uint64_t function(std::uint32_t i) { return kFunctions + std::uint64_t{i} * kSize; }
  /// Adds 21 and the number to RAX, in one of two ways.
  static Bytes body(std::uint32_t i, std::uint32_t number, bool subtract = false) {
    Bytes result{0x48, subtract ? std::uint8_t{0x2d} : std::uint8_t{0x05}};
    append(result, subtract ? 0 - number : number, 4);  // sub rax, -number or add rax, number
    for (int each = 0; each < 6; ++each)                // add rax, [rdi]; add rdi, 8
      result.insert(result.end(), {0x48, 0x03, 0x07, 0x48, 0x83, 0xc7, 0x08});
    result.insert(result.end(), {0x48, 0x83, 0xef, 0x30});  // sub rdi, 48
    if (i >= 3 * kCalls) {
      result.push_back(0xc3);
    } else {
      result.push_back(0xe9);  // jmp
      append(result, kCalls * kSize - static_cast<std::uint32_t>(result.size()) - 4, 4);
    }
    return result;
  }
  std::uint64_t sum_of_all() {
    Bytes program;
    program.push_back(0xbb);  // mov ebx, kRounds
    append(program, kRounds, 4);
    program.push_back(0xbe);  // round: mov esi, kFunctions
    append(program, kFunctions, 4);
    program.push_back(0xb9);  // mov ecx, kCalls
    append(program, kCalls, 4);
    const Bytes rest{0xff, 0xd6,              // one: call rsi
                     0x48, 0x83, 0xc6, 0x40,  // add rsi, 64
                     0xff, 0xc9,              // dec ecx
                     0x75, 0xf6,              // jnz one
                     0xff, 0xcb,              // dec ebx
                     0x75, 0xe8,              // jnz round
                     0xf4};
    program.insert(program.end(), rest.begin(), rest.end());
    code(kCode, program);
    state.rip = kCode;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    state.gpr[x86::kRax] = 0;
    state.gpr[x86::kRdi] = kData;
    EXPECT_EQ(run(), ExitReason::kHalted);
    return state.gpr[x86::kRax];
  }
};

TEST(Eviction, OldTranslationsGiveWayToNewOnes) {
  World w;
  constexpr std::uint64_t kExpected =
      World::kRounds *
      (std::uint64_t{World::kCount} * 21 + std::uint64_t{World::kCount} * (World::kCount - 1) / 2);
  EXPECT_EQ(w.sum_of_all(), kExpected);
  EXPECT_GT(w.counter("translations_evicted"), World::kCount);
  EXPECT_EQ(w.counter("translation_flushes"), 0u);
  // Some are written, whether they are translated now or not.
  std::uint64_t more = 0;
  for (std::uint32_t i = 0; i < World::kCount; i += 2) {
    w.code(World::function(i), World::body(i, i + 3, true));
    more += 3;
  }
  EXPECT_EQ(w.sum_of_all(), kExpected + World::kRounds * more);
  EXPECT_EQ(w.counter("translation_flushes"), 0u);
  EXPECT_GT(w.counter("code_evictions"), 0u);
  EXPECT_EQ(w.counter("code_flushes"), 0u);
}

}  // namespace
}  // namespace vireo::engine::translator
