#include "x86/semantics/string_runs.h"

#include <random>

#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::mt19937_64& random, std::size_t size, unsigned values = 256) {
  Bytes result(size);
  for (std::byte& byte : result) byte = static_cast<std::byte>(random() % values);
  return result;
}

/// One element after the other, as the manual has it.
void copy_slowly(const ElementRun& to, const ElementRun& from) {
  for (std::uint64_t i = 0; i < to.count; ++i) {
    const std::uint64_t data = load_element(from.at(i), from.width);
    std::memcpy(to.at(i), &data, to.width);
  }
}

TEST(StringRuns, CopyAsElementAfterElementAtEveryDistance) {
  std::mt19937_64 random(1);
  constexpr std::size_t kMiddle = 4096;
  for (const unsigned width : {1u, 2u, 4u, 8u})
    for (const bool down : {false, true})
      for (int distance = -140; distance <= 140; ++distance)
        for (const std::uint64_t count : {1u, 3u, 16u, 65u, 500u}) {
          Bytes fast = random_bytes(random, 3 * kMiddle), slow = fast;
          const auto run = [&](Bytes& memory, int offset) {
            return ElementRun{memory.data() + static_cast<int>(kMiddle) + offset, count, width,
                              down};
          };
          copy_run(run(fast, distance), run(fast, 0));
          copy_slowly(run(slow, distance), run(slow, 0));
          ASSERT_EQ(fast, slow) << width << " " << down << " " << distance << " " << count;
        }
}

TEST(StringRuns, CopyShortlyBehindTheSourceModuloThePage) {
  std::mt19937_64 random(2);
  for (const std::size_t distance : {4096u, 4097u, 4128u, 4159u, 4160u}) {
    Bytes memory = random_bytes(random, 3 * 4096);
    const Bytes before = memory;
    copy_run({memory.data() + distance, 4000, 1, false}, {memory.data(), 4000, 1, false});
    for (std::size_t i = 0; i < memory.size(); ++i) {
      const bool copied = i >= distance && i < distance + 4000;
      ASSERT_EQ(memory[i], before[copied ? i - distance : i]) << distance << " " << i;
    }
  }
}

TEST(StringRuns, FillEveryElementAndNothingElse) {
  for (const unsigned width : {1u, 2u, 4u, 8u})
    for (const bool down : {false, true}) {
      Bytes memory(100);
      const ElementRun run{memory.data() + 3, 7, width, down};
      fill_run(run, 0x8877665544332211);
      for (std::size_t i = 0; i < memory.size(); ++i) {
        const bool inside = i >= 3 && i < 3 + 7 * width;
        ASSERT_EQ(memory[i], std::byte(inside ? 0x11 * ((i - 3) % width + 1) : 0));
      }
    }
}

TEST(StringRuns, ScansEndAtTheFirstElementInTheirDirection) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 4000; ++round) {
    Bytes a = random_bytes(random, 300, 2), b = a;
    const unsigned width = 1u << (round % 4);
    const bool down = (random() & 1) != 0, until_equal = (random() & 1) != 0;
    if (until_equal) b = random_bytes(random, 300, 2);
    if (random() & 1) b[random() % b.size()] = std::byte{7};
    const ElementRun run_a{a.data(), 300 / width - 1, width, down};
    const ElementRun run_b{b.data(), run_a.count, width, down};
    const std::uint64_t wanted = load_element(a.data() + random() % 200, width);
    const auto expected = [&](auto equal) {
      std::uint64_t i = 0;
      while (i < run_a.count && equal(i) != until_equal) ++i;
      return i;
    };
    const auto element = [&](const ElementRun& run, std::uint64_t i) {
      return load_element(run.at(i), width);
    };
    ASSERT_EQ(scan_run(run_b, wanted, until_equal),
              expected([&](std::uint64_t i) { return element(run_b, i) == wanted; }));
    ASSERT_EQ(compare_runs(run_a, run_b, until_equal),
              expected([&](std::uint64_t i) { return element(run_a, i) == element(run_b, i); }));
  }
}

/// A string instruction in some situation, to be run with and without direct access.
struct Situation : SemanticsWorld {
  std::vector<std::uint8_t> code;

  explicit Situation(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    // One byte of sixteen is 1.
    for (std::uint64_t at = 0, bits = 0; at < 0x11000; ++at, bits >>= 4) {
      if (at % 16 == 0) bits = random();
      if (bits % 16 == 0) port.poke(at, std::uint8_t{1});
    }
    if (below(3) == 0) make_legacy(below(2) == 0);
    state.gpr[kRdi] = 0x5000 + below(0x3000);
    state.gpr[kRsi] = below(2) ? 0x5000 + below(0x3000) : state.gpr[kRdi] - 40 + below(80);
    if (below(8) == 0) state.gpr[kRdi] = 0xffe0 + below(0x40);  // where offsets of 16 bits wrap
    if (below(8) == 0) state.gpr[kRsi] = 0x10000 + below(0x40);
    state.gpr[kRax] = below(2) ? 0 : 0x0100000100010001;
    state.gpr[kRcx] = below(4) ? below(100) : below(3000);
    if (below(2)) state.rflags |= rflags::kDf;
    if (below(8) == 0) state.rflags |= rflags::kTf;
    if (!state.code64() && below(2)) {
      state.segment[kEs].limit = static_cast<std::uint32_t>(0x5000 + below(0x3000));
      state.segment[kDs].base = below(0x1000);
      state.segment[kEs].base = below(0x1000);
    }
    for (const std::uint64_t page : {0x5000u, 0x6000u, 0x7000u}) {
      if (below(6) == 0) port.take_away(page);
      if (below(6) == 0) port.write_protect(page);
    }
    constexpr std::uint8_t kOpcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
                                         0xab, 0xac, 0xad, 0xae, 0xaf};
    if (below(6)) code.push_back(below(2) ? 0xf3 : 0xf2);
    if (below(3) == 0) code.push_back(0x66);
    if (below(2) == 0) code.push_back(0x67);
    if (state.code64() && below(3) == 0) code.push_back(0x48);
    code.push_back(kOpcodes[below(std::size(kOpcodes))]);
  }
  std::optional<Fault> fault(CpuPort& on) {
    const auto outcome = run_on(on, code);
    return outcome ? std::nullopt : std::optional(outcome.error());
  }
};

/// Direct access to some pages only, as to those that hold no code.
class PatchyPort final : public ForwardingPort {
 public:
  using ForwardingPort::ForwardingPort;
  std::byte* direct(LinearAddr address, std::size_t size, bool write) override {
    const bool slow = write && ((value(address) >> kPageShift) & 1) != 0;
    return slow ? nullptr : memory_.direct(address, size, write);
  }
};

TEST(StringRuns, MakeNoDifferenceToStringInstructions) {
  for (std::uint64_t seed = 0; seed < 10000; ++seed) {
    Situation slow(seed), fast(slow), patchy(slow);
    fast.port.directly = patchy.port.directly = true;
    PatchyPort port(patchy.port);
    const auto expected = slow.fault(slow.port);
    ASSERT_EQ(fast.fault(fast.port), expected) << seed;
    ASSERT_EQ(patchy.fault(port), expected) << seed;
    ASSERT_EQ(fast.state, slow.state) << seed;
    ASSERT_EQ(patchy.state, slow.state) << seed;
    ASSERT_EQ(fast.port.memory(), slow.port.memory()) << seed;
    ASSERT_EQ(patchy.port.memory(), slow.port.memory()) << seed;
  }
}

}  // namespace
}  // namespace vireo::x86
