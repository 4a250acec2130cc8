#include "backends/block/open_block.h"

#include <array>
#include <csignal>
#include <utility>

#include "backends/block/image_file.h"
#include "backends/block/image_format.h"
#include "backends/block/raw_backend.h"

namespace vireo::backends {
namespace {

/// A limit on the size of files shall fail a write, not end the machine.
void ignore_file_size_signal() {
  struct sigaction now = {};
  ::sigaction(SIGXFSZ, nullptr, &now);
  if (now.sa_handler == SIG_DFL) std::signal(SIGXFSZ, SIG_IGN);
}

Result<ImageFormat> choose_format(const BlockOptions& options, const ImageFile& file) {
  if (!options.format.empty()) return format_by_name(options.format);
  std::array<std::uint8_t, kFormatHeadSize> head{};
  if (const auto error = file.read(0, std::span(head)))
    return host_error("cannot read the image {}: {}", options.path, error.message());
  return tell_format(head);
}

}  // namespace

Result<std::unique_ptr<BlockBackend>> open_block_backend(const BlockOptions& options) {
  ignore_file_size_signal();
  if (options.discard_changes)
    return usage_error("changes to {} cannot be discarded: not offered yet", options.path);
  auto file = TRY(ImageFile::open(options.path, options.read_only));
  if (TRY(choose_format(options, *file)) == ImageFormat::kQcow2)
    return usage_error("the image {} is a qcow2 image, which is not offered yet", options.path);
  return open_raw_backend(std::move(file), options.format.empty());
}

}  // namespace vireo::backends
