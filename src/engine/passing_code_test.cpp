// Programs that make code, run it once, and throw it away.
#include <gtest/gtest.h>

#include "engine/interpreter/interpreter.h"
#include "engine/software/vcpu_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine {
namespace {

using test::append;
using test::Bytes;
using Make = test::VcpuWorld::Make;

const std::vector<Make> kEngines{
    [](auto& memory) { return make_interpreter(memory); },
    [](auto& memory) { return make_translator(memory, {.warm_after = 7}); },
};

struct World : test::VcpuWorld {
  using VcpuWorld::VcpuWorld;
  static constexpr std::uint64_t kFunctions = kCode + 0x2000;
  static constexpr std::uint32_t kCount = kPageSize / 16;

  /// Makes as many functions, one after the other, and calls each `calls` times; then clears them.
  void make_and_run(std::uint8_t calls) {
    Bytes program{0x48, 0xbf};  // mov rdi, kFunctions
    append(program, kFunctions, 8);
    const Bytes rest{
        0xc6, 0x07,  0xb8,        // one: mov byte [rdi], b8
        0x89, 0x4f,  0x01,        // mov [rdi + 1], ecx
        0xc6, 0x47,  0x05, 0xc3,  // mov byte [rdi + 5], c3
        0xb2, calls,              // mov dl, calls
        0xff, 0xd7,               // call: call rdi
        0x48, 0x01,  0xc3,        // add rbx, rax
        0xfe, 0xca,               // dec dl
        0x75, 0xf7,               // jnz call
        0x48, 0x83,  0xc7, 0x10,  // add rdi, 16
        0xff, 0xc9,               // dec ecx
        0x75, 0xe3,               // jnz one
        0x48, 0x29,  0xf7,        // sub rdi, rsi
        0x89, 0xf1,               // mov ecx, esi
        0x31, 0xc0,               // xor eax, eax
        0xf3, 0xaa,               // rep stosb
        0xf4,
    };
    program.insert(program.end(), rest.begin(), rest.end());
    code(kCode, program);
    state.rip = kCode;
    state.gpr[x86::kRbx] = 0;
    state.gpr[x86::kRcx] = kCount;
    state.gpr[x86::kRsi] = kPageSize;
    ASSERT_EQ(run(), ExitReason::kHalted);
    EXPECT_EQ(state.gpr[x86::kRbx], std::uint64_t{calls} * kCount * (kCount + 1) / 2);
  }
};

TEST(PassingCode, WhatRunsOnceIsNotKept) {
  for (const Make& make : kEngines) {
    World w(make);
    w.make_and_run(1);
    EXPECT_GE(w.counter("blocks_decoded"), World::kCount);
    EXPECT_LT(w.counter("blocks_invalidated"), 8u);
  }
}

TEST(PassingCode, WhatRunsAgainIsKept) {
  for (const Make& make : kEngines) {
    World w(make);
    w.make_and_run(5);
    EXPECT_LT(w.counter("blocks_decoded"), World::kCount * 3 / 2);
    EXPECT_EQ(w.counter("blocks_invalidated"), World::kCount);
  }
}

TEST(PassingCode, MayBranchToItself) {
  for (const Make& make : kEngines) {
    World w(make);
    w.code(World::kCode, {0xeb, 0x00,                    // jmp on
                          0x83, 0xe9, 0x01, 0x73, 0xfb,  // on: sub ecx, 1; jnc on
                          0xf4});
    w.state.gpr[x86::kRcx] = 3;
    EXPECT_EQ(w.run(), ExitReason::kHalted);
    EXPECT_EQ(w.state.gpr[x86::kRcx], 0xffffffffu);
    EXPECT_EQ(w.counter("instructions"), 10u);
  }
}

}  // namespace
}  // namespace vireo::engine
