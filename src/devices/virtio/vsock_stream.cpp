#include "devices/virtio/vsock_stream.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace vireo::devices::virtio {

bool VsockStream::put(std::span<const std::byte> data) {
  if (guest_sends_no_more_ || state_ != State::kOpen) return false;
  if (data.size() > kBufferBytes - unsent()) return false;
  outgoing_.insert(outgoing_.end(), data.begin(), data.end());
  return true;
}

void VsockStream::shut_down(std::uint32_t flags) {
  if ((flags & vsock::kSendsNoMore) != 0) guest_sends_no_more_ = true;
  if ((flags & vsock::kReceivesNoMore) == 0) return;
  guest_takes_no_more_ = true;
  staged_.clear();
  staged_start_ = 0;
}

bool VsockStream::accepted(std::uint32_t host_port) {
  state_ = State::kOpen;
  const std::string answer = fmt::format("OK {}\n", host_port);
  return ::send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(answer.size());
}

std::uint32_t VsockStream::credit() const {
  const std::uint32_t under_way = sent_ - peer_forwarded_;
  return under_way < peer_bytes_ ? peer_bytes_ - under_way : 0;
}

std::span<const std::byte> VsockStream::ready() const {
  const auto staged = std::span(staged_).subspan(staged_start_);
  return staged.first(std::min<std::size_t>(staged.size(), credit()));
}

void VsockStream::sent(std::size_t bytes) {
  sent_ += static_cast<std::uint32_t>(bytes);
  staged_start_ += bytes;
  if (staged_start_ < staged_.size()) return;
  staged_.clear();
  staged_start_ = 0;
}

bool VsockStream::move() {
  if (!flush()) return false;
  if (guest_sends_no_more_ && unsent() == 0 && !std::exchange(host_told_end_, true))
    ::shutdown(socket_.get(), SHUT_WR);
  return fill();
}

bool VsockStream::flush() {
  while (unsent() != 0) {
    const ssize_t count = ::send(socket_.get(), outgoing_.data() + outgoing_start_, unsent(),
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    outgoing_start_ += static_cast<std::size_t>(count);
    forwarded_ += static_cast<std::uint32_t>(count);
  }
  outgoing_.clear();
  outgoing_start_ = 0;
  return true;
}

bool VsockStream::fill() {
  if (state_ != State::kOpen || host_ended_ || guest_takes_no_more_ || !staged_.empty() ||
      credit() == 0)
    return true;
  staged_.resize(std::min<std::size_t>(kStagedBytes, credit()));
  const ssize_t count = ::recv(socket_.get(), staged_.data(), staged_.size(), MSG_DONTWAIT);
  const int error = count < 0 ? errno : 0;
  staged_.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count == 0) host_ended_ = true;
  return error == 0 || error == EAGAIN || error == EINTR;
}

EventLoop::Ready VsockStream::interest() const {
  const bool takes = state_ == State::kOpen && !host_ended_ && !guest_takes_no_more_ &&
                     staged_.empty() && credit() != 0;
  return {takes, unsent() != 0};
}

bool VsockStream::ended_now() { return host_ended_ && !std::exchange(guest_told_end_, true); }

bool VsockStream::over() const {
  if (!guest_sends_no_more_ || unsent() != 0) return false;
  return guest_takes_no_more_ || host_ended_;
}

bool VsockStream::credit_is_news() {
  if (forwarded_ - told_forwarded_ < kBufferBytes / 2) return false;
  told_forwarded_ = forwarded_;
  return true;
}

void VsockStream::tell(vsock::Header& header) {
  header.buffer_bytes = kBufferBytes;
  header.forwarded_bytes = told_forwarded_ = forwarded_;
}

}  // namespace vireo::devices::virtio
