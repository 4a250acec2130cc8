#pragma once
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "backends/character/char_backend.h"

namespace vireo::backends {

/// Keeps what is written and offers what a test sends. Output is thread safe.
class MemoryBackend final : public CharBackend {
 public:
  void write(std::span<const std::uint8_t> bytes) override {
    std::lock_guard lock(mutex_);
    output_.append(bytes.begin(), bytes.end());
  }
  void resume_input() override { resumed_ = true; }

  std::string output() const {
    std::lock_guard lock(mutex_);
    return output_;
  }
  /// Bytes arrive, as on the event thread.
  void send(std::string_view text) {
    pending_.insert(pending_.end(), text.begin(), text.end());
    deliver();
  }
  void send_break() {
    if (break_listener_) break_listener_();
  }
  /// Offers again what the reader refused, if it asked for it.
  void on_readable() override {
    if (std::exchange(resumed_, false)) deliver();
  }
  std::size_t undelivered() const { return pending_.size(); }

 private:
  void deliver() {
    const std::size_t taken = reader_ ? reader_(pending_) : pending_.size();
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(taken));
  }

  mutable std::mutex mutex_;
  std::string output_;
  std::vector<std::uint8_t> pending_;
  bool resumed_ = false;
};

/// Swallows everything.
class NullBackend final : public CharBackend {
 public:
  void write(std::span<const std::uint8_t>) override {}
};

}  // namespace vireo::backends
