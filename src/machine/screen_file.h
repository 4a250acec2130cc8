#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "devices/display/vga.h"

namespace vireo::machine {

/// A file that holds what is on the screen of a machine, whenever it is saved. Each time the file
/// is replaced as a whole, so that others read either the old or the new one.
class ScreenFile {
 public:
  /// What `--display` takes but vnc=: none, png:PATH (a picture) or text:PATH (the characters of a
  /// text mode as lines of UTF-8; of other modes a line that says what it is).
  static Result<std::optional<ScreenFile>> parse(std::string_view spec);

  Result<> save(const devices::Vga& vga) const;

 private:
  enum class Format : unsigned char { kPng, kText };
  ScreenFile(Format format, std::string path) : format_(format), path_(std::move(path)) {}

  Format format_;
  std::string path_;
};

}  // namespace vireo::machine
