#include "engine/translator/segment_slots.h"

#include <gtest/gtest.h>

#include <memory>

#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {
namespace {

constexpr std::uint64_t kPage = 0x7f00'1234'5000, kLinear = kPage + 0x28, kHost = 0x10000;

/// A vCPU whose translated code has found operands.
struct World {
  std::unique_ptr<TranslatorCpu> cpu = std::make_unique<TranslatorCpu>();

  Tlb& tlb(bool user) {
    return cpu->tlbs[static_cast<std::size_t>(user ? TlbIndex::kUser : TlbIndex::kSupervisor)];
  }
  SegmentSlots::Slot& slot(bool user, bool write) {
    const std::size_t place = SegmentSlots::place(user, write, kLinear & kPageMask);
    // SAFETY: slots are what the offset leads translated code to.
    return *reinterpret_cast<SegmentSlots::Slot*>(reinterpret_cast<std::byte*>(cpu.get()) +
                                                  at::kOrigin + at::segment_slot(place, 0));
  }
  void fill(bool user, bool write) { slot(user, write) = {kLinear, kHost}; }
  void keep_what_holds() { cpu->segment_slots.keep_what_holds(cpu->tlbs); }
};

TEST(SegmentSlots, AreEmptyAtFirst) {
  World w;
  EXPECT_EQ(w.cpu->segment_slots.filled(), 0u);
  w.fill(true, false);
  EXPECT_EQ(w.cpu->segment_slots.filled(), 1u);
}

TEST(SegmentSlots, KeepWhatTheTlbOfTheSameAccessHolds) {
  for (const bool user : {false, true}) {
    World w;
    for (const bool each : {false, true})
      for (const bool write : {false, true}) w.fill(each, write);
    w.tlb(user).fill(kPage, {kPage, Tlb::no_tag(kPage), kHost - kPage, 0});
    w.keep_what_holds();
    EXPECT_EQ(w.cpu->segment_slots.filled(), 1u);
    EXPECT_EQ(w.slot(user, false).linear, kLinear);
    w.tlb(user).fill(kPage, {Tlb::no_tag(kPage), kPage, kHost - kPage, 0});
    w.fill(user, true);
    w.keep_what_holds();
    EXPECT_EQ(w.cpu->segment_slots.filled(), 1u);
    EXPECT_EQ(w.slot(user, true).linear, kLinear);
  }
}

TEST(SegmentSlots, FollowTheirPage) {
  World w;
  w.fill(true, true);
  w.tlb(true).fill(kPage, {kPage, kPage, kHost, 0});
  w.keep_what_holds();
  EXPECT_EQ(w.slot(true, true).host, kLinear + kHost);
}

TEST(SegmentSlots, OperandsNearEachOtherHavePlacesOfTheirOwn) {
  for (std::int64_t offset = 0; offset < 0x80; offset += 4)
    EXPECT_NE(SegmentSlots::place(true, false, offset),
              SegmentSlots::place(true, false, 0x80 - 4 - offset))
        << offset;
}

}  // namespace
}  // namespace vireo::engine::translator
