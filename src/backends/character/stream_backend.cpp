#include "backends/character/stream_backend.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace vireo::backends {
namespace {

enum Source : std::uint32_t { kEvent, kInput, kOutput, kOther };
constexpr std::size_t kReadSize = 4096;

int control(int epoll, int operation, int fd, std::uint32_t events, Source source) {
  epoll_event event{};
  event.events = events;
  event.data.u32 = source;
  return ::epoll_ctl(epoll, operation, fd, &event);
}

}  // namespace

Result<> StreamBackend::open_epoll() {
  ignore_sigpipe();
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  event_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !event_ || control(epoll_.get(), EPOLL_CTL_ADD, event_.get(), EPOLLIN, kEvent))
    return host_error("cannot watch a serial port: {}", std::generic_category().message(errno));
  return Unit{};
}

void StreamBackend::connect(int input, int output) {
  if (input_ >= 0 && !always_ready_) set_interest(input_, 0, input_interest_);
  if (watched_output_) set_interest(watched_output_.get(), 0, output_interest_);
  input_ = input;
  // One descriptor cannot be in an epoll instance twice: a socket's output is watched as a copy.
  watched_output_ = UniqueFd(output >= 0 ? ::fcntl(output, F_DUPFD_CLOEXEC, 3) : -1);
  always_ready_ = false;
  if (input_ >= 0 && control(epoll_.get(), EPOLL_CTL_ADD, input_, EPOLLIN, kInput) != 0)
    always_ready_ = true;
  else
    input_interest_ = input_ >= 0 ? EPOLLIN : 0;
  output_.connect(output);
  attention();
}

void StreamBackend::write(std::span<const std::uint8_t> bytes) {
  if (output_.write(bytes)) attention();  // the event thread will send the rest
}

void StreamBackend::attention() {
  const std::uint64_t one = 1;
  while (::write(event_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void StreamBackend::watch_other(int fd, bool watched) {
  control(epoll_.get(), watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, EPOLLIN, kOther);
}

void StreamBackend::on_readable() {
  std::array<epoll_event, 4> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  bool readable = always_ready_, other = false;
  for (int i = 0; i < count; ++i) {
    const std::uint32_t source = events[static_cast<std::size_t>(i)].data.u32;
    readable |= source == kInput;
    other |= source == kOther;
    std::uint64_t ignored = 0;
    if (source == kEvent && ::read(event_.get(), &ignored, sizeof(ignored)) < 0) continue;
  }
  deliver();
  if (readable && pending_.empty()) read_some();
  if (other) on_other_readable();
  update_interest();
}

void StreamBackend::deliver() {
  if (pending_.empty()) return;
  const std::size_t taken = reader_ ? reader_(pending_) : pending_.size();
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void StreamBackend::read_some() {
  if (input_ < 0) return;
  std::vector<std::uint8_t> bytes(kReadSize);
  const long size = ::read(input_, bytes.data(), bytes.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) {
    if (!always_ready_) set_interest(input_, 0, input_interest_);
    input_ = -1;
    always_ready_ = false;
    on_end_of_input();
    return;
  }
  bytes.resize(static_cast<std::size_t>(size));
  filter(bytes);
  pending_ = std::move(bytes);
  deliver();
  if (always_ready_ && pending_.empty()) attention();  // there may be more
}

/// Input is watched while the reader takes it, output while there is something to send.
void StreamBackend::update_interest() {
  if (input_ >= 0 && !always_ready_)
    set_interest(input_, pending_.empty() ? std::uint32_t{EPOLLIN} : 0, input_interest_);
  const bool waiting = output_.pump();
  if (watched_output_)
    set_interest(watched_output_.get(), waiting ? std::uint32_t{EPOLLOUT} : 0, output_interest_);
}

/// A descriptor without interest leaves the instance: hang-ups would be reported all the same.
void StreamBackend::set_interest(int fd, std::uint32_t events, std::uint32_t& current) {
  if (events == current) return;
  const int operation = events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
  control(epoll_.get(), operation, fd, events, &current == &input_interest_ ? kInput : kOutput);
  current = events;
}

}  // namespace vireo::backends
