#include "base/chunked_list.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

TEST(ChunkedList, ElementsStayWhereTheyAre) {
  ChunkedList<int, 4> list;
  EXPECT_TRUE(list.empty());
  int& first = list.add();
  EXPECT_EQ(first, 0);
  for (int i = 0; i < 10; ++i) list[static_cast<std::size_t>(i)] = i, list.add();
  EXPECT_EQ(list.size(), 11u);
  EXPECT_EQ(&list[0], &first);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(list[i], static_cast<int>(i));
}

TEST(ChunkedList, IsEmptyAndFreshAfterClear) {
  ChunkedList<std::unique_ptr<int>, 2> list;
  for (int i = 0; i < 5; ++i) list.add() = std::make_unique<int>(i);
  list.clear();
  EXPECT_EQ(list.size(), 0u);
  EXPECT_EQ(list.add(), nullptr);
  EXPECT_EQ(list.size(), 1u);
}

TEST(ChunkedList, MayLoseWhatIsInFront) {
  ChunkedList<std::shared_ptr<int>, 4> list;
  const auto counted = std::make_shared<int>();
  for (int i = 0; i < 11; ++i) list.add() = counted;
  list.forget_before(7);
  EXPECT_EQ(counted.use_count(), 1 + 7);  // whole chunks go
  EXPECT_EQ(list[7], counted);
  list.forget_before(8);
  EXPECT_EQ(counted.use_count(), 1 + 3);
  list.add();
  EXPECT_EQ(list.size(), 12u);
  list.clear();
  list.add();
  list.forget_before(1);
  EXPECT_EQ(list[0], nullptr);
}

}  // namespace
}  // namespace vireo
