#include "backends/network/frame_port.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace vireo::backends {
namespace {

constexpr int kReconnectMs = 20;
constexpr unsigned kFramesPerTurn = 64;

bool is_temporary(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS;
}

/// Sockets would else raise a signal when the other end is gone; taps are no sockets.
ssize_t write_frame(int fd, std::span<iovec> pieces) {
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  return ::writev(fd, pieces.data(), static_cast<int>(pieces.size()));
}

}  // namespace

FramePort::FramePort(UniqueFd fd, WakeEvent wake, bool headers)
    : wake_(std::move(wake)),
      headers_(headers),
      buffer_(sizeof(FrameHeader) + kMostFrameBytes),
      fd_(std::move(fd)) {}

FramePort::~FramePort() { stop(); }

void FramePort::start(NetworkReader& reader) {
  reader_ = &reader;
  stopping_ = false;
  thread_ = start_quiet_thread([this] { run(); });
}

void FramePort::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wake_.wake();
  thread_.join();
}

bool FramePort::send(const FrameHeader& header, std::span<const std::byte> frame) {
  FrameHeader first = header;
  // SAFETY: writing does not change what an iovec points at.
  std::array<iovec, 2> pieces{
      {{&first, sizeof(first)}, {const_cast<std::byte*>(frame.data()), frame.size()}}};
  const std::lock_guard lock(mutex_);
  if (!fd_) return true;  // nobody is there
  const auto row = std::span(pieces).subspan(headers_ ? 0 : 1);
  if (write_frame(fd_.get(), row) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) return true;
  wants_to_write_ = true;
  wake_.wake();
  return false;
}

void FramePort::resume() {
  resumed_ = true;
  wake_.wake();
}

void FramePort::run() {
  while (!stopping_) {
    std::array<pollfd, 2> polled{{{wake_.fd(), POLLIN, 0}, {-1, 0, 0}}};
    {
      const std::lock_guard lock(mutex_);
      const int events = (held_ ? 0 : POLLIN) | (wants_to_write_ ? POLLOUT : 0);
      if (events != 0) polled[1] = {fd_.get(), static_cast<short>(events), 0};
    }
    const bool lost = !held_ && polled[1].fd < 0;
    ::poll(polled.data(), polled.size(), lost ? kReconnectMs : -1);
    if (polled[0].revents != 0) wake_.take();
    if (stopping_) return;
    if (lost) {
      replace_descriptor();
      continue;
    }
    if ((polled[1].revents & (POLLOUT | POLLHUP | POLLERR)) != 0) {
      {
        const std::lock_guard lock(mutex_);
        wants_to_write_ = false;
      }
      reader_->on_writable();
    }
    if (resumed_.exchange(false) && held_) held_ = !offer();
    if (held_ || (polled[1].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    for (unsigned i = 0; i < kFramesPerTurn && read_frame(); ++i) {
    }
  }
}

void FramePort::replace_descriptor() {
  UniqueFd fd = reconnect();
  if (!fd) return;
  {
    const std::lock_guard lock(mutex_);
    fd_ = std::move(fd);
    wants_to_write_ = false;
  }
  reader_->on_writable();
}

bool FramePort::offer() {
  return reader_->receive(header_, std::span(buffer_).first(frame_bytes_));
}

/// False if there is nothing more to read now.
bool FramePort::read_frame() {
  std::array<iovec, 2> pieces{{{&header_, sizeof(header_)}, {buffer_.data(), buffer_.size()}}};
  const auto row = std::span(pieces).subspan(headers_ ? 0 : 1);
  const ssize_t read = ::readv(fd_.get(), row.data(), static_cast<int>(row.size()));
  if (read < 0 && is_temporary(errno)) return false;
  if (read <= 0) {
    const std::lock_guard lock(mutex_);
    fd_ = UniqueFd();
    wants_to_write_ = false;
    return false;
  }
  const std::size_t before = headers_ ? sizeof(header_) : 0;
  if (static_cast<std::size_t>(read) <= before) return true;  // no frame at all
  frame_bytes_ = static_cast<std::size_t>(read) - before;
  held_ = !offer();
  return !held_;
}

}  // namespace vireo::backends
