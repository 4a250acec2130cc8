#include "engine/software/host_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace vireo::engine {
namespace {

struct alignas(64) Lines {
  std::array<std::byte, 192> bytes{};
  Lines() {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  }
};

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
bool exchange(std::byte* host, T& expected, T desired) {
  return host_exchange(host, std::as_writable_bytes(std::span(&expected, 1)),
                       std::as_bytes(std::span(&desired, 1)));
}

template <class T>
void test_every_place() {
  for (std::size_t at = 48; at <= 72; ++at) {
    Lines lines;
    Lines wanted;
    const T fresh = static_cast<T>(0xf1e2d3c4b5a69788);
    T expected = load<T>(&lines.bytes[at]);
    std::memcpy(&wanted.bytes[at], &fresh, sizeof(T));
    EXPECT_TRUE(exchange(&lines.bytes[at], expected, fresh)) << at;
    EXPECT_EQ(lines.bytes, wanted.bytes) << at;
    for (unsigned byte = 0; byte < sizeof(T); ++byte) {
      T wrong = static_cast<T>(fresh ^ T{1} << byte * 8);
      EXPECT_FALSE(exchange(&lines.bytes[at], wrong, T{0})) << at << " " << byte;
      EXPECT_EQ(wrong, fresh) << at << " " << byte;
      EXPECT_EQ(lines.bytes, wanted.bytes) << at << " " << byte;
    }
  }
}

template <class T>
void test_across() {
  for (std::size_t first = 1; first < sizeof(T); ++first) {
    Lines pages;  // the last bytes of one, and elsewhere the first of another
    std::byte* const host = &pages.bytes[64 - first];
    std::byte* const second = &pages.bytes[128];
    const std::size_t rest = sizeof(T) - first;
    Lines wanted;
    const T fresh = static_cast<T>(0xf1e2d3c4b5a69788);
    const auto halves = std::as_bytes(std::span(&fresh, 1));
    std::memcpy(&wanted.bytes[64 - first], halves.data(), first);
    std::memcpy(&wanted.bytes[128], halves.data() + first, rest);
    T expected{};
    const auto old = std::as_writable_bytes(std::span(&expected, 1));
    std::memcpy(old.data(), host, first);
    std::memcpy(old.data() + first, second, rest);
    EXPECT_TRUE(host_exchange_across(host, second, old, halves)) << first;
    EXPECT_EQ(pages.bytes, wanted.bytes) << first;
    EXPECT_FALSE(host_exchange_across(host, second, old, halves)) << first;
    EXPECT_EQ(expected, fresh) << first;
    EXPECT_EQ(pages.bytes, wanted.bytes) << first;
  }
}

TEST(HostExchange, WorksAcrossPagesThatAreNotNeighbours) {
  test_across<std::uint16_t>();
  test_across<std::uint32_t>();
  test_across<std::uint64_t>();
}

TEST(HostExchange, WorksWhereverTheBytesLie) {
  test_every_place<std::uint8_t>();
  test_every_place<std::uint16_t>();
  test_every_place<std::uint32_t>();
  test_every_place<std::uint64_t>();
}

TEST(HostExchange, SixteenBytesAreOneStep) {
  struct Pair {
    std::uint64_t low, high;
    bool operator==(const Pair&) const = default;
  };
  Lines lines;
  Pair expected = load<Pair>(&lines.bytes[48]);
  const Pair old = expected;
  EXPECT_TRUE(exchange(&lines.bytes[48], expected, Pair{1, 2}));
  expected = old;
  EXPECT_FALSE(exchange(&lines.bytes[48], expected, Pair{3, 4}));
  EXPECT_EQ(expected, (Pair{1, 2}));
}

// Adders on the border between two lines, and plain stores to the bytes around them.
TEST(HostExchange, AcrossLinesNothingIsLost) {
  constexpr std::uint64_t kRounds = 20000;
  Lines lines;
  lines.bytes.fill(std::byte{0});
  std::byte* const counter = &lines.bytes[61];
  const auto add = [&] {
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      std::uint64_t old = 0;
      while (!exchange(counter, old, old + 0x0100'0001)) {
      }
    }
  };
  std::atomic<bool> finished = false, kept = true;
  std::thread neighbour([&] {
    for (unsigned i = 0; !finished; ++i)
      for (const std::size_t at : {60u, 69u}) {
        const std::atomic_ref byte(reinterpret_cast<std::uint8_t&>(lines.bytes[at]));
        byte = static_cast<std::uint8_t>(i);
        if (byte != static_cast<std::uint8_t>(i)) kept = false;
      }
  });
  std::vector<std::thread> adders;
  for (int i = 0; i < 3; ++i) adders.emplace_back(add);
  for (std::thread& adder : adders) adder.join();
  finished = true;
  neighbour.join();
  EXPECT_TRUE(kept);
  EXPECT_EQ(load<std::uint64_t>(counter), 3 * kRounds * 0x0100'0001);
}

TEST(HostExchange, AcrossLinesTheHostsBusesAreNotLocked) {
  Lines lines;
  std::vector<std::chrono::nanoseconds> took;
  for (std::uint32_t i = 0; i < 51; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    std::uint32_t old = load<std::uint32_t>(&lines.bytes[62]);
    EXPECT_TRUE(exchange(&lines.bytes[62], old, i));
    took.push_back(std::chrono::steady_clock::now() - begin);
  }
  // The median: a busy host delays some of them.
  std::ranges::nth_element(took, took.begin() + 25);
  EXPECT_LT(took[25], std::chrono::milliseconds(5))
      << "hosts that detect such locks let a few pass each second";
}

}  // namespace
}  // namespace vireo::engine
