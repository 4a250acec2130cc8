#include "backends/block/faster_way.h"

#include <gtest/gtest.h>

namespace vireo::backends {
namespace {

/// How many of 1000 go the other way.
int others(FasterWay& way, double plain, double other) {
  int count = 0;
  for (int i = 0; i < 1000; ++i) {
    const FasterWay::Way next = way.next();
    count += next == FasterWay::Way::kOther ? 1 : 0;
    way.took(next, next == FasterWay::Way::kOther ? other : plain);
  }
  return count;
}

TEST(FasterWay, TakesTheFasterOneAndTriesTheOtherNowAndThen) {
  FasterWay way;
  EXPECT_NEAR(others(way, 1, 2), 15, 6);
  EXPECT_NEAR(others(way, 2, 1), 985, 50) << "it notices, if not at once";
  EXPECT_NEAR(others(way, 2, 1), 985, 2);
  EXPECT_NEAR(others(way, 1, 2), 15, 10) << "and notices at once what it does all the time";
}

TEST(FasterWay, StaysWithThePlainOneForAFewPercent) {
  FasterWay way;
  EXPECT_NEAR(others(way, 1, 0.95), 19, 6);
}

}  // namespace
}  // namespace vireo::backends
