#include "backends/block/faster_way.h"

namespace vireo::backends {

FasterWay::Way FasterWay::next() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = count_++;
  if (number < kTrials) return number % 2 == 0 ? Way::kPlain : Way::kOther;
  const bool other = costs_[1] < costs_[0] * kWorthwhile;
  return other != (number % kTrialEvery == 0) ? Way::kOther : Way::kPlain;
}

void FasterWay::took(Way way, double cost) {
  const std::lock_guard lock(mutex_);
  double& known = costs_[static_cast<std::size_t>(way)];
  known = known == 0 ? cost : known + (cost - known) * kWeight;
}

}  // namespace vireo::backends
