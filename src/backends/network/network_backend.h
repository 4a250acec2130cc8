#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "backends/network/frame_header.h"

namespace vireo::backends {

/// The network card at this end of the cable.
class NetworkReader {
 public:
  virtual ~NetworkReader() = default;

  // On threads of the backend, without a lock of it that its methods wait for: receive() one at a
  // time, on_writable() at any time. receive() also from inside send(), by whoever sends.
  /// A frame for the guest; header and frame may be anything. False if there is no room now: the
  /// backend keeps this frame and offers it again, before all others, after resume().
  virtual bool receive(const FrameHeader& header, std::span<const std::byte> frame) = 0;
  /// A frame that send() has refused may find room now.
  virtual void on_writable() = 0;
};

/// Which frames a backend takes. Those that come from it may be unfinished in any case.
enum class TakenFrames : std::uint8_t {
  kPlain,       ///< finished ones, no longer than the guest's MTU allows
  kJumbo,       ///< checksums finished, TCP segments of any length
  kUnfinished,  ///< any, with the header that says what is left to do
};

/// What a network card is plugged into on the host: a source and a sink of Ethernet frames.
///
/// Neither side stores without bound. A backend that has no room refuses a frame, and the card
/// leaves what follows with its driver; a card without buffers refuses one, and the backend leaves
/// what follows where it comes from as far as that can wait (streams do), and loses the rest, as
/// networks do.
class NetworkBackend {
 public:
  virtual ~NetworkBackend() = default;

  /// What it is and its name, for messages.
  virtual std::string name() const = 0;
  virtual TakenFrames takes() const = 0;

  /// Frames come from now on. Once; the reader lives until stop().
  virtual void start(NetworkReader& reader) = 0;
  /// No call of the reader is under way or will come. Not from inside one; again without effect.
  virtual void stop() = 0;

  // From any thread, one at a time, between start() and stop(); they never wait.
  /// A frame of kLeastFrameBytes to kMostFrameBytes, copied. False if there is no room:
  /// on_writable() will follow. What cannot be delivered at all is lost, and counts as sent.
  virtual bool send(const FrameHeader& header, std::span<const std::byte> frame) = 0;
  /// The reader has room again.
  virtual void resume() = 0;
};

}  // namespace vireo::backends
