#pragma once
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "devices/virtio/chain.h"
#include "devices/virtio/queue_state.h"

namespace vireo::devices::virtio {

/// Whom a queue tells what happened in it. Called without a lock of the queue.
class QueueOwner {
 public:
  virtual ~QueueOwner() = default;
  virtual void on_interrupt(unsigned queue) = 0;
  virtual void on_driver_error(const DriverError& error) = 0;
  /// The queue stopped serving though there may be more: serve it again.
  virtual void on_unfinished(unsigned queue) = 0;
};

/// One queue of a device. Requests are taken by one thread at a time and given back by any, in any
/// order. While the queue does not run nothing is taken, and what is given back is dropped; a
/// mistake of the driver stops it. Thread safe.
class Virtqueue {
 public:
  Virtqueue(memory::GuestMemory& memory, QueueOwner& owner, unsigned index, std::uint16_t largest)
      : memory_(memory), owner_(owner), index_(index), largest_(largest) {
    state_.size = largest;
  }

  unsigned index() const { return index_; }
  std::uint16_t largest() const { return largest_; }

  // For models.
  /// Hands each waiting request to `handle(Chain)` and asks to be told of the next. The driver is
  /// asked not to notify meanwhile. For whoever serves it.
  template <class Handle>
  void serve(Handle handle) {
    serve_while([&](Chain& chain) {
      handle(chain);
      return true;
    });
  }
  /// The same until `handle` answers false: then nobody is told of anything before serve_later().
  template <class Handle>
  void serve_while(Handle handle) {
    Chain chain;
    suppress_notifications();
    for (unsigned count = 0;; ++count) {
      if (count > largest_) return serve_later();  // others have their turn
      if (take(chain)) {
        if (!handle(chain)) return;
      } else if (!request_notification()) {
        return;
      }
    }
  }
  /// Has the queue served again, soon, on the I/O thread.
  void serve_later() { owner_.on_unfinished(index_); }
  /// False if there is no request now.
  bool take(Chain& chain);
  enum class Gathered : std::uint8_t {
    kAll,    ///< enough
    kWait,   ///< not yet: none is taken, and the driver notifies when it offers more
    kNever,  ///< what is wanted does not fit, or the queue does not run: none is taken
  };
  /// Takes requests, at most `most` of them, whose writable buffers together hold so many bytes.
  /// They are the first `count` of `chains`, which grows as it must and is used again. From any
  /// thread, if the queue is never served.
  Gathered gather(std::uint64_t bytes, std::size_t most, std::vector<Chain>& chains,
                  std::size_t& count);
  /// The request is done; of its writable buffers so many bytes were written.
  void give_back(const Chain& chain, std::uint32_t written) {
    const Done done{&chain, written};
    give_back(std::span(&done, 1));
  }
  /// All at once: the driver sees all of them or none. At least one.
  void give_back(std::span<const Done> done);
  /// The driver asked for what it may not: the queue stops, the request is never given back.
  void refuse(const DriverError& error);

  // For the device.
  QueueState state() const;
  /// Changes what the driver has set up, unless the queue is enabled.
  template <class Change>
  void configure(Change change) {
    const std::lock_guard lock(mutex_);
    if (state_.enabled == 0) change(state_);
  }
  /// Enables it if the driver set it up as it must.
  OrDriverError<> enable(RingFormat format);
  /// Lets the queue begin, if it is enabled, where its state says.
  void run(RingFormat format);
  void stop();
  /// Stopped and as after power-on.
  void reset();
  // A pause of the machine, in steps; neither a reset nor run() ends it.
  /// From here on nothing is taken.
  void hold();
  /// From here on nothing in guest memory changes: what is given back waits until resume().
  void freeze();
  /// Whoever serves the queue has to look at it then.
  void resume();
  void restore(const QueueState& state);

 private:
  struct Late {
    Chain chain;
    std::uint32_t written = 0;
  };

  void suppress_notifications();
  bool request_notification();
  template <class Body>
  auto with_ring(Body body);
  template <class T>
  T checked(const OrDriverError<T>& result, T otherwise);

  // Wiring and configuration.
  memory::GuestMemory& memory_;
  QueueOwner& owner_;
  const unsigned index_;
  const std::uint16_t largest_;

  mutable std::mutex mutex_;
  QueueState state_;
  RingFormat format_;
  bool running_ = false;
  bool suppressed_ = false;  ///< by gather()
  bool held_ = false, frozen_ = false;
  std::vector<Late> late_;  ///< given back while it was frozen
  unsigned in_flight_ = 0;  ///< slots of requests taken and not given back
};

}  // namespace vireo::devices::virtio
