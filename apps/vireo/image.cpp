#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "machine/disk_images.h"
#include "parse.h"
#include "print_json.h"
#include "verbs.h"

namespace vireo::app {
namespace {

constexpr int kDamagedStatus = 1;

struct ImageOptions {
  std::string path, target, size;
  std::string format, source_format;
  std::string backing, backing_format;
  bool as_json = false, repair = false, shrink = false;
};

/// As the name of a new image says it, if nobody else does.
Result<std::string> format_of_new(const std::string& path, const std::string& format) {
  if (!format.empty()) return format;
  if (path.ends_with(".qcow2")) return std::string("qcow2");
  if (path.ends_with(".raw") || path.ends_with(".img")) return std::string("raw");
  return usage_error("the name {} does not tell a format: add --format raw or --format qcow2",
                     path);
}

std::string readable(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto number = static_cast<double>(bytes);
  unsigned unit = 0;
  for (; number >= 1024 && unit + 1 < std::size(kUnits); ++unit) number /= 1024;
  return fmt::format("{:.4g} {}", number, kUnits[unit]);
}

Result<int> create(const ImageOptions& options) {
  const std::string format = TRY(format_of_new(options.path, options.format));
  std::optional<std::uint64_t> size;
  if (!options.size.empty()) size = TRY(parse_size("SIZE", options.size));
  if (!options.backing.empty()) {
    if (format != "qcow2")
      return usage_error("only a qcow2 image can stand on another: make {} one", options.path);
    TRY(machine::create_image_over(options.path, options.backing, options.backing_format, size));
    return 0;
  }
  if (!options.backing_format.empty()) return usage_error("--backing-format needs --backing FILE");
  if (!size) return usage_error("SIZE is missing: say how large the disk is, such as 10G");
  TRY(machine::create_image_file(options.path, format, *size));
  return 0;
}

void print_info(const machine::ImageInfo& info) {
  fmt::print("{:<14} {}\n", "image", info.path);
  fmt::print("{:<14} {}\n", "format", info.format);
  fmt::print("{:<14} {} ({})\n", "disk", readable(info.disk_bytes), info.disk_bytes);
  fmt::print("{:<14} {} of the host\n", "takes", readable(info.host_bytes));
  if (info.format != "qcow2") return;
  fmt::print("{:<14} {}\n", "version", info.version);
  fmt::print("{:<14} {}, compressed by {} if at all\n", "clusters", readable(info.cluster_bytes),
             info.compression);
  if (info.backing_path)
    fmt::print("{:<14} {}{}\n", "stands on", *info.backing_path,
               info.backing_format.empty() ? "" : " (" + info.backing_format + ")");
  if (info.snapshots != 0) fmt::print("{:<14} {}\n", "snapshots", info.snapshots);
  if (info.dirty) fmt::print("{:<14} it was not closed; who opens it to write mends it\n", "note");
  if (info.corrupt) fmt::print("{:<14} it is marked as corrupt\n", "note");
}

Json json_of(const machine::ImageInfo& info) {
  Json json{{"path", info.path},
            {"format", info.format},
            {"disk_bytes", info.disk_bytes},
            {"file_bytes", info.file_bytes},
            {"host_bytes", info.host_bytes}};
  if (info.format == "qcow2") {
    json["version"] = info.version;
    json["cluster_bytes"] = info.cluster_bytes;
    json["compression"] = info.compression;
    json["snapshots"] = info.snapshots;
    json["dirty"] = info.dirty;
    json["corrupt"] = info.corrupt;
    json["backing_path"] = info.backing_path ? Json(*info.backing_path) : Json();
    json["backing_format"] = info.backing_format.empty() ? Json() : Json(info.backing_format);
  }
  return json;
}

Result<int> info(const ImageOptions& options) {
  const auto [images, broken] = TRY(machine::describe_stack(options.path, options.format));
  if (options.as_json) {
    Json json = json_of(images.front()), below = Json::array();
    for (const machine::ImageInfo& image : std::span(images).subspan(1))
      below.push_back(json_of(image));
    json["below"] = below;
    json["below_error"] = broken.empty() ? Json() : Json(broken);
    print_json(json);
    return 0;
  }
  for (const machine::ImageInfo& image : images) {
    if (&image != &images.front()) fmt::print("\n");
    print_info(image);
  }
  if (!broken.empty()) fmt::print("{:<14} {}\n", "note", broken);
  return 0;
}

std::string verdict(const std::string& path, const machine::ImageCheck& check) {
  const auto& found = check.findings;
  if (!check.has_tables) return fmt::format("{} is a raw image: nothing can be wrong", path);
  if (found.unreadable)
    return fmt::format(
        "{}: its tables contradict themselves; what can be read can be copied with "
        "vireo image convert",
        path);
  const std::string mended = check.mended ? ", after repair" : "";
  if (found.errors == 0 && found.leaks == 0 && !check.dirty)
    return fmt::format("{} is sound{}: {} clusters in use", path, mended, found.used_clusters);
  return fmt::format("{}{}: {} errors, {} clusters lost{}; mend it with --repair", path, mended,
                     found.errors, found.leaks, check.dirty ? ", not closed" : "");
}

Result<int> check(const ImageOptions& options) {
  const auto check = TRY(machine::check_image_file(options.path, options.format, options.repair));
  const auto& found = check.findings;
  const bool sound = !found.unreadable && found.errors == 0 && found.leaks == 0 && !check.dirty;
  if (options.as_json) {
    print_json({{"path", options.path},
                {"sound", sound},
                {"errors", found.errors},
                {"leaked_clusters", found.leaks},
                {"used_clusters", found.used_clusters},
                {"unreadable", found.unreadable},
                {"dirty", check.dirty},
                {"mended", check.mended}});
  } else {
    fmt::print("{}\n", verdict(options.path, check));
  }
  return sound ? 0 : kDamagedStatus;
}

/// On a terminal, whenever it is another percent.
class Progress {
 public:
  ~Progress() {
    if (shown_ >= 0) fmt::print(stderr, "\r     \r");
  }
  void operator()(std::uint64_t done, std::uint64_t total) {
    const int percent = total == 0 ? 100 : static_cast<int>(done / (total / 100 + 1));
    if (!on_terminal_ || percent == shown_) return;
    shown_ = percent;
    fmt::print(stderr, "\r{:3} %", percent);
  }

