#pragma once
#include <array>
#include <cstdint>
#include <mutex>

namespace vireo::backends {

/// Of two ways to do the same thing, which one is faster here and now is found out by doing it: the
/// faster one is taken, and every 64th time the other one, for hosts and their loads change. The
/// plain way is taken unless the other one is faster by a tenth. From any thread.
class FasterWay {
 public:
  enum class Way : std::uint8_t { kPlain, kOther };

  Way next();
  /// What was done cost that much: time, for each of what it did.
  void took(Way way, double cost);

 private:
  static constexpr std::uint64_t kTrials = 8;  ///< at first, in turn
  static constexpr std::uint64_t kTrialEvery = 64;
  static constexpr double kWeight = 0.25;  ///< of the latest cost
  static constexpr double kWorthwhile = 0.9;

  std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::array<double, 2> costs_ = {};  ///< by Way; 0: not known
};

}  // namespace vireo::backends
