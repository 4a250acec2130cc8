#include "machine/boot/multiboot.h"

#include <algorithm>

#include "machine/boot/byte_reader.h"

namespace vireo::machine {
namespace {

constexpr std::uint32_t kMagic = 0x1badb002;
constexpr std::uint64_t kSearched = 8192;

}  // namespace

std::optional<MultibootHeader> find_multiboot_header(std::span<const std::byte> file) {
  const auto start = file.first(std::min<std::size_t>(file.size(), kSearched));
  for (std::uint64_t at = 0; at + 12 <= start.size(); at += 4) {
    const auto word = [&](std::uint64_t index) {
      return number_or_zero<std::uint32_t>(start, at + index * 4);
    };
    if (word(0) != kMagic || word(0) + word(1) + word(2) != 0) continue;
    return MultibootHeader{at, word(1), word(3), word(4), word(5), word(6), word(7)};
  }
  return std::nullopt;
}

}  // namespace vireo::machine
