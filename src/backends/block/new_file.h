#pragma once
#include <memory>
#include <string>

#include "backends/block/image_file.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// A file that has its name only when it is whole: until publish() it is in the same folder,
/// without a name where the file system can do that, else under one of its own. Not thread-safe.
class NewFile {
 public:
  /// A usage error if there is something of this name.
  [[nodiscard]] static Result<NewFile> create(const std::string& path);
  ~NewFile();
  NewFile(NewFile&& other) noexcept
      : path_(std::move(other.path_)),
        temporary_(std::exchange(other.temporary_, {})),
        file_(std::move(other.file_)) {}
  NewFile& operator=(NewFile&&) = delete;

  const std::shared_ptr<ImageFile>& file() const { return file_; }
  /// What was written is on the disk, and the file has its name. Never replaces another that got
  /// this name meanwhile.
  [[nodiscard]] Result<> publish();

 private:
  NewFile(std::string path, std::string temporary, std::shared_ptr<ImageFile> file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

  std::string path_, temporary_;  ///< the latter is empty for a file without a name
  std::shared_ptr<ImageFile> file_;
};

}  // namespace vireo::backends
