#include "machine/virtio_windows.h"

#include <fmt/format.h>

#include <algorithm>

namespace vireo::machine {
namespace {

bool has_word(std::string_view text, std::string_view word) {
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    if (text.substr(0, space) == word) return true;
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  return false;
}

}  // namespace

unsigned virtio_window_count(std::string_view command_line, unsigned devices) {
  if (!has_word(command_line, "pci=off")) return 0;
  return std::min(devices, static_cast<unsigned>(kVirtioWindows.size()));
}

std::string announce_virtio_windows(const std::string& command_line, unsigned count) {
  std::string result = command_line;
  if (!has_word(command_line, "acpi=off")) return result;
  for (unsigned i = 0; i < count; ++i) {
    result += fmt::format(" virtio_mmio.device=4K@{:#x}:{}", kVirtioWindows.at(i).base,
                          kVirtioWindows.at(i).irq);
  }
  return result;
}

}  // namespace vireo::machine
