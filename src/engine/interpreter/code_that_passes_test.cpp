#include "engine/interpreter/code_that_passes.h"

#include <gtest/gtest.h>

namespace vireo::engine::interpreter {
namespace {

constexpr std::uint64_t kFirst = 0x100000;
constexpr unsigned kMany = 2000;

/// How many of so many pieces of code are let pass, of which each comes `times` times if it is not
/// kept.
unsigned passed(CodeThatPasses& code, std::uint64_t from, unsigned times) {
  unsigned result = 0;
  for (unsigned i = 0; i < kMany; ++i)
    for (unsigned time = 0; time < times && code.expects(PhysAddr{from + 16 * i}, 0, 7); ++time)
      ++result;
  return result;
}

TEST(CodeThatPasses, IsExpectedOnceAtAPlace) {
  CodeThatPasses code;
  EXPECT_TRUE(code.expects(PhysAddr{kFirst}, 0, 7));
  EXPECT_FALSE(code.expects(PhysAddr{kFirst}, 0, 7));
}

TEST(CodeThatPasses, AnotherModeIsOtherCode) {
  CodeThatPasses code;
  EXPECT_TRUE(code.expects(PhysAddr{kFirst}, 0, 7));
  EXPECT_TRUE(code.expects(PhysAddr{kFirst}, 1, 7));
}

TEST(CodeThatPasses, OtherBytesAreOtherCode) {
  CodeThatPasses code;
  EXPECT_TRUE(code.expects(PhysAddr{kFirst}, 0, 7));
  EXPECT_TRUE(code.expects(PhysAddr{kFirst}, 0, 8));
}

TEST(CodeThatPasses, AllOfItDoesWhereNothingComesAgain) {
  CodeThatPasses code;
  EXPECT_EQ(passed(code, kFirst, 1), kMany);
}

TEST(CodeThatPasses, FewOfItDoWhereAllComesAgain) {
  CodeThatPasses code;
  EXPECT_LT(passed(code, kFirst, 2), kMany / 4);
}

TEST(CodeThatPasses, IsExpectedAnewWhenNothingComesAgainAnyMore) {
  CodeThatPasses code;
  passed(code, kFirst, 2);
  passed(code, 2 * kFirst, 1);
  EXPECT_EQ(passed(code, 3 * kFirst, 1), kMany);
}

}  // namespace
}  // namespace vireo::engine::interpreter
