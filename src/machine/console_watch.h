#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace vireo::machine {

/// Reads along what a guest writes to its console: remembers the last lines for whoever asks why it
/// died, and notices when a Linux kernel says that it is about to. Thread safe.
class ConsoleWatch {
 public:
  static constexpr std::size_t kLines = 20, kLongestLine = 400;

  /// `gave_up` is called, on the writer's thread and with no lock held, when a panicked kernel has
  /// said its last word: it will loop forever.
  explicit ConsoleWatch(std::function<void()> gave_up = {}) : gave_up_(std::move(gave_up)) {}

  void write(std::span<const std::uint8_t> bytes);

  /// The line that says why the kernel panicked; empty if it has not.
  std::string panic() const;
  /// Costs nothing: it may be asked at every HLT.
  bool panicked() const { return panicked_.load(std::memory_order_relaxed); }
  /// The guest has shown that it lives on, or has started again.
  void forget_panic();

  std::vector<std::string> last_lines() const;
  /// How many bytes there have been.
  std::uint64_t bytes() const;

 private:
  bool end_line();  // whether it was a kernel's last

  const std::function<void()> gave_up_;
  std::atomic<bool> panicked_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::uint64_t bytes_ = 0;
  std::string line_;
  std::deque<std::string> lines_;
  std::string panic_;
};

}  // namespace vireo::machine
