#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace vireo::backends {

/// Lets so many bytes a second pass, and a twentieth of that at once after a pause. What has passed
/// may be more than was left: then nothing passes until that is made up for.
class TokenBucket {
 public:
  explicit TokenBucket(std::uint64_t bytes_per_second)
      : rate_(static_cast<std::int64_t>(std::clamp<std::uint64_t>(bytes_per_second, 1, kMostRate))),
        depth_(std::max<std::int64_t>(rate_ / 20, kLeastDepth) * kTicksPerSecond),
        tokens_(depth_) {}

  /// Times are above 0 and never go back.
  bool ready(std::int64_t now_ns) {
    const std::int64_t ticks = std::min((now_ns - filled_ns_) / kTickNs, kTicksPerSecond);
    tokens_ = std::min(depth_, tokens_ + rate_ * ticks);
    // What is less than a tick counts next time; what is more than a second never does.
    filled_ns_ = ticks == kTicksPerSecond ? now_ns : filled_ns_ + ticks * kTickNs;
    return tokens_ > 0;
  }
  void charge(std::size_t bytes) { tokens_ -= static_cast<std::int64_t>(bytes) * kTicksPerSecond; }
  /// When ready() will say so, if nothing else is charged.
  std::int64_t ready_at() const {
    return tokens_ > 0 ? filled_ns_ : filled_ns_ + (1 - tokens_ / rate_) * kTickNs;
  }

 private:
  static constexpr std::uint64_t kMostRate = std::uint64_t{1} << 40;
  static constexpr std::int64_t kLeastDepth = 1514;
  static constexpr std::int64_t kTickNs = 1'000, kTicksPerSecond = 1'000'000;

  const std::int64_t rate_;   ///< bytes a second, which is what tokens_ gets in a tick
  const std::int64_t depth_;  ///< in the same millionths of a byte
  std::int64_t tokens_;
  std::int64_t filled_ns_ = 0;
};

}  // namespace vireo::backends
