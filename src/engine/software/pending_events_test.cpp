#include "engine/software/pending_events.h"

#include <gtest/gtest.h>

#include <thread>

namespace vireo::engine {
namespace {

TEST(PendingEvents, AreTakenTogetherAndOnce) {
  PendingEvents events;
  EXPECT_FALSE(events.any());
  EXPECT_EQ(events.take(), 0u);
  events.raise(PendingEvents::kKick);
  events.raise(PendingEvents::kInterrupt);
  events.raise(PendingEvents::kKick);
  EXPECT_TRUE(events.any());
  EXPECT_EQ(events.take(), PendingEvents::kKick | PendingEvents::kInterrupt);
  EXPECT_FALSE(events.any());
  EXPECT_EQ(events.take(), 0u);
}

TEST(PendingEvents, NmisAreCounted) {
  PendingEvents events;
  events.raise_nmi();
  events.raise_nmi();
  EXPECT_EQ(events.take(), PendingEvents::kNmi);
  EXPECT_EQ(events.take_nmis(), 2u);
  EXPECT_EQ(events.take_nmis(), 0u);
}

TEST(PendingEvents, NothingThatAnotherThreadRaisesIsLost) {
  constexpr unsigned kNmis = 20'000;
  PendingEvents events;
  unsigned seen = 0;
  std::thread other([&] {
    for (unsigned i = 0; i < kNmis; ++i) events.raise_nmi();
    events.raise(PendingEvents::kKick);
  });
  for (;;) {
    const std::uint32_t taken = events.take();
    if (taken & PendingEvents::kNmi) seen += events.take_nmis();
    if (taken & PendingEvents::kKick) break;
  }
  other.join();
  EXPECT_EQ(seen + events.take_nmis(), kNmis);
}

}  // namespace
}  // namespace vireo::engine
