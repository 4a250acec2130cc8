#include "backends/block/open_block.h"

#include <csignal>
#include <filesystem>
#include <utility>

#include "backends/block/image_chain.h"
#include "backends/block/qcow2/backend.h"
#include "backends/block/qcow2/create.h"
#include "backends/block/raw_backend.h"
#include "backends/block/request_check.h"

namespace vireo::backends {
namespace {

/// A limit on the size of files shall fail a write, not end the machine.
void ignore_file_size_signal() {
  struct sigaction now = {};
  ::sigaction(SIGXFSZ, nullptr, &now);
  if (now.sa_handler == SIG_DFL) std::signal(SIGXFSZ, SIG_IGN);
}

/// A temporary image over the one that stays as it is.
Result<std::unique_ptr<BlockBackend>> open_discarding(std::shared_ptr<Layer> below,
                                                      const std::string& path, std::string name) {
  if (below->size() % kSectorSize != 0)
    return usage_error("the image {} has {} bytes, which is no multiple of {}: make it longer",
                       path, below->size(), kSectorSize);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  auto file = TRY(ImageFile::open_temporary(folder.empty() ? "." : folder));
  const auto header = qcow2::create_image(*file, below->size());
  if (!header)
    return host_error("cannot write a temporary image in {}: {}", file->path(),
                      header.error().message());
  auto image = TRY(qcow2::Image::open(std::move(file), *header, std::move(below)));
  constexpr std::chrono::milliseconds kNever{0};  // the file goes with the program
  return qcow2::make_backend(std::move(image), std::move(name), kNever);
}

}  // namespace

Result<std::unique_ptr<BlockBackend>> open_block_backend(const BlockOptions& options) {
  ignore_file_size_signal();
  ImageChain chain(options.bypass_cache);
  auto file = TRY(chain.open(options.path, options.read_only || options.discard_changes));
  const ImageFormat format = TRY(choose_format(*file, options.format));
  const bool raw = format == ImageFormat::kRaw;
  const std::string name = fmt::format("{} image {}", raw ? "raw" : "qcow2", options.path);
  if (options.discard_changes && !options.read_only) {
    auto layer = TRY(chain.open_layer(std::move(file), format));
    return open_discarding(std::move(layer), options.path, name + ", changes discarded");
  }
  if (raw) return open_raw_backend(std::move(file), options.format.empty());
  const qcow2::Header header = TRY(qcow2::read_header(*file));
  auto below = TRY(chain.open_below(options.path, header));
  auto image = TRY(qcow2::Image::open(std::move(file), header, std::move(below)));
  return qcow2::make_backend(std::move(image), name, options.commit_after);
}

}  // namespace vireo::backends
