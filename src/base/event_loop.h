#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo {

/// Where everything from outside enters a machine: bytes, ticks, signals and tasks of other
/// threads. One thread, the event thread, calls run(); all callbacks run there, one at a time, with
/// no lock of the loop held. Every other method may be called from any thread, callbacks included.
class EventLoop final : public TimerService {
 public:
  /// What a watched descriptor is ready for, and what to watch it for. Hang-ups and errors show as
  /// readable: the read that follows tells.
  struct Ready {
    bool readable = false;
    bool writable = false;
  };
  using FdCallback = std::function<void(Ready)>;

  /// `clock` outlives the loop.
  static Result<std::unique_ptr<EventLoop>> create(const Clock& clock);
  ~EventLoop() override;

  /// Returns after stop(); may be called again.
  void run();
  void stop();

  /// Runs the task on the event thread, after those posted before it. What is posted while nobody
  /// runs the loop waits for the next run().
  void post(std::function<void()> task);

  /// Calls back whenever the descriptor is ready (level triggered). The caller keeps it open until
  /// unwatch(). Watching again replaces interest and callback. Descriptors that are always ready
  /// (regular files) are refused: a host error.
  Result<> watch(int fd, Ready interest, FdCallback callback);
  /// The callback is not called any more when this returns, unless it is just running on the event
  /// thread and the caller is another one.
  void unwatch(int fd);

  std::unique_ptr<Timer> create_timer(std::function<void()> callback) override;
  /// While held no timer fires: the clock stands still.
  void hold_timers(bool held);

 private:
  class LoopTimer;
  struct Alarm;
  struct Watch {
    std::uint32_t generation = 0;
    std::shared_ptr<FdCallback> callback;
  };

  explicit EventLoop(const Clock& clock) : clock_(clock) {}
  void arm(const std::shared_ptr<Alarm>& alarm, std::uint64_t deadline_ns);
  void disarm(const std::shared_ptr<Alarm>& alarm);
  void program_timer_locked();
  void fire_timers();
  void run_tasks();
  void dispatch(std::uint64_t key, std::uint32_t events);
  void wake();

  const Clock& clock_;
  UniqueFd epoll_, wake_, timer_;
  std::atomic<bool> stopping_ = false;

  // Each guards what follows it; none is held while another is taken or a callback runs.
  std::mutex tasks_mutex_;
  std::vector<std::function<void()>> tasks_;
  std::mutex watches_mutex_;
  std::map<int, Watch> watches_;
  std::uint32_t next_generation_ = 1;
  std::mutex timers_mutex_;
  std::multimap<std::uint64_t, std::shared_ptr<Alarm>> alarms_;  // by deadline
  std::uint64_t programmed_ns_ = ~std::uint64_t{0};              // when timer_ will fire next
  bool held_ = false;
};

}  // namespace vireo
