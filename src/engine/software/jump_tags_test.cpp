#include "engine/software/jump_tags.h"

#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

constexpr std::uint64_t kPage = 0xffff800000123000, kOther = 0xffff800000456000;
constexpr bool kUser = true, kSupervisor = false, kGlobal = true, kLocal = false;

struct World {
  JumpTags tags;
  x86::CpuState state = test::long_mode(0);

  World() { current(); }  // as at the start

  void note(bool user, std::uint64_t linear, bool global) {
    tags.note(user, linear, PageFilter::kSmall, global);
  }
  std::uint64_t current() { return tags.current(state); }
  /// The tag at the other privilege.
  std::uint64_t of_user() {
    x86::CpuState user = state;
    user.segment[x86::kSs].access |= 0x60;
    return tags.current(user);
  }
};

TEST(JumpTags, AreNeverZeroAndTellPrivilegesApart) {
  World w;
  EXPECT_NE(w.current(), 0u);
  EXPECT_NE(w.current(), w.of_user());
  EXPECT_EQ(w.current(), w.current());
}

TEST(JumpTags, NewPageTablesKeepThoseOfGlobalPages) {
  World w;
  w.note(kSupervisor, kPage, kGlobal);
  w.note(kUser, kOther, kLocal);
  const std::uint64_t supervisor = w.current(), user = w.of_user();
  w.tags.flush(x86::TlbFlush::kNonGlobal);
  EXPECT_EQ(w.current(), supervisor);
  EXPECT_NE(w.of_user(), user);
  const std::uint64_t next = w.of_user();
  w.tags.flush(x86::TlbFlush::kNonGlobal);  // nothing was looked up meanwhile
  EXPECT_EQ(w.of_user(), next);
  w.note(kSupervisor, kOther, kLocal);
  w.tags.flush(x86::TlbFlush::kNonGlobal);
  EXPECT_NE(w.current(), supervisor);
}

TEST(JumpTags, AFullFlushEndsAll) {
  World w;
  w.note(kSupervisor, kPage, kGlobal);
  const std::uint64_t supervisor = w.current(), user = w.of_user();
  w.tags.flush(x86::TlbFlush::kAll);
  EXPECT_NE(w.current(), supervisor);
  EXPECT_NE(w.of_user(), user);
}

TEST(JumpTags, EndWhenAPageThatCodeWasLookedUpInIsInvalidated) {
  World w;
  w.note(kSupervisor, kPage, kGlobal);
  const std::uint64_t supervisor = w.current(), user = w.of_user();
  w.tags.invalidate_page(kOther);
  EXPECT_EQ(w.current(), supervisor);
  w.tags.invalidate_page(kPage + 0xfff);
  EXPECT_NE(w.current(), supervisor);
  EXPECT_EQ(w.of_user(), user);
}

TEST(JumpTags, EndWhenAnyPartOfALargePageIsInvalidated) {
  World w;
  constexpr std::uint64_t kLarge = 0x60000000;
  w.tags.note(kSupervisor, kLarge + 0x5000, PageFilter::kLarge, kGlobal);
  const std::uint64_t tag = w.current();
  w.tags.invalidate_page(kLarge + 0x400000);
  EXPECT_EQ(w.current(), tag);
  w.tags.invalidate_page(kLarge + 0x1ff000);
  EXPECT_NE(w.current(), tag);
}

TEST(JumpTags, AnotherCodeSegmentNeverBringsAnOldTagBack) {
  World w;
  w.state.msr.efer = 0;
  w.state.segment[x86::kCs] = {0x1000, 0x9b, 0xffff, 0x10000};
  const std::uint64_t first = w.current();
  w.state.segment[x86::kCs].base = 0x20000;
  const std::uint64_t second = w.current();
  EXPECT_NE(second, first);
  w.state.segment[x86::kCs].base = 0x10000;
  EXPECT_NE(w.current(), first);
  EXPECT_NE(w.current(), second);
}

}  // namespace
}  // namespace vireo::engine
