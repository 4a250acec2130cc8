// What memory looks like to several CPUs at once: litmus tests of the model that the SDM describes
// in vol. 3A, 8.2. An outcome that it forbids must never be seen; one that it allows may be.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>

#include "litmus/guest_cpus.h"

namespace vireo::test {
namespace {

using namespace Xbyak::util;

enum class What : std::uint8_t {
  kStore,      ///< of 1, or of `value`
  kLoad,       ///< into result `result`
  kFence,      ///< MFENCE
  kExchange,   ///< locked store of 1
  kSerialize,  ///< CPUID
};
enum Where : std::uint8_t { kX, kY };

struct Access {
  What what;
  Where where = kX;
  std::uint8_t result = 0;
  std::uint8_t value = 1;
};
constexpr Access store(Where where, std::uint8_t value = 1) {
  return {What::kStore, where, 0, value};
}
constexpr Access load(Where where, std::uint8_t result) { return {What::kLoad, where, result, 1}; }
constexpr Access exchange(Where where) { return {What::kExchange, where, 0, 1}; }
constexpr Access fence() { return {What::kFence, kX, 0, 1}; }
constexpr Access serialize() { return {What::kSerialize, kX, 0, 1}; }

/// Results 0 to 3 of one round, then what X and Y hold after it.
using Seen = std::array<std::uint64_t, 6>;

struct Litmus {
  std::string_view name;
  std::vector<std::vector<Access>> cpus;
  bool (*forbidden)(const Seen& seen);
};
void PrintTo(const Litmus& test, std::ostream* out) { *out << test.name; }

std::vector<Litmus> litmus_tests() {
  return {
      {"StoreBufferingWithFences",
       {{store(kX), fence(), load(kY, 0)}, {store(kY), fence(), load(kX, 1)}},
       [](const Seen& s) { return s[0] == 0 && s[1] == 0; }},
      {"StoreBufferingWithLockedStores",
       {{exchange(kX), load(kY, 0)}, {exchange(kY), load(kX, 1)}},
       [](const Seen& s) { return s[0] == 0 && s[1] == 0; }},
      {"StoreBufferingWithSerializingInstructions",
       {{store(kX), serialize(), load(kY, 0)}, {store(kY), serialize(), load(kX, 1)}},
       [](const Seen& s) { return s[0] == 0 && s[1] == 0; }},
      {"MessagePassing",
       {{store(kX), store(kY)}, {load(kY, 0), load(kX, 1)}},
       [](const Seen& s) { return s[0] == 1 && s[1] == 0; }},
      {"LoadBuffering",
       {{load(kX, 0), store(kY)}, {load(kY, 1), store(kX)}},
       [](const Seen& s) { return s[0] == 1 && s[1] == 1; }},
      {"ReadsOfOneCpuAreInOrder",
       {{store(kX, 1), store(kX, 2)}, {load(kX, 0), load(kX, 1)}},
       [](const Seen& s) { return s[0] > s[1]; }},
      {"WritesOfTwoCpusAreInOrder",
       {{store(kX, 1), store(kY, 2)}, {store(kY, 1), store(kX, 2)}},
       [](const Seen& s) { return s[4] == 1 && s[5] == 1; }},
      {"WriteToReadCausality",
       {{store(kX)}, {load(kX, 0), store(kY)}, {load(kY, 1), load(kX, 2)}},
       [](const Seen& s) { return s[0] == 1 && s[1] == 1 && s[2] == 0; }},
      {"IndependentReadsOfIndependentWrites",
       {{store(kX)}, {store(kY)}, {load(kX, 0), load(kY, 1)}, {load(kY, 2), load(kX, 3)}},
       [](const Seen& s) { return s[0] == 1 && s[1] == 0 && s[2] == 1 && s[3] == 0; }},
  };
}

// Each round has words of its own, apart from each other so that they are in several lines.
constexpr std::uint64_t kRounds = 2048, kStride = 128;
constexpr std::uint64_t kMeeting = GuestCpus::kFree, kResults = GuestCpus::kFree + 0x1000,
                        kResultStride = 32, kWords = GuestCpus::kFree + 0x20000;
constexpr std::uint64_t kOtherWord = 64;  ///< from X to Y
static_assert(kResults + kRounds * kResultStride <= kWords);
static_assert(kWords + kRounds * kStride <= GuestCpus::kFreeEnd);

/// RDI leads to the words of a round, RSI to its results.
void emit_round(Xbyak::CodeGenerator& code, const std::vector<Access>& accesses) {
  const std::array<Xbyak::Reg64, 4> loaded{r8, r9, r10, r11};
  for (const Access& each : accesses) {
    const auto word = qword[rdi + (each.where == kY ? kOtherWord : 0)];
    switch (each.what) {
      case What::kStore:
        code.mov(word, each.value);
        break;
      case What::kLoad:
        code.mov(loaded[each.result], word);
        break;
      case What::kExchange:
        code.mov(eax, each.value);
        code.xchg(word, rax);
        break;
      case What::kFence:
        code.mfence();
        break;
      case What::kSerialize:
        code.mov(r12d, ecx);
        code.cpuid();
        code.mov(ecx, r12d);
        break;
    }
  }
  for (const Access& each : accesses)
    if (each.what == What::kLoad) code.mov(qword[rsi + 8 * each.result], loaded[each.result]);
}

/// Two CPUs wait for each other before each round: with more than there are cores that would take
/// for ever, and they only begin together.
void emit(Xbyak::CodeGenerator& code, const Litmus& test, unsigned cpu) {
  Xbyak::Label round;
  const auto cpus = static_cast<unsigned>(test.cpus.size());
  meet(code, kMeeting, cpus);
  code.mov(r15d, static_cast<std::uint32_t>(kMeeting));
  code.mov(edi, static_cast<std::uint32_t>(kWords));
  code.mov(esi, static_cast<std::uint32_t>(kResults));
  code.mov(ecx, 1);
  code.L(round);
  if (cpus == 2) {
    Xbyak::Label wait;
    const auto mine = dword[r15 + 64 * (1 + cpu)], other = dword[r15 + 64 * (2 - cpu)];
    code.mov(mine, ecx);
    code.L(wait);
    code.pause();
    code.cmp(other, ecx);
    code.jb(wait);
  }
  emit_round(code, test.cpus[cpu]);
  code.add(rdi, kStride);
  code.add(rsi, kResultStride);
  code.inc(ecx);
  code.cmp(ecx, kRounds);
  code.jbe(round);
}

Seen seen_in(const GuestCpus& guest, std::uint64_t round) {
  Seen seen{};
  for (std::size_t i = 0; i < 4; ++i)
    seen[i] = guest.read(kResults + round * kResultStride + 8 * i);
  seen[4] = guest.read(kWords + round * kStride);
  seen[5] = guest.read(kWords + round * kStride + kOtherWord);
  return seen;
}

struct MemoryModel : testing::TestWithParam<std::tuple<std::string_view, Litmus>> {};

TEST_P(MemoryModel, ForbiddenOutcomesAreNeverSeen) {
  const Litmus& test = std::get<1>(GetParam());
  GuestCpus guest(std::get<0>(GetParam()), static_cast<unsigned>(test.cpus.size()));
  // A busy host may give all CPUs one of its own for a while.
  constexpr auto kTime = std::chrono::milliseconds(200),
                 kPatience = std::chrono::milliseconds(100000);
  const auto start = std::chrono::steady_clock::now();
  const auto time = [&] { return std::chrono::steady_clock::now() - start; };
  std::set<Seen> outcomes;
  do {
    guest.clear(GuestCpus::kFree, GuestCpus::kFreeEnd);
    ASSERT_TRUE(guest.run([&](unsigned cpu, auto& code) { emit(code, test, cpu); }));
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const Seen seen = seen_in(guest, round);
      ASSERT_FALSE(test.forbidden(seen)) << fmt::format("{}", fmt::join(seen, " "));
      outcomes.insert(seen);
    }
  } while (time() < (outcomes.size() > 1 ? kTime : kPatience));
  // Otherwise the CPUs have not run at the same time, and nothing was tested.
  EXPECT_GT(outcomes.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Litmus, MemoryModel,
                         testing::Combine(testing::ValuesIn(software_engines()),
                                          testing::ValuesIn(litmus_tests())),
                         [](const auto& info) {
                           std::string name = fmt::format("{}_{}", std::get<1>(info.param).name,
                                                          std::get<0>(info.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace vireo::test
