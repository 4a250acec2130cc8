#pragma once
#include <atomic>
#include <cstdint>

namespace vireo {

/// What one thread sleeps on until others have news for it. They make the news visible, then call
/// raise(); it calls clear(), looks for news, and then wait(): none is lost in between.
///
/// Unlike std::atomic::wait() it never yields before it sleeps: on a host whose processors are all
/// taken, who has yielded goes on when its turn comes again, and who sleeps when it is woken.
class WakeSignal {
 public:
  /// From any thread.
  void raise() noexcept;

  // The thread that sleeps.
  void clear() noexcept { word_.store(kClear); }
  /// Returns at once if it was raised since the last clear().
  void wait() noexcept;
  /// Whether it was.
  bool raised() const noexcept { return word_.load() == kRaised; }

 private:
  static constexpr std::uint32_t kClear = 0, kRaised = 1, kAsleep = 2;

  std::atomic<std::uint32_t> word_ = kClear;
};

}  // namespace vireo
