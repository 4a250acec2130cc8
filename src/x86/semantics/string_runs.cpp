#include "x86/semantics/string_runs.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/address.h"
#include "x86/semantics/update.h"

namespace vireo::x86 {
namespace {

template <class T>
T load(const std::byte* from) {
  T data;
  std::memcpy(&data, from, sizeof(T));
  return data;
}

/// memmove(), which copies with REP MOVSB on hosts that are said to be fast at it; some are many
/// times slower at it where the target lies shortly behind the source, modulo the page.
void move_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
  constexpr std::size_t kPiece = 1024;  // too short for REP MOVSB
  const bool upwards = to < from || to >= from + bytes;
  const std::size_t behind = static_cast<std::size_t>(to - from) % kPageSize;
  if (upwards && behind != 0 && behind < 64) {
    for (; bytes > kPiece; bytes -= kPiece, to += kPiece, from += kPiece)
      std::memmove(to, from, kPiece);
  }
  std::memmove(to, from, bytes);
}

template <class T>
std::ptrdiff_t stride(const ElementRun& run) {
  constexpr auto kStep = static_cast<std::ptrdiff_t>(sizeof(T));
  return run.down ? -kStep : kStep;
}

template <class T>
void copy_one_by_one(const ElementRun& to, const ElementRun& from) {
  const std::ptrdiff_t step = stride<T>(to);
  std::byte* target = to.at(0);
  const std::byte* source = from.at(0);
  for (std::uint64_t i = 0; i < to.count; ++i, target += step, source += step) {
    const T data = load<T>(source);
    std::memcpy(target, &data, sizeof(T));
  }
}

/// `pattern` bytes stand in front of (or, downwards, behind) `bytes` that shall repeat them.
void repeat_up(std::byte* to, std::size_t pattern, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t n = std::min(bytes - done, pattern + done);
    std::memcpy(to + done, to - pattern, n);
    done += n;
  }
}
void repeat_down(std::byte* end, std::size_t pattern, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t n = std::min(bytes - done, pattern + done);
    std::memcpy(end - done - n, end + pattern - n, n);
    done += n;
  }
}

/// How many of the leading bytes are equal.
std::size_t equal_prefix(const std::byte* a, const std::byte* b, std::size_t bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    const std::uint64_t difference = load<std::uint64_t>(a + i) ^ load<std::uint64_t>(b + i);
    if (difference != 0) return i + static_cast<std::size_t>(std::countr_zero(difference)) / 8;
  }
  while (i < bytes && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

void copy_run(const ElementRun& to, const ElementRun& from) {
  const std::size_t bytes = to.bytes();
  const auto distance =
      static_cast<std::size_t>(to.down ? from.lowest - to.lowest : to.lowest - from.lowest);
  // In the order of the elements the target runs ahead of the source, or there is no overlap.
  if (distance == 0 || distance >= bytes) {
    move_bytes(to.lowest, from.lowest, bytes);
  } else if (distance < to.width) {
    with_width(to.width, [&]<class T>() {
      copy_one_by_one<T>(to, from);
      return 0;
    });
  } else if (to.down) {
    repeat_down(to.lowest + bytes, distance, bytes);
  } else {
    repeat_up(to.lowest, distance, bytes);
  }
}

void fill_run(const ElementRun& to, std::uint64_t data) {
  const std::size_t bytes = to.bytes();
  if (to.width == 1) {
    std::memset(to.lowest, static_cast<int>(data & 0xff), bytes);
    return;
  }
  with_width(to.width, [&]<class T>() {
    const auto element = static_cast<T>(data);
    std::byte* at = to.lowest;
    for (const std::byte* end = at + bytes; at != end; at += sizeof(T))
      std::memcpy(at, &element, sizeof(T));
    return 0;
  });
}

std::uint64_t load_element(const std::byte* from, unsigned width) {
  return with_width(width, [&]<class T>() { return static_cast<std::uint64_t>(load<T>(from)); });
}

std::uint64_t scan_run(const ElementRun& run, std::uint64_t data, bool until_equal) {
  if (run.width == 1 && until_equal && !run.down) {
    const void* found = std::memchr(run.lowest, static_cast<int>(data & 0xff), run.count);
    if (found == nullptr) return run.count;
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(found) - run.lowest);
  }
  return with_width(run.width, [&]<class T>() {
    const auto wanted = static_cast<T>(data);
    const std::ptrdiff_t step = stride<T>(run);
    const std::byte* at = run.at(0);
    std::uint64_t i = 0;
    while (i < run.count && (load<T>(at) == wanted) != until_equal) ++i, at += step;
    return i;
  });
}

std::uint64_t compare_runs(const ElementRun& a, const ElementRun& b, bool until_equal) {
  if (!until_equal && !a.down) return equal_prefix(a.lowest, b.lowest, a.bytes()) / a.width;
  return with_width(a.width, [&]<class T>() {
    const std::ptrdiff_t step = stride<T>(a);
    const std::byte *at_a = a.at(0), *at_b = b.at(0);
    std::uint64_t i = 0;
    while (i < a.count && (load<T>(at_a) == load<T>(at_b)) != until_equal)
      ++i, at_a += step, at_b += step;
    return i;
  });
}

}  // namespace vireo::x86
