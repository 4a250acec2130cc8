#include "backends/network/pcap_file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <system_error>

#include "backends/network/frame_header.h"

namespace vireo::backends {
namespace {

// In the byte order of who writes; readers tell it by the magic number.
struct FileHeader {
  std::uint32_t magic = 0xa1b23c4d;  // nanoseconds
  std::uint16_t major = 2, minor = 4;
  std::uint32_t zone = 0, accuracy = 0;
  std::uint32_t longest = 0x40000;
  std::uint32_t link_type = 1;  // Ethernet
};
static_assert(sizeof(FileHeader) == 24);

struct RecordHeader {
  std::uint32_t seconds, nanoseconds;
  std::uint32_t stored, original;  // bytes
};

}  // namespace

Result<PcapFile> PcapFile::create(const std::string& path) {
  PcapFile file;
  file.fd_ =
      UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  const FileHeader header;
  if (!file.fd_ || ::write(file.fd_.get(), &header, sizeof(header)) != sizeof(header))
    return host_error("cannot write frames to '{}': {}", path,
                      std::generic_category().message(errno));
  return file;
}

void PcapFile::write(std::span<const std::byte> frame) {
  const std::lock_guard lock(mutex_);
  if (!fd_) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto size = static_cast<std::uint32_t>(frame.size());
  RecordHeader header{static_cast<std::uint32_t>(now.tv_sec),
                      static_cast<std::uint32_t>(now.tv_nsec), size, size};
  // SAFETY: writing does not change what an iovec points at.
  const std::array<iovec, 2> pieces{
      {{&header, sizeof(header)}, {const_cast<std::byte*>(frame.data()), frame.size()}}};
  const ssize_t written = ::writev(fd_.get(), pieces.data(), 2);
  // A record that is cut off ends the file.
  if (written != static_cast<ssize_t>(sizeof(header) + frame.size())) fd_ = UniqueFd();
}

}  // namespace vireo::backends
