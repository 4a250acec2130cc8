#include "backends/character/output_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

namespace vireo::backends {
namespace {

// What a terminal that reports room surely takes without blocking.
constexpr std::size_t kSafeChunk = 64;
constexpr auto kPatience = std::chrono::milliseconds(1000);

}  // namespace

void ignore_sigpipe() {
  struct sigaction action = {};
  if (::sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL)
    ::signal(SIGPIPE, SIG_IGN);
}

OutputQueue::~OutputQueue() {
  if (reopened_ >= 0) ::close(reopened_);
}

void OutputQueue::connect(int fd) {
  std::lock_guard lock(mutex_);
  if (reopened_ >= 0) ::close(std::exchange(reopened_, -1));
  fd_ = fd;
  kind_ = Kind::kNone;
  stalled_ = broken_ = false;
  struct stat info = {};
  if (fd < 0 || ::fstat(fd, &info) != 0) return;
  if (S_ISREG(info.st_mode)) {
    kind_ = Kind::kRegularFile;
  } else if (S_ISSOCK(info.st_mode)) {
    kind_ = Kind::kSocket;
  } else if (::fcntl(fd, F_GETFL) & O_NONBLOCK) {
    kind_ = Kind::kNonBlocking;
  } else {
    const auto path = fmt::format("/proc/self/fd/{}", fd);
    reopened_ = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (reopened_ >= 0) fd_ = reopened_;
    kind_ = reopened_ >= 0 ? Kind::kNonBlocking : Kind::kBlocking;
  }
  pump_locked();
}

bool OutputQueue::write(std::span<const std::uint8_t> bytes) {
  std::lock_guard lock(mutex_);
  if (broken_) return false;
  pump_locked();
  if (waiting().empty()) {
    const auto sent = send_some(bytes);
    if (sent > 0) bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  if (!bytes.empty() && !broken_) {
    make_room_locked(bytes.size());
    const std::size_t room = capacity_ - std::min(capacity_, waiting().size());
    const std::size_t size = std::min(room, bytes.size());
    const auto kept = when_full_ == WhenFull::kWait ? bytes.first(size) : bytes.last(size);
    buffer_.insert(buffer_.end(), kept.begin(), kept.end());
    pump_locked();
  }
  return !waiting().empty() && kind_ != Kind::kNone;
}

bool OutputQueue::pump() {
  std::lock_guard lock(mutex_);
  pump_locked();
  return !waiting().empty() && kind_ != Kind::kNone;
}

void OutputQueue::flush(std::chrono::milliseconds patience) {
  std::lock_guard lock(mutex_);
  pump_locked();
  while (!waiting().empty() && kind_ != Kind::kNone && wait_for_room(patience)) pump_locked();
}

void OutputQueue::pump_locked() {
  while (!waiting().empty()) {
    const auto sent = send_some(waiting());
    if (sent <= 0) break;
    sent_ += static_cast<std::size_t>(sent);
    stalled_ = false;
  }
  if (broken_ || waiting().empty()) {
    buffer_.clear();
    sent_ = 0;
  } else if (sent_ > capacity_) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(sent_));
    sent_ = 0;
  }
}

/// Room for so many bytes in the queue, by waiting or by forgetting.
void OutputQueue::make_room_locked(std::size_t bytes) {
  while (when_full_ == WhenFull::kWait && !stalled_ && waiting().size() + bytes > capacity_ &&
         !waiting().empty()) {
    if (wait_for_room(kPatience))
      pump_locked();
    else
      stalled_ = true;
  }
  if (when_full_ == WhenFull::kDropOldest && waiting().size() + bytes > capacity_) {
    sent_ += std::min(waiting().size(), waiting().size() + bytes - capacity_);
  }
}

/// What went out, 0 if nothing can go now; marks the queue as broken if nothing ever will.
long OutputQueue::send_some(std::span<const std::uint8_t> bytes) {
  if (bytes.empty() || kind_ == Kind::kNone || broken_) return 0;
  for (;;) {
    long sent = -1;
    if (kind_ == Kind::kSocket) {
      sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (kind_ == Kind::kBlocking) {
      if (!wait_for_room(std::chrono::milliseconds(0))) return 0;
      sent = ::write(fd_, bytes.data(), std::min(bytes.size(), kSafeChunk));
    } else {
      sent = ::write(fd_, bytes.data(), bytes.size());
    }
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EPIPE && errno != ECONNRESET && errno != EIO) {
      fmt::print(stderr, "vireo: output of the guest is lost: {}\n",
                 std::generic_category().message(errno));
    }
    broken_ = true;
    return 0;
  }
}

bool OutputQueue::wait_for_room(std::chrono::milliseconds timeout) const {
  pollfd poll_fd{fd_, POLLOUT, 0};
  int ready = -1;
  do {
    ready = ::poll(&poll_fd, 1, static_cast<int>(timeout.count()));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace vireo::backends
