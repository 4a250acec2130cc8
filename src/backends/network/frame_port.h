#pragma once
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "backends/network/network_backend.h"
#include "backends/network/wake_event.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// A backend behind a descriptor that gives and takes frames one by one: a tap, or a socket that
/// keeps messages apart. Frames are sent at once, by whoever sends them; those that come are read
/// on a thread of its own, and not before the reader has room.
class FramePort : public NetworkBackend {
 public:
  ~FramePort() override;

  TakenFrames takes() const override {
    return headers_ ? TakenFrames::kUnfinished : TakenFrames::kPlain;
  }
  void start(NetworkReader& reader) override;
  void stop() override;
  bool send(const FrameHeader& header, std::span<const std::byte> frame) override;
  void resume() override;

 protected:
  /// `headers`: a FrameHeader stands before each frame. The descriptor does not block.
  FramePort(UniqueFd fd, WakeEvent wake, bool headers);
  /// The other end is gone: a new descriptor, or none; then it is asked again after a while. On the
  /// thread.
  virtual UniqueFd reconnect() { return UniqueFd(); }

 private:
  void run();
  void replace_descriptor();
  bool read_frame();
  bool offer();

  const WakeEvent wake_;
  const bool headers_;
  NetworkReader* reader_ = nullptr;
  std::thread thread_;
  std::atomic<bool> stopping_ = false, resumed_ = false;

  // The thread's.
  std::vector<std::byte> buffer_;
  FrameHeader header_;
  std::size_t frame_bytes_ = 0;
  bool held_ = false;  ///< the reader had no room for the frame in the buffer

  std::mutex mutex_;  // guards what follows; the thread alone changes the descriptor
  UniqueFd fd_;
  bool wants_to_write_ = false;
};

}  // namespace vireo::backends
