// What one CPU does in one step, others see done or not done. SDM vol. 3A, 8.1.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "litmus/guest_cpus.h"

namespace vireo::test {
namespace {

using namespace Xbyak::util;

constexpr unsigned kCpus = 2;
constexpr std::uint64_t kMeeting = GuestCpus::kFree, kTorn = GuestCpus::kFree + 0x40,
                        kPlain = GuestCpus::kFree + 0x80, kWord = GuestCpus::kFree + 0x1000;
constexpr std::uint32_t kTimes = 20'000;

using Emit = std::function<void(Xbyak::CodeGenerator& code)>;

/// A word that lies near the meeting; repeated() has made R15 lead there.
Xbyak::Address near_meeting(std::uint64_t address) { return qword[r15 + (address - kMeeting)]; }

/// The code again and again; it keeps ECX, R15 and RDI, the address of the word.
Emit repeated(std::uint64_t word, const Emit& body) {
  return [word, body](Xbyak::CodeGenerator& code) {
    Xbyak::Label again;
    meet(code, kMeeting, kCpus);
    code.mov(r15d, static_cast<std::uint32_t>(kMeeting));
    code.mov(edi, static_cast<std::uint32_t>(word));
    code.mov(ecx, kTimes);
    code.L(again);
    body(code);
    code.dec(ecx);
    code.jnz(again, Xbyak::CodeGenerator::T_NEAR);
  };
}

/// An instruction, or a few, that add 1 to the word at RDI in one step.
struct Adds {
  std::string_view name;
  Emit emit;
};

/// `try_to_take` the lock beside the word: EAX is 0 if nobody else had it.
Emit under_a_lock(const Emit& try_to_take) {
  return [try_to_take](Xbyak::CodeGenerator& c) {
    Xbyak::Label take, taken;
    c.L(take);
    try_to_take(c);
    c.test(eax, eax);
    c.jz(taken);
    c.pause();
    c.jmp(take);
    c.L(taken);
    c.inc(qword[rdi]);
    c.mov(dword[rdi + 64], 0);
  };
}

std::vector<Adds> all_that_add() {
  return {
      {"inc",
       [](auto& c) {
         c.lock();
         c.inc(qword[rdi]);
       }},
      {"sub",
       [](auto& c) {
         c.lock();
         c.sub(qword[rdi], static_cast<std::uint32_t>(-1));
       }},
      {"adc",
       [](auto& c) {
         c.stc();
         c.lock();
         c.adc(qword[rdi], 0);
       }},
      {"xadd",
       [](auto& c) {
         c.mov(eax, 1);
         c.lock();
         c.xadd(qword[rdi], rax);
       }},
      {"xadd_of_a_displaced_register",
       [](auto& c) {
         c.mov(r11d, 1);
         c.lock();
         c.xadd(qword[rdi], r11);
       }},
      {"cmpxchg",
       [](auto& c) {
         Xbyak::Label again;
         c.mov(rax, qword[rdi]);
         c.L(again);
         c.lea(rdx, ptr[rax + 1]);
         c.lock();
         c.cmpxchg(qword[rdi], rdx);
         c.jne(again);
       }},
      {"cmpxchg8b",
       [](auto& c) {
         Xbyak::Label again;
         c.mov(esi, ecx);
         c.mov(eax, dword[rdi]);
         c.mov(edx, dword[rdi + 4]);
         c.L(again);
         c.lea(ebx, ptr[rax + 1]);
         c.mov(ecx, edx);
         c.lock();
         c.cmpxchg8b(qword[rdi]);
         c.jne(again);
         c.mov(ecx, esi);
       }},
      {"cmpxchg16b",
       [](auto& c) {
         Xbyak::Label again;
         c.mov(esi, ecx);
         c.mov(rax, qword[rdi]);
         c.mov(rdx, qword[rdi + 8]);
         c.L(again);
         c.lea(rbx, ptr[rax + 1]);
         c.mov(rcx, rdx);
         c.lock();
         c.cmpxchg16b(ptr[rdi]);
         c.jne(again);
         c.mov(ecx, esi);
       }},
      {"under_a_lock_of_xchg", under_a_lock([](auto& c) {
         c.mov(eax, 1);
         c.xchg(dword[rdi + 64], eax);
       })},
      {"under_a_lock_of_bts", under_a_lock([](auto& c) {
         c.lock();
         c.bts(dword[rdi + 64], 5);
         c.sbb(eax, eax);
       })},
  };
}

struct Atomicity : testing::TestWithParam<std::string_view> {
  GuestCpus guest{GetParam(), kCpus};

