#include "backends/network/user_network.h"

#include <arpa/inet.h>
#include <poll.h>
#include <slirp/libslirp.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "backends/network/offload.h"
#include "backends/network/wake_event.h"

namespace vireo::backends {
namespace {

using Bytes = std::vector<std::byte>;

/// Of the library: as large as it takes them, since streams end there. What it makes is cut on the
/// way to the guest, if the guest does not do it.
constexpr std::uint16_t kInnerMtu = 65520;
constexpr std::uint16_t kMtu = 1500;
/// What the guest may have sent that the thread has not taken.
constexpr std::size_t kMostQueuedBytes = 1 << 20;
/// What the guest has no buffers for. Streams stop long before; this bounds the rest.
constexpr std::size_t kMostHeldBytes = 8 << 20;
constexpr std::uint32_t kLongestSleepMs = 60'000;
/// With more sockets than this, whoever sends does not look at all of them for each frame.
constexpr std::size_t kMostLookedAt = 64;

/// The library keeps a few things, such as the host's name servers, once for all its instances.
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
std::int64_t now_ms() { return now_ns() / 1'000'000; }

/// A connection that its other end gave up shall fail a call, on whatever thread a frame comes in.
void ignore_broken_pipes() {
  struct sigaction now = {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
}

/// Frames in order, with the bytes that they hold.
class FrameQueue {
 public:
  bool empty() const { return frames_.empty(); }
  std::size_t bytes() const { return bytes_; }
  const FrameHeader& header() const { return frames_.front().first; }
  const Bytes& front() const { return frames_.front().second; }
  void push(const FrameHeader& header, std::span<const std::byte> frame) {
    frames_.emplace_back(header, Bytes(frame.begin(), frame.end()));
    bytes_ += frame.size();
  }
  void pop() {
    bytes_ -= front().size();
    frames_.pop_front();
  }

 private:
  std::deque<std::pair<FrameHeader, Bytes>> frames_;
  std::size_t bytes_ = 0;
};

/// What the library waits for, and until when.
struct Wishes {
  std::vector<pollfd> polled;
  std::int64_t until_ms = 0;
};

/// Whether who sleeps for one of them wakes up in time for the other.
bool serves(const Wishes& sleeper, const Wishes& wanted) {
  const auto same = [](const pollfd& one, const pollfd& other) {
    return one.fd == other.fd && one.events == other.events;
  };
  return sleeper.until_ms <= wanted.until_ms &&
         std::ranges::equal(sleeper.polled, wanted.polled, same);
}

class UserNetwork final : public NetworkBackend {
 public:
  explicit UserNetwork(WakeEvent wake) : wake_(std::move(wake)) {}
  ~UserNetwork() override {
    stop();
    const std::lock_guard library(library_mutex());
    if (slirp_ != nullptr) ::slirp_cleanup(slirp_);
  }

  Result<> open(const std::vector<PortForward>& forwards);

  std::string name() const override { return "user"; }
  TakenFrames takes() const override { return TakenFrames::kJumbo; }

  void start(NetworkReader& reader) override {
    reader_ = &reader;
    stopping_ = false;
    thread_ = start_quiet_thread([this] { run(); });
  }
  void stop() override {
    if (!thread_.joinable()) return;
    stopping_ = true;
    wake_.wake();
    thread_.join();
    reader_ = nullptr;
  }
  bool send(const FrameHeader& header, std::span<const std::byte> frame) override {
    if (input_at_once(frame)) return true;
    const std::lock_guard lock(mutex_);
    if (sent_.bytes() > kMostQueuedBytes) {
      refused_ = true;
      return false;
    }
    if (sent_.empty()) wake_.wake();
    sent_.push(header, frame);
    return true;
  }
  void resume() override {
    resumed_ = true;
    wake_.wake();
  }

 private:
  struct Alarm {
    SlirpTimerCb callback;
    void* argument;
    std::int64_t due_ms = -1;  ///< -1: not set
  };
  static SlirpCb callbacks();
  static UserNetwork& self(void* opaque) { return *static_cast<UserNetwork*>(opaque); }

  Result<> forward(const PortForward& port);
  void run();
  void sleep();
  void take_sent();
  bool input_at_once(std::span<const std::byte> frame);

  // With the library's lock held.
  void input(std::span<const std::byte> frame);
  void ask_library(Wishes& wishes);
  void serve_sockets(bool failed);
  void ring_alarms();
  void on_packet(std::span<const std::byte> frame);
  void give(const FrameHeader& header, std::span<const std::byte> frame);
  void offer_held();

  const WakeEvent wake_;
  Slirp* slirp_ = nullptr;
  NetworkReader* reader_ = nullptr;
  std::thread thread_;
  std::atomic<bool> stopping_ = false, resumed_ = false;

  // Guarded by library_mutex(), as is all that the library remembers.
  FrameQueue held_;  ///< the reader had no room for these
  Bytes large_, fragment_;
  /// The thread changes it, and sleeps for it without the lock.
  Wishes wishes_;
  Wishes newer_;        ///< what whoever sent has found
  bool stale_ = false;  ///< the library waits for something else; the thread is awake, or will be
  std::vector<std::unique_ptr<Alarm>> alarms_;

  std::mutex mutex_;  // guards what follows; taken behind the library's
  FrameQueue sent_;
  bool refused_ = false;
};

SlirpCb UserNetwork::callbacks() {
  SlirpCb result{};
  result.send_packet = [](const void* data, std::size_t size, void* opaque) -> ssize_t {
    self(opaque).on_packet({static_cast<const std::byte*>(data), size});
    return static_cast<ssize_t>(size);
  };
  result.guest_error = [](const char*, void*) {};
  result.clock_get_ns = [](void*) { return now_ns(); };
  result.timer_new = [](SlirpTimerCb callback, void* argument, void* opaque) -> void* {
    auto& alarms = self(opaque).alarms_;
    return alarms.emplace_back(std::make_unique<Alarm>(Alarm{callback, argument})).get();
  };
  result.timer_free = [](void* timer, void* opaque) {
    std::erase_if(self(opaque).alarms_, [=](const auto& alarm) { return alarm.get() == timer; });
  };
  result.timer_mod = [](void* timer, std::int64_t due_ms, void*) {
    static_cast<Alarm*>(timer)->due_ms = due_ms;
  };
  result.register_poll_fd = [](int, void*) {};
  result.unregister_poll_fd = [](int, void*) {};
  result.notify = [](void* opaque) { self(opaque).wake_.wake(); };
  return result;
}

Result<> UserNetwork::open(const std::vector<PortForward>& forwards) {
  static const SlirpCb kCallbacks = callbacks();
  const auto address = [](const char* text) {
    in_addr result{};
    ::inet_pton(AF_INET, text, &result);
    return result;
  };
  SlirpConfig config{};
  config.version = 1;
  config.in_enabled = true;
  config.vnetwork = address("10.0.2.0");
  config.vnetmask = address("255.255.255.0");
  config.vhost = address("10.0.2.2");
  config.vdhcp_start = address("10.0.2.15");
  config.vnameserver = address("10.0.2.3");
  config.in6_enabled = true;
  ::inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
  config.vprefix_len = 64;
  ::inet_pton(AF_INET6, "fec0::2", &config.vhost6);
  ::inet_pton(AF_INET6, "fec0::3", &config.vnameserver6);
  config.if_mtu = config.if_mru = kInnerMtu;
  const std::lock_guard library(library_mutex());
  slirp_ = ::slirp_new(&config, &kCallbacks, this);
  if (slirp_ == nullptr) return host_error("cannot make a user network");
  for (const PortForward& port : forwards) TRY(forward(port));
  return {};
}

Result<> UserNetwork::forward(const PortForward& port) {
  in_addr host{};
  if (::inet_pton(AF_INET, port.host_address.c_str(), &host) != 1)
    return usage_error("a port is forwarded from an IPv4 address of this host, not '{}'",
                       port.host_address);
  errno = 0;
  if (::slirp_add_hostfwd(slirp_, port.udp ? 1 : 0, host, port.host_port, in_addr{},
                          port.guest_port) == 0)
    return {};
  return host_error(
      "cannot listen at {} port {} of {}, to forward it to the guest: {}; choose another port",
      port.udp ? "UDP" : "TCP", port.host_port, port.host_address,
      std::generic_category().message(errno));
}

void UserNetwork::run() {
  while (!stopping_) {
    sleep();
    take_sent();
  }
}

/// What to sleep for; the library asks for its sockets in this order when it is served.
void UserNetwork::ask_library(Wishes& wishes) {
  std::uint32_t timeout_ms = kLongestSleepMs;
  wishes.polled.assign(1, {wake_.fd(), POLLIN, 0});
  struct Asked {
    bool held;
    std::vector<pollfd>& polled;
  } asked{!held_.empty(), wishes.polled};
  const auto add = [](int fd, int events, void* opaque) {
    short wanted = 0;
    if ((events & SLIRP_POLL_IN) != 0) wanted |= POLLIN;
    if ((events & SLIRP_POLL_OUT) != 0) wanted |= POLLOUT;
    if ((events & SLIRP_POLL_PRI) != 0) wanted |= POLLPRI;
    const auto& [held, polled] = *static_cast<Asked*>(opaque);
    // What the guest has no room for stays in the host's sockets.
    if (held) wanted &= POLLOUT;
    polled.push_back({wanted != 0 ? fd : -1, wanted, 0});
    return static_cast<int>(polled.size()) - 1;
  };
  ::slirp_pollfds_fill(slirp_, &timeout_ms, add, &asked);
  wishes.until_ms = now_ms() + timeout_ms;
  for (const auto& alarm : alarms_) {
    if (alarm->due_ms >= 0) wishes.until_ms = std::min(wishes.until_ms, alarm->due_ms);
  }
}

/// What the library has to do for the host's sockets, as far as wishes_ says they are ready.
void UserNetwork::serve_sockets(bool failed) {
  const auto events_of = [](int index, void* opaque) {
    const short revents = self(opaque).wishes_.polled[static_cast<std::size_t>(index)].revents;
    int result = 0;
    if ((revents & POLLIN) != 0) result |= SLIRP_POLL_IN;
    if ((revents & POLLOUT) != 0) result |= SLIRP_POLL_OUT;
    if ((revents & POLLPRI) != 0) result |= SLIRP_POLL_PRI;
    if ((revents & POLLERR) != 0) result |= SLIRP_POLL_ERR;
    if ((revents & POLLHUP) != 0) result |= SLIRP_POLL_HUP;
    return result;
  };
  ::slirp_pollfds_poll(slirp_, failed ? 1 : 0, events_of, this);
}

/// Until there is something to do, and does what comes from the host.
void UserNetwork::sleep() {
  {
    const std::lock_guard library(library_mutex());
    ask_library(wishes_);
    stale_ = false;
  }
  const auto left_ms = std::clamp<std::int64_t>(wishes_.until_ms - now_ms(), 0, kLongestSleepMs);
  int ready = ::poll(wishes_.polled.data(), wishes_.polled.size(), static_cast<int>(left_ms));
  if (wishes_.polled[0].revents != 0) wake_.take();
  if (stopping_) return;
  const std::lock_guard library(library_mutex());
  if (std::exchange(stale_, false)) {
    ask_library(wishes_);
    ready = ::poll(wishes_.polled.data(), wishes_.polled.size(), 0);
  }
  serve_sockets(ready < 0);
  if (resumed_.exchange(false)) offer_held();
  ring_alarms();
}

void UserNetwork::input(std::span<const std::byte> frame) {
  // SAFETY: bytes by another name.
  ::slirp_input(slirp_, reinterpret_cast<const std::uint8_t*>(frame.data()),
                static_cast<int>(frame.size()));
}

/// Saves the way by the thread, which may sleep on: a frame, and what the library answers, in one
/// go. False if somebody else is in the library, or frames before this one still wait.
bool UserNetwork::input_at_once(std::span<const std::byte> frame) {
  const std::unique_lock library(library_mutex(), std::try_to_lock);
  if (!library || wishes_.polled.size() > kMostLookedAt) return false;
  {
    const std::lock_guard lock(mutex_);
    if (!sent_.empty()) return false;
  }
  input(frame);
  if (stale_) return true;
  ask_library(newer_);
  stale_ = !serves(wishes_, newer_);
  if (stale_) wake_.wake();
  return true;
}

void UserNetwork::take_sent() {
  FrameQueue frames;
  bool refused = false;
  {
    const std::lock_guard library(library_mutex());
    {
      const std::lock_guard lock(mutex_);
      std::swap(frames, sent_);
      refused = std::exchange(refused_, false);
    }
    for (; !frames.empty(); frames.pop()) input(frames.front());
  }
  if (refused) reader_->on_writable();
}

void UserNetwork::ring_alarms() {
  const std::int64_t now = now_ms();
  for (const auto& alarm : alarms_) {
    if (alarm->due_ms < 0 || alarm->due_ms > now) continue;
    alarm->due_ms = -1;
    alarm->callback(alarm->argument);
  }
}

/// From inside the library.
void UserNetwork::on_packet(std::span<const std::byte> frame) {
  if (reader_ == nullptr) return;
  const FrameHeader finished{.flags = FrameHeader::kChecksumValid};
  if (frame.size() <= kLeastFrameBytes + kMtu) return give(finished, frame);
  large_.assign(frame.begin(), frame.end());
  if (const auto header = leave_to_segment(large_, kMtu)) return give(*header, large_);
  fragment(frame, kMtu, fragment_, [&](std::span<const std::byte> one) { give(finished, one); });
}

void UserNetwork::give(const FrameHeader& header, std::span<const std::byte> frame) {
  if (held_.empty() && reader_->receive(header, frame)) return;
  if (held_.bytes() + frame.size() <= kMostHeldBytes) held_.push(header, frame);
}

void UserNetwork::offer_held() {
  while (!held_.empty() && reader_->receive(held_.header(), held_.front())) held_.pop();
}

}  // namespace

Result<std::unique_ptr<NetworkBackend>> open_user_network(std::vector<PortForward> forwards) {
  ignore_broken_pipes();
  auto network = std::make_unique<UserNetwork>(TRY(WakeEvent::create()));
  TRY(network->open(forwards));
  return network;
}

}  // namespace vireo::backends
