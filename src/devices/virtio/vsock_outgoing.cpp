#include "devices/virtio/vsock_outgoing.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace vireo::devices::virtio {

void VsockOutgoing::put(std::span<const std::byte> data, bool ends_message) {
  data_.insert(data_.end(), data.begin(), data.end());
  if (!messages_) return;
  unfinished_ += data.size();
  if (ends_message && unfinished_ != 0) ends_.push_back(std::exchange(unfinished_, 0));
}

void VsockOutgoing::drop_unfinished() {
  data_.resize(data_.size() - std::exchange(unfinished_, 0));
}

std::optional<std::uint32_t> VsockOutgoing::flush(int socket) {
  std::uint32_t forwarded = 0;
  while (waits()) {
    const std::size_t wanted = messages_ ? ends_.front() : bytes();
    const ssize_t count =
        ::send(socket, data_.data() + start_, wanted, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return std::nullopt;
    if (count < 0) break;
    start_ += static_cast<std::size_t>(count);
    forwarded += static_cast<std::uint32_t>(count);
    if (messages_) ends_.pop_front();
  }
  forget_what_went();
  return forwarded;
}

/// A reader that always leaves a little would else have all of a long stream kept.
void VsockOutgoing::forget_what_went() {
  if (start_ < bytes()) return;
  data_.erase(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(start_));
  start_ = 0;
}

}  // namespace vireo::devices::virtio