  bool run(const std::array<Emit, kCpus>& emit) {
    guest.write(kMeeting, 0);
    return guest.run([&](unsigned cpu, auto& code) { emit[cpu](code); });
  }
};

TEST_P(Atomicity, LockedInstructionsLoseNothing) {
  for (const Adds& each : all_that_add()) {
    // Across a line and across a page as well, where the instruction allows it.
    for (const std::uint64_t offset : {0u, 0x3cu, 0xffcu}) {
      const bool aligned = each.name == "cmpxchg16b" || each.name.starts_with("under");
      if (aligned && offset != 0) continue;
      guest.clear(kWord, kWord + 0x2000);
      const Emit code = repeated(kWord + offset, each.emit);
      ASSERT_TRUE(run({code, code})) << each.name << fmt::format(" at {:#x}", offset);
      EXPECT_EQ(guest.read(kWord + offset), kCpus * kTimes)
          << each.name << fmt::format(" at {:#x}", offset);
    }
  }
}

/// One CPU stores one of two values that have all bits alike, the other counts what is neither.
struct Whole {
  std::string_view name;
  std::uint64_t offset;
  Emit store;  ///< a bit of ECX says which
  Emit load;   ///< into RAX and RDX: the same unless it is torn
};

std::vector<Whole> all_that_are_whole() {
  const auto spread = [](auto& c) {
    c.mov(eax, ecx);
    c.and_(eax, 1);
    c.neg(rax);
  };
  const auto by_mov = [](auto& c) {
    c.mov(rax, qword[rdi]);
    c.mov(rdx, rax);
    c.sar(rdx, 63);
  };
  const Emit store = [spread](auto& c) {
    spread(c);
    c.mov(qword[rdi], rax);
  };
  const Emit store_vector = [spread](auto& c) {
    spread(c);
    c.movq(xmm0, rax);
    c.pshufd(xmm0, xmm0, 0);
    c.movaps(ptr[rdi], xmm0);
  };
  const Emit load_vector = [](auto& c) {
    c.movaps(xmm1, ptr[rdi]);
    c.movq(rax, xmm1);
    c.psrldq(xmm1, 8);
    c.movq(rdx, xmm1);
  };
  return {{"an aligned quadword", 0, store, by_mov},
          {"a quadword within a line", 0x31, store, by_mov},
          {"an aligned vector", 0, store_vector, load_vector}};
}

TEST_P(Atomicity, WhatIsWithinALineIsWhole) {
  for (const Whole& each : all_that_are_whole()) {
    guest.clear(kWord, kWord + 0x1000);
    guest.write(kTorn, 0);
    const Emit reader = [&each](auto& c) {
      Xbyak::Label whole;
      each.load(c);
      c.cmp(rax, rdx);
      c.je(whole);
      c.inc(near_meeting(kTorn));
      c.L(whole);
    };
    ASSERT_TRUE(
        run({repeated(kWord + each.offset, each.store), repeated(kWord + each.offset, reader)}))
        << each.name;
    EXPECT_EQ(guest.read(kTorn), 0u) << each.name;
  }
}

/// A page walk sets the accessed and dirty bits of an entry in one step, whatever another CPU does
/// to the other bits of it. SDM vol. 3A, 4.8.
TEST_P(Atomicity, APageWalkLosesNoBitsOfAnEntry) {
  constexpr std::uint64_t kPage = GuestCpus::kFree + 0x8000, kSoftwareBit = 1ull << 52;
  constexpr std::uint32_t kAccessedDirty = 0x60;
  const std::uint64_t entry = GuestCpus::page_entry(kPage), before = guest.read(entry);
  const Emit walks = [](auto& c) {
    c.lock();
    c.and_(qword[rdi], static_cast<std::uint32_t>(~kAccessedDirty));
    c.mov(eax, static_cast<std::uint32_t>(kPage));
    for (const int byte : {0x0f, 0x01, 0x38}) c.db(byte);  // invlpg [rax]
    c.mov(qword[rax], rcx);
  };
  const Emit changes = [](auto& c) {
    c.mov(rax, kSoftwareBit);
    c.lock();
    c.xor_(qword[rdi], rax);
    c.inc(near_meeting(kPlain));
  };
  guest.write(kPlain, 0);
  ASSERT_TRUE(run({repeated(entry, walks), repeated(entry, changes)}));
  EXPECT_EQ(guest.read(kPlain), kTimes);
  // An even number of changes is none.
  EXPECT_EQ(guest.read(entry), before | kAccessedDirty);
  static_assert(kTimes % 2 == 0);
}

/// One CPU changes code that another runs: what that executes is the code of before or after.
/// SDM vol. 3A, 8.1.3.
TEST_P(Atomicity, CodeThatAnotherCpuChangesIsOldOrNew) {
  constexpr std::uint64_t kFunction = GuestCpus::kFree + 0xa000;
  // mov eax, imm32 at an aligned place of its immediate; ret
  const std::array<std::uint8_t, 9> function{0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3};
  std::uint64_t low = 0;
  std::memcpy(&low, function.data(), 8);
  guest.write(kFunction, low);
  guest.write(kFunction + 8, function[8]);
  guest.write(kTorn, 0);
  guest.write(kPlain, 0);
  const Emit patches = [](auto& c) { c.mov(dword[rdi + 4], ecx); };
  const Emit calls = [](auto& c) {
    Xbyak::Label fine;
    c.mov(eax, static_cast<std::uint32_t>(kFunction));
    c.call(rax);
    c.cmp(eax, kTimes + 1);
    c.jb(fine);
    c.inc(near_meeting(kTorn));
    c.L(fine);
    c.mov(near_meeting(kPlain), rax);
  };
  ASSERT_TRUE(run({repeated(kFunction, patches), repeated(kFunction, calls)}));
  EXPECT_EQ(guest.read(kTorn), 0u);
  // Once it is quiet, the new code is what runs.
  ASSERT_TRUE(run({repeated(kWord, [](auto&) {}), repeated(kFunction, calls)}));
  EXPECT_EQ(guest.read(kPlain), 1u);
}

INSTANTIATE_TEST_SUITE_P(Litmus, Atomicity, testing::ValuesIn(software_engines()),
                         [](const auto& info) {
                           std::string name(info.param);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace vireo::test
