#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace vireo::backends {

/// What to do when the other end does not take what is written.
enum class WhenFull : std::uint8_t {
  kWait,       ///< wait a while for room, then drop until there is room again: a terminal, a file
  kDropOldest  ///< keep only the newest: a socket or a pty that nobody may ever read
};

/// Bytes on their way to a descriptor. A write goes straight out if it can; what the other end does
/// not take is kept, in order, and goes out with later writes or pump(). Thread safe.
class OutputQueue {
 public:
  static constexpr std::size_t kCapacity = 1 << 20;

  explicit OutputQueue(WhenFull when_full, std::size_t capacity = kCapacity)
      : when_full_(when_full), capacity_(capacity) {}
  ~OutputQueue();
  OutputQueue(const OutputQueue&) = delete;

  /// From now on output goes to `fd`, -1: nowhere yet. It stays the caller's.
  void connect(int fd);
  /// True if bytes are waiting for the other end.
  bool write(std::span<const std::uint8_t> bytes);
  /// Sends what is waiting, without blocking. True if bytes are still waiting.
  bool pump();
  /// Waits until nothing is waiting, as long as the other end moves at least once in `patience`.
  void flush(std::chrono::milliseconds patience = std::chrono::seconds(5));

 private:
  enum class Kind : std::uint8_t { kNone, kRegularFile, kSocket, kNonBlocking, kBlocking };
  void pump_locked();
  long send_some(std::span<const std::uint8_t> bytes);
  void make_room_locked(std::size_t bytes);
  bool wait_for_room(std::chrono::milliseconds timeout) const;
  std::span<const std::uint8_t> waiting() const { return std::span(buffer_).subspan(sent_); }

  // Configuration.
  WhenFull when_full_;
  std::size_t capacity_;

  std::mutex mutex_;
  int fd_ = -1;
  int reopened_ = -1;  // our own open file, so that O_NONBLOCK concerns nobody else
  Kind kind_ = Kind::kNone;
  std::vector<std::uint8_t> buffer_;
  std::size_t sent_ = 0;  // of the buffer
  bool stalled_ = false;  // waiting did not help: drop at once until there is room
  bool broken_ = false;   // nobody will ever read
};

/// Writing to a closed pipe shall be an error, not the end of the monitor.
void ignore_sigpipe();

}  // namespace vireo::backends