 private:
  const bool on_terminal_ = ::isatty(STDERR_FILENO) == 1;
  int shown_ = -1;
};

Result<int> convert(const ImageOptions& options) {
  const std::string format = TRY(format_of_new(options.target, options.format));
  Progress progress;
  TRY(machine::convert_image(options.path, options.source_format, options.target, format,
                             std::ref(progress)));
  return 0;
}

Result<int> resize(const ImageOptions& options) {
  const bool more = options.size.starts_with('+');
  std::uint64_t size = TRY(parse_size("SIZE", std::string_view(options.size).substr(more ? 1 : 0)));
  if (more) {
    const std::uint64_t now = TRY(machine::describe_image(options.path, options.format)).disk_bytes;
    if (size > ~std::uint64_t{0} - now) return usage_error("SIZE is too large: {}", options.size);
    size += now;
  }
  TRY(machine::resize_image(options.path, options.format, size, options.shrink));
  return 0;
}

using Carry = Result<int> (*)(const ImageOptions&);

CLI::App& add_one(CLI::App& image, Action& action, const std::shared_ptr<ImageOptions>& options,
                  const std::string& name, const std::string& description, Carry carry) {
  auto* verb = image.add_subcommand(name, description);
  verb->add_option("FILE", options->path, "The image")->required();
  verb->callback([&action, options, carry] { action = [=] { return carry(*options); }; });
  return *verb;
}

}  // namespace

void add_image(CLI::App& program, Action& action) {
  auto* image =
      program.add_subcommand("image", "Make, describe, check, copy and resize disk images");
  image->require_subcommand(1);
  const auto options = std::make_shared<ImageOptions>();
  const auto add = [&](const std::string& name, const std::string& description,
                       Carry carry) -> CLI::App& {
    return add_one(*image, action, options, name, description, carry);
  };
  const char* const known = "raw or qcow2 (default: told by content)";
  const char* const made = "raw or qcow2 (default: by the name, .raw and .img or .qcow2)";

  CLI::App& creates = add(
      "create", "Make an image of zeroes, or over another one, that takes next to no room", create);
  creates.add_option("SIZE", options->size,
                     "Of the disk, such as 10G (default: that of --backing)");
  creates.add_option("--format", options->format, made);
  creates.add_option("--backing", options->backing,
                     "An image that shows where nothing was written, and stays as it is; seen from "
                     "the folder of the new one, which is qcow2");
  creates.add_option("--backing-format", options->backing_format, known);

  CLI::App& describes = add("info", "Say what an image is, and what it stands on", info);
  describes.add_option("--format", options->format, known);
  describes.add_flag("--json", options->as_json, "Print JSON");

  CLI::App& checks =
      add("check", "Say whether the tables of an image are sound; status 1 if they are not", check);
  checks.add_option("--format", options->format, known);
  checks.add_flag("--repair", options->repair, "Mend what can be mended");
  checks.add_flag("--json", options->as_json, "Print JSON");

  CLI::App& converts = add(
      "convert", "Copy an image, with those that it stands on, into a new one; zeroes take no room",
      convert);
  converts.add_option("NEW", options->target, "The new image")->required();
  converts.add_option("--format", options->format, "Of the new image: " + std::string(made));
  converts.add_option("--source-format", options->source_format, known);

  CLI::App& resizes = add("resize", "Make an image larger, or a raw one smaller", resize);
  resizes.add_option("SIZE", options->size, "Of the disk, such as 20G, or +10G for so much more")
      ->required();
  resizes.add_option("--format", options->format, known);
  resizes.add_flag("--shrink", options->shrink, "A raw image may lose what is behind its new end");
}

}  // namespace vireo::app
