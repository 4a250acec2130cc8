#include "backends/network/switch_hub.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "backends/network/frame_header.h"

namespace vireo::backends {
namespace {

constexpr unsigned kMessagesPerTurn = 64;

std::uint64_t now_ms() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

bool is_ours(int fd) {
  ucred who{};
  socklen_t size = sizeof(who);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.uid == ::geteuid();
}

}  // namespace

Result<std::unique_ptr<SwitchHub>> SwitchHub::create(UniqueFd listener) {
  return std::unique_ptr<SwitchHub>(new SwitchHub(std::move(listener), TRY(WakeEvent::create())));
}

SwitchHub::SwitchHub(UniqueFd listener, WakeEvent wake)
    : listener_(std::move(listener)),
      wake_(std::move(wake)),
      buffer_(sizeof(FrameHeader) + kMostFrameBytes) {
  thread_ = start_quiet_thread([this] { run(); });
}

SwitchHub::~SwitchHub() {
  stopping_ = true;
  wake_.wake();
  thread_.join();
}

void SwitchHub::run() {
  std::vector<pollfd> polled;
  std::vector<std::uint64_t> ids;
  while (!stopping_) {
    polled.assign({{wake_.fd(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
    ids.assign(2, 0);
    for (const auto& [id, port] : ports_) {
      const int events = POLLIN | (port.waiting.empty() ? 0 : POLLOUT);
      polled.push_back({port.fd.get(), static_cast<short>(events), 0});
      ids.push_back(id);
    }
    ::poll(polled.data(), polled.size(), -1);
    if (polled[0].revents != 0) wake_.take();
    if (polled[1].revents != 0) accept_ports();
    for (std::size_t i = 2; i < polled.size(); ++i) {
      if ((polled[i].revents & POLLOUT) != 0) write_waiting(ports_.at(ids[i]));
      if ((polled[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_port(ids[i]);
    }
    remove_gone();
  }
}

void SwitchHub::accept_ports() {
  for (;;) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (!is_ours(fd.get()) || ports_.size() >= kMostPorts) continue;
    constexpr int kSendBuffer = 1 << 20;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
    ports_[next_port_++].fd = std::move(fd);
  }
}

void SwitchHub::read_port(std::uint64_t id) {
  Port& port = ports_.at(id);
  for (unsigned i = 0; i < kMessagesPerTurn && !port.gone; ++i) {
    const ssize_t read = ::recv(port.fd.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (read < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (read <= 0) {
      port.gone = true;
    } else if (static_cast<std::size_t>(read) >= sizeof(FrameHeader) + kLeastFrameBytes) {
      pass_on(id, std::span(buffer_).first(static_cast<std::size_t>(read)));
    }
  }
}

void SwitchHub::pass_on(std::uint64_t from, std::span<const std::byte> message) {
  const std::uint64_t now = now_ms();
  const auto frame = message.subspan(sizeof(FrameHeader));
  addresses_.learn(MacTable::address_at(frame.subspan(6)), from, now);
  const auto to = addresses_.find(MacTable::address_at(frame), now);
  Message shared;
  if (to) {
    if (*to != from) put(ports_.at(*to), message, shared);
    return;
  }
  for (auto& [id, port] : ports_) {
    if (id != from) put(port, message, shared);
  }
}

/// `shared` is made when the first port has to keep the message.
void SwitchHub::put(Port& port, std::span<const std::byte> bytes, Message& shared) {
  if (port.gone) return;
  if (port.waiting.empty() && write(port, bytes)) return;
  if (port.gone || port.waiting_bytes + bytes.size() > kMostWaitingBytes) return;
  if (!shared) shared = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  port.waiting.push_back(shared);
  port.waiting_bytes += bytes.size();
}

void SwitchHub::write_waiting(Port& port) {
  while (!port.waiting.empty() && !port.gone && write(port, *port.waiting.front())) {
    port.waiting_bytes -= port.waiting.front()->size();
    port.waiting.pop_front();
  }
}

/// False if the port has no room now, or is gone.
bool SwitchHub::write(Port& port, std::span<const std::byte> bytes) {
  if (::send(port.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
    return true;
  if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) port.gone = true;
  return false;
}

void SwitchHub::remove_gone() {
  for (auto at = ports_.begin(); at != ports_.end();) {
    if (at->second.gone) {
      addresses_.forget_port(at->first);
      at = ports_.erase(at);
    } else {
      ++at;
    }
  }
}

}  // namespace vireo::backends
