#pragma once
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/network/network_backend.h"

namespace vireo::backends {

using FrameBytes = std::vector<std::byte>;

/// A card that keeps what it gets, or has no room when the test says so.
class RecordingReader final : public NetworkReader {
 public:
  bool receive(const FrameHeader& header, std::span<const std::byte> frame) override {
    const std::lock_guard lock(mutex_);
    ++offers_;
    last_thread_ = std::this_thread::get_id();
    changed_.notify_all();
    if (full_) return false;
    frames_.emplace_back(header, FrameBytes(frame.begin(), frame.end()));
    return true;
  }
  void on_writable() override {
    const std::lock_guard lock(mutex_);
    ++writable_;
    changed_.notify_all();
  }

  void set_full(bool full) {
    const std::lock_guard lock(mutex_);
    full_ = full;
  }
  /// The next frame; an empty one if none comes.
  std::pair<FrameHeader, FrameBytes> take(std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return !frames_.empty(); })) return {};
    auto frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
  }
  bool wait_for_offers(unsigned count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return offers_ >= count; });
  }
  bool wait_for_writable() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this] { return writable_ != 0; });
  }
  /// Which brought the last frame.
  std::thread::id last_thread() {
    const std::lock_guard lock(mutex_);
    return last_thread_;
  }
  unsigned offers() {
    const std::lock_guard lock(mutex_);
    return offers_;
  }

 private:
  static constexpr std::chrono::milliseconds kPatience{60'000};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<FrameHeader, FrameBytes>> frames_;
  bool full_ = false;
  unsigned offers_ = 0, writable_ = 0;
  std::thread::id last_thread_;
};

/// An Ethernet frame with a type that nobody has, and the text as its payload.
inline FrameBytes text_frame(const MacAddress& to, const MacAddress& from,
                             const std::string& text) {
  FrameBytes frame(kLeastFrameBytes + text.size());
  std::memcpy(frame.data(), to.data(), to.size());
  std::memcpy(&frame[6], from.data(), from.size());
  frame[12] = std::byte{0x88};
  frame[13] = std::byte{0xb5};  // for local experiments
  std::memcpy(frame.data() + kLeastFrameBytes, text.data(), text.size());
  return frame;
}
inline std::string text_of(const FrameBytes& frame) {
  if (frame.size() < kLeastFrameBytes) return {};
  std::string text(frame.size() - kLeastFrameBytes, '\0');
  std::memcpy(text.data(), frame.data() + kLeastFrameBytes, text.size());
  return text;
}

}  // namespace vireo::backends
