#include "backends/block/qcow2/header_extensions.h"

#include <algorithm>

#include "backends/block/qcow2/big_endian.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint32_t kEnd = 0;
constexpr std::uint32_t kBackingFormat = 0xe2792aca;
constexpr std::uint32_t kFeatureNames = 0x6803f857;
constexpr std::uint32_t kEncryption = 0x0537be77;
constexpr std::size_t kHeadSize = 8;  ///< of an extension: type and length
constexpr std::size_t kNameEntrySize = 48;
constexpr std::size_t kMaxFormatName = 64;

/// Without what a terminal would take for a command.
std::string printable(std::span<const std::uint8_t> bytes) {
  std::string text(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

void read_names(std::span<const std::uint8_t> data, Extensions& extensions) {
  for (; data.size() >= kNameEntrySize; data = data.subspan(kNameEntrySize)) {
    const bool incompatible = data[0] == 0;
    if (incompatible && data[1] < 64)
      extensions.incompatible_names[data[1]] = printable(data.subspan(2, kNameEntrySize - 2));
  }
}

}  // namespace

std::string Extensions::feature_name(unsigned bit) const {
  const auto found = incompatible_names.find(bit);
  if (found != incompatible_names.end() && !found->second.empty()) return found->second;
  return fmt::format("number {}", bit);
}

Result<Extensions> read_extensions(std::span<const std::uint8_t> cluster, std::uint32_t start,
                                   const std::string& path) {
  Extensions extensions;
  std::span<const std::uint8_t> rest = cluster.subspan(start);
  while (rest.size() >= kHeadSize) {
    const auto type = load_big_endian<std::uint32_t>(rest.data());
    const auto length = load_big_endian<std::uint32_t>(rest.data() + 4);
    rest = rest.subspan(kHeadSize);
    if (type == kEnd) break;
    if (length > rest.size())
      return usage_error("the qcow2 image {} is damaged: a header extension is too long", path);
    const auto data = rest.first(length);
    if (type == kEncryption)
      return usage_error("the qcow2 image {} is encrypted, which is not offered", path);
    if (type == kBackingFormat)
      extensions.backing_format = printable(data.first(std::min(data.size(), kMaxFormatName)));
    if (type == kFeatureNames) read_names(data, extensions);
    const std::uint64_t padded = (std::uint64_t{length} + 7) & ~std::uint64_t{7};
    rest = rest.subspan(std::min<std::uint64_t>(padded, rest.size()));
  }
  return extensions;
}

void append_backing_format(std::vector<std::uint8_t>& bytes, std::string_view format) {
  const std::size_t at = bytes.size(), padded = (format.size() + 7) & ~std::size_t{7};
  bytes.resize(at + kHeadSize + padded);
  store_big_endian(&bytes[at], kBackingFormat);
  store_big_endian(&bytes[at + 4], static_cast<std::uint32_t>(format.size()));
  std::ranges::copy(format, &bytes[at + kHeadSize]);
}

}  // namespace vireo::backends::qcow2
