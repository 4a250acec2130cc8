#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "backends/block/failure_report.h"
#include "backends/block/image_file.h"
#include "base/result.h"

namespace vireo::machine {

/// What UEFI firmware remembers from one run to the next, in a file of the host: its variables, as
/// they stand in flash memory in front of the firmware's code.
class FirmwareVariables {
 public:
  /// Opens and locks the file. If there is none, and `firmware` is `ovmf`, it is made from what the
  /// package has for that. A usage error for what cannot be such a file.
  static Result<std::unique_ptr<FirmwareVariables>> open(const std::string& path,
                                                         const std::string& firmware);

  /// As it was when it was opened: whole pages, at most 1 MiB.
  const std::vector<std::byte>& content() const { return content_; }
  /// Writes a change to the file; the host brings it to its disk when it likes. From any thread.
  std::error_code keep(std::uint64_t offset, std::span<const std::byte> bytes);

 private:
  FirmwareVariables(std::shared_ptr<backends::ImageFile> file, std::vector<std::byte> content);

  const std::shared_ptr<backends::ImageFile> file_;
  const std::vector<std::byte> content_;
  backends::FailureReport failures_;
};

}  // namespace vireo::machine
