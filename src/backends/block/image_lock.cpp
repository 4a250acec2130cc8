#include "backends/block/image_lock.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

namespace vireo::backends {
namespace {

/// What can be done with an image; the number of each is that of its byte.
enum Right : unsigned { kConsistentRead = 0, kWriteContent = 1, kResize = 3 };
constexpr std::array kRights{kConsistentRead, kWriteContent, kResize};
/// The kernel lets go of the files of a program that was killed a little after its end.
constexpr int kTries = 20;
constexpr std::chrono::milliseconds kPause{10};

constexpr off_t kUsed = 100;      ///< the byte kUsed + right: somebody does this
constexpr off_t kUnshared = 200;  ///< the byte kUnshared + right: somebody bears no other who does

bool uses(ImageUse use, Right right) { return use == ImageUse::kWrite || right == kConsistentRead; }
bool unshares(ImageUse use, Right right) {
  return use == ImageUse::kWrite || right != kConsistentRead;
}

struct flock byte_lock(short type, off_t byte) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

/// 0, or the host's error. EAGAIN: somebody locks the byte alone.
int claim(int fd, off_t byte) {
  struct flock lock = byte_lock(F_RDLCK, byte);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}
bool somebody_claims(int fd, off_t byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

enum class Attempt : std::uint8_t { kLocked, kInUse };

Result<Attempt> try_lock(int fd, const std::string& path, ImageUse use) {
  for (const Right right : kRights) {
    for (const auto& [wanted, base] :
         {std::pair(uses(use, right), kUsed), std::pair(unshares(use, right), kUnshared)}) {
      const int error = wanted ? claim(fd, base + right) : 0;
      if (error == EAGAIN || error == EACCES) return Attempt::kInUse;
      if (error == EINVAL || error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS)
        return Attempt::kLocked;
      if (error != 0)
        return host_error("cannot lock the image {}: {}", path,
                          std::generic_category().message(error));
    }
  }
  for (const Right right : kRights) {
    if (uses(use, right) && somebody_claims(fd, kUnshared + right)) return Attempt::kInUse;
    if (unshares(use, right) && somebody_claims(fd, kUsed + right)) return Attempt::kInUse;
  }
  return Attempt::kLocked;
}

}  // namespace

Result<> lock_image(int fd, const std::string& path, ImageUse use) {
  for (int tries = 0; tries < kTries; ++tries) {
    if (TRY(try_lock(fd, path, use)) == Attempt::kLocked) return Unit{};
    std::this_thread::sleep_for(kPause);
  }
  return usage_error("the image {} is in use by another program{}", path,
                     use == ImageUse::kRead ? " that writes to it" : "");
}

}  // namespace vireo::backends
