#include "engine/software/host_exchange.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace vireo::engine {
namespace {

constexpr std::uintptr_t kCacheLine = 64;

template <class T>
bool exchange_at(std::byte* host, std::span<std::byte> expected,
                 std::span<const std::byte> desired) {
  T old, fresh;
  std::memcpy(&old, expected.data(), sizeof(T));
  std::memcpy(&fresh, desired.data(), sizeof(T));
  // SAFETY: guest RAM, sizeof(T) bytes inside one page; the processor locks unaligned words too.
  bool done;
  asm volatile("lock cmpxchg %[fresh], %[word]"
               : "=@ccz"(done), "+a"(old), [word] "+m"(*reinterpret_cast<T*>(host))
               : [fresh] "r"(fresh)
               : "memory");
  if (!done) std::memcpy(expected.data(), &old, sizeof(T));
  return done;
}

/// 16 bytes, aligned: the caller has checked.
bool exchange_16(std::byte* host, std::span<std::byte> expected,
                 std::span<const std::byte> desired) {
  std::uint64_t old[2], fresh[2];
  std::memcpy(old, expected.data(), 16);
  std::memcpy(fresh, desired.data(), 16);
  bool done;
  asm volatile("lock cmpxchg16b (%[host])"
               : "=@ccz"(done), "+a"(old[0]), "+d"(old[1])
               : "b"(fresh[0]), "c"(fresh[1]), [host] "r"(host)
               : "memory");
  if (!done) std::memcpy(expected.data(), old, 16);
  return done;
}

/// The bytes of an access that are in one aligned word.
struct Half {
  std::atomic_ref<std::uint64_t> word;
  std::uint64_t mask;

  /// Puts the bytes in place of `old`; false, and nothing happens, if they are others.
  bool replace(std::uint64_t old, std::uint64_t fresh) const {
    std::uint64_t now = word.load();
    do {
      if (((now ^ old) & mask) != 0) return false;
    } while (!word.compare_exchange_weak(now, (now & ~mask) | (fresh & mask)));
    return true;
  }
};

/// The two words on both sides of a border; `second` is the address of the one behind it.
bool exchange_split(std::byte* host, std::byte* second, std::span<std::byte> expected,
                    std::span<const std::byte> desired) {
  static std::mutex one_at_a_time;  // in all machines: nobody does this often
  const auto shift = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(host) & 7) * 8;
  const auto size = static_cast<unsigned>(expected.size()) * 8;
  const std::uint64_t all = ~std::uint64_t{0} >> (64 - size);
  // SAFETY: guest RAM; both words are aligned, and each is in one page.
  const Half low{std::atomic_ref(*reinterpret_cast<std::uint64_t*>(host - shift / 8)),
                 all << shift};
  const Half high{std::atomic_ref(*reinterpret_cast<std::uint64_t*>(second)), all >> (64 - shift)};
  std::uint64_t old = 0, fresh = 0;
  std::memcpy(&old, expected.data(), expected.size());
  std::memcpy(&fresh, desired.data(), desired.size());

  const std::lock_guard lock(one_at_a_time);
  std::uint64_t now;
  do {
    if (low.replace(old << shift, fresh << shift)) {
      if (high.replace(old >> (64 - shift), fresh >> (64 - shift))) return true;
      // Unless somebody has written there meanwhile.
      [[maybe_unused]] const bool undone = low.replace(fresh << shift, old << shift);
    }
    now = (low.word.load() >> shift | high.word.load() << (64 - shift)) & all;
  } while (now == old);
  std::memcpy(expected.data(), &now, expected.size());
  return false;
}

}  // namespace

bool host_exchange(std::byte* host, std::span<std::byte> expected,
                   std::span<const std::byte> desired) {
  const std::size_t size = expected.size();
  const std::size_t in_line = reinterpret_cast<std::uintptr_t>(host) % kCacheLine;
  if (in_line + size > kCacheLine)
    return exchange_split(host, host + (kCacheLine - in_line), expected, desired);
  switch (size) {
    case 1:
      return exchange_at<std::uint8_t>(host, expected, desired);
    case 2:
      return exchange_at<std::uint16_t>(host, expected, desired);
    case 4:
      return exchange_at<std::uint32_t>(host, expected, desired);
    case 8:
      return exchange_at<std::uint64_t>(host, expected, desired);
    default:
      return exchange_16(host, expected, desired);
  }
}

bool host_exchange_across(std::byte* host, std::byte* second, std::span<std::byte> expected,
                          std::span<const std::byte> desired) {
  return exchange_split(host, second, expected, desired);
}

}  // namespace vireo::engine
