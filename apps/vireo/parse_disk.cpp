#include "parse_disk.h"

#include <string>

namespace vireo::app {
namespace {

constexpr std::string_view kFormat = "format=", kInterface = "interface=", kCache = "cache=";

/// What comes before the next comma; `text` goes on behind it.
std::string_view take_word(std::string_view& text) {
  const std::size_t comma = text.find(',');
  const std::string_view word = text.substr(0, comma);
  text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  return word;
}

Result<std::string> one_of(std::string_view option, std::string_view word, std::string_view first,
                           std::string_view second) {
  const std::string_view value = word.substr(option.size());
  if (value == first || value == second) return std::string(value);
  return usage_error("--disk takes {}{} or {}{}, not '{}'", option, first, option, second, word);
}

}  // namespace

Result<machine::DiskConfig> parse_disk(std::string_view text) {
  std::string_view rest = text;
  machine::DiskConfig disk;
  disk.path = take_word(rest);
  if (disk.path.empty()) return usage_error("--disk needs a file: --disk FILE");
  while (!rest.empty()) {
    const std::string_view word = take_word(rest);
    if (word.starts_with(kFormat)) {
      disk.format = TRY(one_of(kFormat, word, "raw", "qcow2"));
    } else if (word.starts_with(kInterface)) {
      disk.interface = TRY(one_of(kInterface, word, "virtio", "ide"));
    } else if (word.starts_with(kCache)) {
      disk.bypass_cache = TRY(one_of(kCache, word, "none", "writeback")) == "none";
    } else if (word == "readonly") {
      disk.read_only = true;
    } else if (word == "discard-changes") {
      disk.discard_changes = true;
    } else {
      return usage_error(
          "--disk does not know '{}'; behind the file there may be format=raw|qcow2, "
          "interface=virtio|ide, cache=writeback|none, readonly and discard-changes",
          word);
    }
  }
  return disk;
}

}  // namespace vireo::app
