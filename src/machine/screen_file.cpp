#include "machine/screen_file.h"

#include <span>
#include <string>
#include <vector>

#include "backends/display/png_image.h"
#include "backends/display/whole_file.h"

namespace vireo::machine {
namespace {

constexpr std::string_view kPng = "png:", kText = "text:";

std::string text_of(const devices::Vga& vga) {
  const std::vector<std::string> lines = vga.text();
  if (lines.empty()) {
    const devices::Picture picture = vga.picture();
    return fmt::format("[a picture of {} x {}]\n", picture.width, picture.height);
  }
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace

Result<std::optional<ScreenFile>> ScreenFile::parse(std::string_view spec) {
  if (spec == "none") return std::optional<ScreenFile>();
  for (const auto& [prefix, format] : {std::pair{kPng, Format::kPng}, {kText, Format::kText}}) {
    if (spec.starts_with(prefix) && spec.size() > prefix.size())
      return std::optional(ScreenFile(format, std::string(spec.substr(prefix.size()))));
  }
  return usage_error("--display takes none, vnc=[HOST:]PORT, png:PATH or text:PATH, not '{}'",
                     spec);
}

Result<> ScreenFile::save(const devices::Vga& vga) const {
  if (format_ == Format::kText) {
    const std::string text = text_of(vga);
    return backends::write_whole_file(path_, std::as_bytes(std::span(text)));
  }
  const devices::Picture picture = vga.picture();
  return backends::write_png(path_, picture.width, picture.height, picture.rgb);
}

}  // namespace vireo::machine
