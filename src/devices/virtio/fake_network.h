#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backends/network/network_backend.h"

namespace vireo::devices::virtio {

/// A network that keeps what is sent, and refuses frames when the test says so. Not thread safe.
class FakeNetwork final : public backends::NetworkBackend {
 public:
  using Frame = std::vector<std::byte>;

  std::string name() const override { return "fake network"; }
  backends::TakenFrames takes() const override { return taken; }
  void start(backends::NetworkReader& with) override { reader = &with; }
  void stop() override { reader = nullptr; }
  bool send(const backends::FrameHeader& header, std::span<const std::byte> frame) override {
    if (room == 0) return false;
    --room;
    sent.emplace_back(header, Frame(frame.begin(), frame.end()));
    return true;
  }
  void resume() override { ++resumed; }

  backends::TakenFrames taken = backends::TakenFrames::kUnfinished;
  backends::NetworkReader* reader = nullptr;
  std::vector<std::pair<backends::FrameHeader, Frame>> sent;
  unsigned room = 1'000'000;  ///< frames that are taken before others are refused
  unsigned resumed = 0;
};

}  // namespace vireo::devices::virtio
