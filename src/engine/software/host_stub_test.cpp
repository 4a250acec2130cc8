#include "engine/software/host_stub.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/software/host_stub_oracle.h"
#include "engine/software/host_stub_sweep.h"
#include "x86/semantics/fpu_state_test_support.h"

namespace vireo::engine {
namespace {

using test::decode_bytes;
using test::describe;
using test::Oracle;
using test::RandomState;
using x86::test::state64;

/// A memory operand where both the silicon and the stub can reach it.
struct OperandMemory {
  alignas(64) std::array<std::byte, 64> bytes{};
  void fill(RandomState& random) {
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const std::uint64_t lanes = random.lanes();
      std::memcpy(&bytes[i], &lanes, 8);
    }
    if (random.below(2)) {
      const auto st = random.float80();
      std::memcpy(bytes.data(), st.data(), 10);
    }
  }
};

bool is_dot_product(x86::Mnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_DPPS || mnemonic == ZYDIS_MNEMONIC_DPPD ||
         mnemonic == ZYDIS_MNEMONIC_VDPPS || mnemonic == ZYDIS_MNEMONIC_VDPPD;
}

std::string difference(const x86::CpuState& ours, const x86::CpuState& theirs) {
  std::string text;
  const auto check = [&](const char* name, auto a, auto b) {
    if (a != b) text += fmt::format(" {} {:x} not {:x};", name, a, b);
  };
  for (unsigned i = 0; i < 15; ++i)
    if (i != 4) check(fmt::format("gpr{}", i).c_str(), ours.gpr[i], theirs.gpr[i]);
  check("rflags", ours.rflags, theirs.rflags);
  const auto &a = ours.fpu, &b = theirs.fpu;
  check("mxcsr", a.mxcsr, b.mxcsr), check("control", a.control, b.control);
  check("status", a.status, b.status), check("tag", a.tag, b.tag);
  for (unsigned i = 0; i < 16; ++i)
    for (unsigned half = 0; half < 2; ++half) {
      check(fmt::format("xmm{}.{}", i, half).c_str(), a.xmm[i][half], b.xmm[i][half]);
      check(fmt::format("ymm_high{}.{}", i, half).c_str(), a.ymm_high[i][half],
            b.ymm_high[i][half]);
    }
  for (unsigned i = 0; i < 8; ++i) {
    check(fmt::format("st{}.mantissa", i).c_str(), a.st[i][0], b.st[i][0]);
    check(fmt::format("st{}.exponent", i).c_str(), a.st[i][1] & 0xffff, b.st[i][1] & 0xffff);
  }
  return text;
}

/// Runs instructions through stubs and on the silicon.
class HostStubSweep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!x86::host_features().has(x86::Feature::kAvx)) GTEST_SKIP() << "the host has no AVX";
  }

  void expect_like_silicon(const std::string& bytes, bool unmasked, int rounds) {
    x86::Insn insn;
    if (!decode_bytes(bytes, insn) || !test::is_testable(insn)) return;
    if (!seen_.insert(std::string(insn.bytes.begin(), insn.bytes.begin() + insn.length)).second)
      return;
    const HostStub* stub = stubs_.find(insn);
    if (!stub) return;
    if (unmasked && (!stub->floating_point || is_dot_product(insn.mnemonic))) return;
    // Denormal numbers become halves in the way of Intel's silicon.
    if (insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH && x86::host_vendor() != x86::Vendor::kIntel)
      return;
    mnemonics_.insert(insn.mnemonic);
    Oracle oracle(std::span(insn.bytes).first(insn.length));
    for (int round = 0; round < rounds && !HasFailure(); ++round)
      run_once(insn, *stub, oracle, unmasked);
  }

  void run_once(const x86::Insn& insn, const HostStub& stub, Oracle& oracle, bool unmasked) {
    x86::CpuState start = state64();
    random_.fill(start, unmasked);
    OperandMemory native_memory;
    native_memory.fill(random_);
    OperandMemory memory = native_memory;
    start.gpr[x86::kRbx] = reinterpret_cast<std::uint64_t>(native_memory.bytes.data()) - 0x20;

    x86::CpuState ours = start, theirs = start;
    const bool completed = oracle.run(theirs);
    const bool has_memory = stub.memory_use != MemoryUse::kNone;
    const auto status = run_stub(stub, ours, has_memory ? memory.bytes.data() : nullptr, insn);
    HostStubs::sync(ours);
    ASSERT_EQ(status.has_value(), completed) << describe(insn) << difference(ours, theirs);
    const std::string text = difference(ours, theirs);
    ASSERT_EQ(text, "") << describe(insn) << " mxcsr " << std::hex << start.fpu.mxcsr;
    if (completed && (stub.memory_use == MemoryUse::kRead || wrote_memory(stub, ours))) {
      ASSERT_EQ(memory.bytes, native_memory.bytes) << describe(insn);
    }
    if (completed && stub.memory_use == MemoryUse::kWrite && !wrote_memory(stub, ours)) {
      ASSERT_EQ(native_memory.bytes, memory.bytes) << describe(insn);
    }
  }

  Oracle::Trap trap_;
  HostStubs stubs_;
  RandomState random_{1};
  std::set<std::string> seen_;
  std::set<x86::Mnemonic> mnemonics_;
};

TEST_F(HostStubSweep, EveryLegacyEncodingDoesWhatTheSiliconDoes) {
  test::each_legacy_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, false, 8);
  });
  EXPECT_GE(mnemonics_.size(), 260u);
}

TEST_F(HostStubSweep, EveryVexEncodingDoesWhatTheSiliconDoes) {
  test::each_vex_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, false, 4);
  });
  EXPECT_GE(mnemonics_.size(), 331u);
}

TEST_F(HostStubSweep, EveryX87EncodingDoesWhatTheSiliconDoes) {
  test::each_x87_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, false, 150);
  });
  EXPECT_GT(mnemonics_.size(), 70u);
}

TEST_F(HostStubSweep, UnmaskedX87ExceptionsAreThoseOfTheSilicon) {
  test::each_x87_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, true, 150);
  });
}

TEST_F(HostStubSweep, UnmaskedSimdExceptionsAreThoseOfTheSilicon) {
  test::each_legacy_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, true, 30);
  });
  test::each_vex_encoding([&](const auto& bytes) {
    if (!HasFailure()) expect_like_silicon(bytes, true, 4);
  });
}

}  // namespace
}  // namespace vireo::engine
