#include "machine/boot/firmware_variables.h"

#include <unistd.h>

#include <utility>

#include "backends/block/new_file.h"
#include "machine/boot/boot_image.h"
#include "machine/boot/firmware_image.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

constexpr std::size_t kLargest = 1 << 20;

std::span<const std::uint8_t> octets(std::span<const std::byte> bytes) {
  // SAFETY: bytes under another name of theirs.
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

Result<> make_from_package(const std::string& path, const std::string& firmware) {
  const std::string from = TRY(variables_of_package(firmware));
  const std::vector<std::byte> content = TRY(read_file(from, "variables of firmware"));
  auto made = TRY(backends::NewFile::create(path));
  if (const auto error = made.file()->write(0, octets(content)))
    return host_error("cannot write {}: {}", path, error.message());
  return made.publish();
}

}  // namespace

Result<std::unique_ptr<FirmwareVariables>> FirmwareVariables::open(const std::string& path,
                                                                   const std::string& firmware) {
  if (::access(path.c_str(), F_OK) != 0) TRY(make_from_package(path, firmware));
  auto file = TRY(backends::ImageFile::open(path, false));
  std::vector<std::byte> content = TRY(read_file(path, "variables of firmware"));
  if (content.empty() || content.size() > kLargest || content.size() % kPageSize != 0)
    return usage_error(
        "{} holds no variables of firmware: it has {} bytes, not whole pages up to 1 MiB", path,
        content.size());
  return std::unique_ptr<FirmwareVariables>(
      new FirmwareVariables(std::move(file), std::move(content)));
}

FirmwareVariables::FirmwareVariables(std::shared_ptr<backends::ImageFile> file,
                                     std::vector<std::byte> content)
    : file_(std::move(file)),
      content_(std::move(content)),
      failures_("file of firmware variables " + file_->path()) {}

std::error_code FirmwareVariables::keep(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::error_code error = file_->write(offset, octets(bytes));
  failures_.note(backends::BlockOperation::kWrite, error);
  return error;
}

}  // namespace vireo::machine
