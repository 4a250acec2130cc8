#pragma once
#include <memory>
#include <string>
#include <utility>

#include "backends/network/network_backend.h"
#include "backends/network/pcap_file.h"

namespace vireo::backends {

/// A backend whose frames are written to a file as they pass, as the card and the backend give
/// them: they may be longer and less finished than those on a wire.
class CapturedBackend final : public NetworkBackend, private NetworkReader {
 public:
  CapturedBackend(std::unique_ptr<NetworkBackend> inner, PcapFile file)
      : inner_(std::move(inner)), file_(std::move(file)) {}

  std::string name() const override { return inner_->name(); }
  TakenFrames takes() const override { return inner_->takes(); }
  void start(NetworkReader& reader) override {
    reader_ = &reader;
    NetworkReader& self = *this;
    inner_->start(self);
  }
  void stop() override { inner_->stop(); }
  bool send(const FrameHeader& header, std::span<const std::byte> frame) override {
    // Before the answer can be written, and only once.
    if (!std::exchange(sends_again_, false)) file_.write(frame);
    sends_again_ = !inner_->send(header, frame);
    return !sends_again_;
  }
  void resume() override { inner_->resume(); }

 private:
  bool receive(const FrameHeader& header, std::span<const std::byte> frame) override {
    if (!std::exchange(receives_again_, false)) file_.write(frame);
    receives_again_ = !reader_->receive(header, frame);
    return !receives_again_;
  }
  void on_writable() override { reader_->on_writable(); }

  const std::unique_ptr<NetworkBackend> inner_;
  PcapFile file_;
  NetworkReader* reader_ = nullptr;
  bool sends_again_ = false, receives_again_ = false;  ///< the frame that was refused before
};

}  // namespace vireo::backends
