#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"

namespace vireo::backends {

/// A picture of so many pixels, each three bytes of red, green and blue, line by line.
struct Frame {
  unsigned width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};

/// A VNC server (RFC 6143, by libvncserver) without a password, for whoever reaches its address. It
/// has a thread of its own, on which it calls back: a client that is slow keeps nobody else
/// waiting.
class VncServer {
 public:
  struct Callbacks {
    std::function<Frame()> frame;  ///< what is to be seen now; asked while there are clients
    std::function<void(std::uint32_t keysym, bool pressed)> key;  ///< as X11 numbers keys
    /// Buttons: bit 0 left, 1 middle, 2 right, 3 and 4 the wheel up and down.
    std::function<void(int x, int y, unsigned buttons)> pointer;
  };

  /// `address` is [HOST:]PORT, an IPv4 address, 127.0.0.1 unless it is given. A usage error if it
  /// is not, a host error if it cannot be had.
  static Result<std::unique_ptr<VncServer>> create(std::string_view address, Callbacks callbacks);
  ~VncServer();
  VncServer(const VncServer&) = delete;

 private:
  struct Screen;
  explicit VncServer(std::unique_ptr<Screen> screen);
  void run();

  const std::unique_ptr<Screen> screen_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace vireo::backends
