#include "devices/virtio/vsock_stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace vireo::devices::virtio {

bool VsockStream::put(std::span<const std::byte> data, std::uint32_t flags) {
  if (guest_sends_no_more_ || state_ != State::kOpen) return false;
  if (data.size() > kBufferBytes - outgoing_.bytes()) return false;
  outgoing_.put(data, (flags & vsock::kEndOfMessage) != 0);
  return true;
}

void VsockStream::shut_down(std::uint32_t flags) {
  if ((flags & vsock::kSendsNoMore) != 0) {
    guest_sends_no_more_ = true;
    outgoing_.drop_unfinished();
  }
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

std::uint32_t VsockStream::flags_of_last() const {
  const bool whole = ready().size() == staged_.size() - staged_start_;
  return type_ == vsock::kMessages && whole ? vsock::kEndOfMessage : 0;
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
  if (guest_sends_no_more_ && outgoing_.bytes() == 0 && !std::exchange(host_told_end_, true))
    ::shutdown(socket_.get(), SHUT_WR);
  return fill();
}

bool VsockStream::flush() {
  const auto forwarded = outgoing_.flush(socket_.get());
  forwarded_ += forwarded.value_or(0);
  return forwarded.has_value();
}

bool VsockStream::fill() {
  if (state_ != State::kOpen || host_ended_ || guest_takes_no_more_ || !staged_.empty() ||
      credit() == 0)
    return true;
  if (type_ == vsock::kMessages) return fill_message();
  return receive(std::min<std::size_t>(kStagedBytes, credit()));
}

/// A message goes in parts, as there is credit, but the guest takes it only if all of it finds
/// room.
bool VsockStream::fill_message() {
  std::byte none{};
  const ssize_t length = ::recv(socket_.get(), &none, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (length < 0) return errno == EAGAIN || errno == EINTR;
  const auto bytes = static_cast<std::size_t>(length);
  if (bytes == 0) return fill_nothing();
  if (bytes > kLongestMessage || bytes > peer_bytes_) return false;
  return receive(bytes);
}

/// Either the end, or an empty message, which is none: in the guest it would look like the end.
bool VsockStream::fill_nothing() {
  pollfd end{socket_.get(), POLLRDHUP, 0};
  int bytes_behind = 0;
  const bool ended = ::poll(&end, 1, 0) == 1 && (end.revents & POLLRDHUP) != 0;
  if (ended && ::ioctl(socket_.get(), FIONREAD, &bytes_behind) == 0 && bytes_behind == 0) {
    host_ended_ = true;
    return true;
  }
  std::byte none{};
  return ::recv(socket_.get(), &none, 0, MSG_DONTWAIT) == 0;
}

bool VsockStream::receive(std::size_t most) {
  staged_.resize(most);
  const ssize_t count = ::recv(socket_.get(), staged_.data(), staged_.size(), MSG_DONTWAIT);
  const int error = count < 0 ? errno : 0;
  staged_.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count == 0) host_ended_ = true;
  return error == 0 || error == EAGAIN || error == EINTR;
}

EventLoop::Ready VsockStream::interest() const {
  const bool takes = state_ == State::kOpen && !host_ended_ && !guest_takes_no_more_ &&
                     staged_.empty() && credit() != 0;
  return {takes, outgoing_.waits()};
}

bool VsockStream::ended_now() { return host_ended_ && !std::exchange(guest_told_end_, true); }

bool VsockStream::over() const {
  if (!guest_sends_no_more_ || outgoing_.bytes() != 0) return false;
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
