#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backends/network/network_backend.h"
#include "backends/network/token_bucket.h"

namespace vireo::backends {

/// A backend through which only so many bytes a second pass, in each direction for itself. What is
/// too much is refused, and so waits where it comes from. A thread of its own wakes those who wait.
class LimitedBackend final : public NetworkBackend, private NetworkReader {
 public:
  LimitedBackend(std::unique_ptr<NetworkBackend> inner, std::uint64_t bytes_per_second)
      : inner_(std::move(inner)), out_{TokenBucket(bytes_per_second)}, in_(out_) {}
  ~LimitedBackend() override { stop(); }

  std::string name() const override { return inner_->name(); }
  TakenFrames takes() const override { return inner_->takes(); }
  void start(NetworkReader& reader) override;
  void stop() override;
  bool send(const FrameHeader& header, std::span<const std::byte> frame) override;
  void resume() override { inner_->resume(); }

 private:
  struct Lane {
    TokenBucket bucket;
    bool waits = false;  ///< somebody was refused
  };
  bool receive(const FrameHeader& header, std::span<const std::byte> frame) override;
  void on_writable() override { reader_->on_writable(); }
  bool may_pass(Lane& lane);
  void passed(Lane& lane, std::size_t bytes);
  void run();

  const std::unique_ptr<NetworkBackend> inner_;
  NetworkReader* reader_ = nullptr;
  std::thread thread_;

  std::mutex mutex_;  // guards what follows; nothing else is called with it held
  std::condition_variable changed_;
  Lane out_, in_;
  bool stopping_ = false;
};

}  // namespace vireo::backends
