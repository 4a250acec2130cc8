// Programs with more code than is kept decoded.
#include <gtest/gtest.h>

#include <bit>

#include "engine/interpreter/handlers.h"
#include "engine/interpreter/interpreter_vcpu.h"
#include "engine/software/vcpu_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine {
namespace {

using test::append;
using test::Bytes;
using Make = test::VcpuWorld::Make;

/// Keeps so little of it decoded.
class Forgetful final : public Engine {
 public:
  Forgetful(memory::GuestMemory& memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}
  std::string_view name() const override { return "forgetful"; }
  Result<std::unique_ptr<EngineVcpu>> create_vcpu(const VcpuContext& context) override {
    return std::make_unique<interpreter::InterpreterVcpu>(
        context, memory_, std::shared_ptr<Cpu>(new Cpu), interpreter::op_enter, bytes_);
  }

 private:
  memory::GuestMemory& memory_;
  const std::size_t bytes_;
};

/// Calls every one of many functions, in an order that scatters those of a page, round after round.
/// Each goes on in the last of its page. Between calls a list of comparisons leads now and then to
/// one of the pieces of code behind it, so that old code has branches to new and new to old.
struct Program : test::VcpuWorld {
  static constexpr std::uint64_t kFunctions = 0x400000, kSize = 256;
  static constexpr std::uint32_t kCount = 16384, kStride = 1237, kRounds = 4;
  static constexpr std::uint32_t kPerPage = kPageSize / kSize;
  static constexpr unsigned kSums = 30, kPieces = 24;
  static constexpr std::uint32_t kTail = 7, kPieceEvery = kCount / kPieces;

  explicit Program(const Make& make) : VcpuWorld(make) {
    for (std::uint64_t at = 0; at < kCount * kSize; at += kPageSize)
      tables.map(kFunctions + at, kFunctions + at);
    for (std::uint32_t i = 0; i < kCount; ++i) code(kFunctions + i * kSize, function(i));
    code(kCode, driver());
  }

  static std::uint32_t number(std::uint32_t function, unsigned n) {
    return (function * kSums + n) * 0x9e3779b9;
  }
  static Bytes function(std::uint32_t i) {
    if (i % kPerPage == kPerPage - 1) return {0x83, 0xc0, kTail, 0xc3};  // add eax, kTail; ret
    Bytes result{0xff, 0x07};                                            // inc dword [rdi]
    for (unsigned n = 0; n < kSums; ++n) {
      result.push_back(0x05);  // add eax, number
      append(result, number(i, n), 4);
    }
    const Bytes rest{0xc1, 0xc0, 0x05,        // rol eax, 5
                     0x0f, 0xc8,              // bswap eax
                     0x66, 0x0f, 0xfe, 0xc1,  // paddd xmm0, xmm1
                     0xa8, 0x01, 0x74, 0x02,  // test al, 1; jz over
                     0xff, 0xc0,              // inc eax
                     0xe9};                   // over: jmp to the last function of the page
    result.insert(result.end(), rest.begin(), rest.end());
    const std::uint64_t behind = i % kPerPage * kSize + result.size() + 4;
    append(result, (kPerPage - 1) * kSize - behind, 4);
    return result;
  }
  /// RSI: the function; ECX: the calls that are left.
  static Bytes driver() {
    Bytes result{0x89, 0xf3,        // mov ebx, esi
                 0xc1, 0xe3, 0x08,  // shl ebx, 8
                 0x4c, 0x01, 0xc3,  // add rbx, r8
                 0xff, 0xd3,        // call rbx
                 0x81, 0xc6};       // add esi, kStride
    append(result, kStride, 4);
    result.insert(result.end(), {0x81, 0xe6});  // and esi, kCount - 1
    append(result, kCount - 1, 4);
    result.insert(result.end(), {0x89, 0xca, 0x81, 0xe2});  // mov edx, ecx; and edx, kCount - 1
    append(result, kCount - 1, 4);
    constexpr std::size_t kCompare = 12, kPiece = 10, kJoin = 9;
    const std::size_t join = result.size() + kPieces * kCompare;
    for (unsigned i = 0; i < kPieces; ++i) {
      result.insert(result.end(), {0x81, 0xfa});  // cmp edx, i * kPieceEvery
      append(result, i * kPieceEvery, 4);
      result.insert(result.end(), {0x0f, 0x84});  // je piece
      append(result, join + kJoin + i * kPiece - (result.size() + 4), 4);
    }
    result.insert(result.end(), {0xff, 0xc9, 0x0f, 0x85});  // join: dec ecx; jnz driver
    append(result, 0 - (result.size() + 4), 4);
    result.push_back(0xf4);
    for (unsigned i = 0; i < kPieces; ++i) {
      result.push_back(0x35);  // piece: xor eax, i + 1
      append(result, i + 1, 4);
      result.push_back(0xe9);  // jmp join
      append(result, join - (result.size() + 4), 4);
    }
    return result;
  }

  struct Outcome {
    std::uint32_t eax = 0, longer = 0;
    bool operator==(const Outcome&) const = default;
  };
  static Outcome expected() {
    Outcome result;
    std::uint32_t i = 0;
    for (std::uint32_t left = kCount * kRounds; left != 0; --left) {
      if (i % kPerPage != kPerPage - 1) {
        ++result.longer;
        for (unsigned n = 0; n < kSums; ++n) result.eax += number(i, n);
        result.eax = __builtin_bswap32(std::rotl(result.eax, 5));
        result.eax += result.eax & 1;
      }
      result.eax += kTail;
      i = (i + kStride) % kCount;
      const std::uint32_t at = left % kCount;
      if (at % kPieceEvery == 0 && at / kPieceEvery < kPieces) result.eax ^= at / kPieceEvery + 1;
    }
    return result;
  }
  void run_all() {
    state.gpr[x86::kRsi] = 0;
    state.gpr[x86::kRdi] = kData;
    state.gpr[x86::kRcx] = kCount * kRounds;
    state.gpr[x86::kR8] = kFunctions;
    state.fpu.xmm[1] = {1, 0};
    ASSERT_EQ(run(), ExitReason::kHalted);
    const auto eax = static_cast<std::uint32_t>(state.gpr[x86::kRax]);
    EXPECT_EQ((Outcome{eax, get<std::uint32_t>(kData)}), expected());
    EXPECT_EQ(state.fpu.xmm[0][0], expected().longer);
    EXPECT_EQ(counter("code_flushes"), 0u);
  }
};

TEST(MuchCode, WhatIsDecodedGivesWayInParts) {
  for (const std::size_t mebibytes : {4u, 6u, 8u}) {
    Program w([=](auto& memory) { return std::make_unique<Forgetful>(memory, mebibytes << 20); });
    w.run_all();
    EXPECT_GT(w.counter("code_evictions"), 5u) << mebibytes;
  }
}

TEST(MuchCode, WhatTheTranslatorInterpretsGivesWayInParts) {
  Program w([](auto& memory) {
    return make_translator(
        memory, {.warm_after = 10 * Program::kCount * Program::kRounds, .code_bytes = 6 << 20});
  });
  w.run_all();
  EXPECT_GT(w.counter("code_evictions"), 5u);
  EXPECT_EQ(w.counter("translations"), 0u);
}

}  // namespace
}  // namespace vireo::engine
