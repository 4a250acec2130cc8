#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vireo {
namespace {

constexpr std::uint64_t kNever = ~std::uint64_t{0};
// The host's timers and the virtual clock may disagree by a little: an alarm that rings early is
// set again, but never so close that the thread would spin.
constexpr std::uint64_t kShortestWaitNs = 1'000;
constexpr std::uint64_t kLongestWaitNs = 3'600'000'000'000;

// Keys of our own descriptors in epoll; a watched one has its generation in the upper half, which
// is never zero.
constexpr std::uint64_t kWakeKey = 0, kTimerKey = 1;

void drain(int fd) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto ignored = ::read(fd, &count, sizeof(count));
}

}  // namespace

struct EventLoop::Alarm {
  std::function<void()> callback;
  std::uint64_t deadline_ns = kNever;  // guarded by timers_mutex_; kNever: not armed
};

class EventLoop::LoopTimer final : public Timer {
 public:
  LoopTimer(EventLoop& loop, std::function<void()> callback)
      : loop_(loop), alarm_(std::make_shared<Alarm>()) {
    alarm_->callback = std::move(callback);
  }
  ~LoopTimer() override { loop_.disarm(alarm_); }
  void arm(std::uint64_t deadline_ns) override { loop_.arm(alarm_, deadline_ns); }
  void cancel() override { loop_.disarm(alarm_); }

 private:
  EventLoop& loop_;
  std::shared_ptr<Alarm> alarm_;
};

Result<std::unique_ptr<EventLoop>> EventLoop::create(const Clock& clock) {
  std::unique_ptr<EventLoop> loop(new EventLoop(clock));
  loop->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  loop->wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  loop->timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!loop->epoll_ || !loop->wake_ || !loop->timer_) {
    return host_error("cannot make an event loop: {}", std::generic_category().message(errno));
  }
  const std::pair<int, std::uint64_t> own[] = {{loop->wake_.get(), kWakeKey},
                                               {loop->timer_.get(), kTimerKey}};
  for (const auto& [fd, key] : own) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    if (::epoll_ctl(loop->epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return host_error("cannot make an event loop: {}", std::generic_category().message(errno));
    }
  }
  return loop;
}

EventLoop::~EventLoop() = default;

void EventLoop::run() {
  std::array<epoll_event, 16> events{};
  while (!stopping_.exchange(false)) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      dispatch(event.data.u64, event.events);
    }
  }
}

void EventLoop::stop() {
  stopping_.store(true);
  wake();
}

void EventLoop::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto ignored = ::write(wake_.get(), &one, sizeof(one));
}

void EventLoop::dispatch(std::uint64_t key, std::uint32_t events) {
  if (key == kWakeKey) {
    drain(wake_.get());
    return run_tasks();
  }
  if (key == kTimerKey) {
    drain(timer_.get());
    return fire_timers();
  }
  std::shared_ptr<FdCallback> callback;
  {
    const std::lock_guard lock(watches_mutex_);
    const auto found = watches_.find(static_cast<int>(key & 0xffffffff));
    if (found == watches_.end() || found->second.generation != key >> 32) return;
    callback = found->second.callback;
  }
  (*callback)(
      {(events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0, (events & EPOLLOUT) != 0});
}

void EventLoop::post(std::function<void()> task) {
  bool first = false;
  {
    const std::lock_guard lock(tasks_mutex_);
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (first) wake();
}

void EventLoop::run_tasks() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) task();
}

Result<> EventLoop::watch(int fd, Ready interest, FdCallback callback) {
  const std::lock_guard lock(watches_mutex_);
  const std::uint32_t generation = next_generation_++;
  epoll_event event{};
  event.events = (interest.readable ? EPOLLIN : 0u) | (interest.writable ? EPOLLOUT : 0u);
  event.data.u64 = std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
  const int operation = watches_.contains(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) {
    return host_error("cannot wait for a file descriptor: {}",
                      std::generic_category().message(errno));
  }
  watches_[fd] = {generation, std::make_shared<FdCallback>(std::move(callback))};
  return {};
}

void EventLoop::unwatch(int fd) {
  const std::lock_guard lock(watches_mutex_);
  if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

std::unique_ptr<Timer> EventLoop::create_timer(std::function<void()> callback) {
  return std::make_unique<LoopTimer>(*this, std::move(callback));
}

void EventLoop::arm(const std::shared_ptr<Alarm>& alarm, std::uint64_t deadline_ns) {
  disarm(alarm);
  const std::lock_guard lock(timers_mutex_);
  alarm->deadline_ns = std::min(deadline_ns, kNever - 1);
  alarms_.emplace(alarm->deadline_ns, alarm);
  // A later first deadline needs no system call: the early ring finds nothing due and sets it.
  if (alarm->deadline_ns < programmed_ns_) program_timer_locked();
}

void EventLoop::disarm(const std::shared_ptr<Alarm>& alarm) {
  const std::lock_guard lock(timers_mutex_);
  const auto [begin, end] = alarms_.equal_range(std::exchange(alarm->deadline_ns, kNever));
  const auto found =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second == alarm; });
  if (found != end) alarms_.erase(found);
}

void EventLoop::program_timer_locked() {
  programmed_ns_ = held_ || alarms_.empty() ? kNever : alarms_.begin()->first;
  itimerspec setting{};
  if (programmed_ns_ != kNever) {
    const std::uint64_t now = clock_.now_ns();
    const std::uint64_t left = programmed_ns_ > now ? programmed_ns_ - now : 0;
    const std::uint64_t wait = std::clamp(left, kShortestWaitNs, kLongestWaitNs);
    setting.it_value.tv_sec = static_cast<time_t>(wait / 1'000'000'000);
    setting.it_value.tv_nsec = static_cast<long>(wait % 1'000'000'000);
  }
  ::timerfd_settime(timer_.get(), 0, &setting, nullptr);
}

void EventLoop::fire_timers() {
  const std::uint64_t now = clock_.now_ns();
  std::unique_lock lock(timers_mutex_);
  while (!held_ && !alarms_.empty() && alarms_.begin()->first <= now) {
    // One at a time: a callback may cancel or move those that are also due.
    const std::shared_ptr<Alarm> alarm = alarms_.begin()->second;
    alarms_.erase(alarms_.begin());
    alarm->deadline_ns = kNever;
    lock.unlock();
    alarm->callback();
    lock.lock();
  }
  program_timer_locked();
}

void EventLoop::hold_timers(bool held) {
  const std::lock_guard lock(timers_mutex_);
  held_ = held;
  program_timer_locked();
}

}  // namespace vireo
