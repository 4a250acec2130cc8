#include "engine/direct/scanned_code.h"

#include <gtest/gtest.h>

namespace vireo::engine::direct {
namespace {

class ScannedCodeTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = *memory::GuestMemory::create(
        {{PhysAddr{0}, 16 * kPageSize, memory::RegionKind::kRam, "ram"}});
    scanned_ = std::make_unique<ScannedCode>(*memory_, events_);
    for (std::uint64_t i = 0; i < kPageSize; ++i)
      memory_->write_value(kPage + i, std::uint8_t{0x90});
  }
  void put_cpuid() { memory_->write_value(kPage + 0x800, std::uint16_t{0xa20f}); }

  static constexpr PhysAddr kPage{2 * kPageSize};
  PendingEvents events_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<ScannedCode> scanned_;
};

TEST_F(ScannedCodeTest, CodeWithoutSensitiveInstructionsIsClean) {
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  put_cpuid();
  EXPECT_FALSE(scanned_->clean(kPage, {}));
}

TEST_F(ScannedCodeTest, AWriteIsHeardOfOnceAndMakesItAQuestionAgain) {
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  EXPECT_FALSE(events_.any());
  EXPECT_FALSE(memory_->view(kPage).writable);
  put_cpuid();
  EXPECT_TRUE(events_.any());
  const auto written = scanned_->take_written();
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0], kPage);
  EXPECT_TRUE(scanned_->take_written().empty());
  EXPECT_TRUE(memory_->view(kPage).writable);
  EXPECT_FALSE(scanned_->clean(kPage, {}));
}

TEST_F(ScannedCodeTest, AWrittenPageIsWrittenDirectlyBeforeItIsTaken) {
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  put_cpuid();
  EXPECT_FALSE(memory_->view(kPage).writable);
  scanned_->unwatch_written();
  EXPECT_TRUE(memory_->view(kPage).writable);
  EXPECT_FALSE(scanned_->clean(kPage, {}));  // a watch of its own, which stays
  EXPECT_EQ(scanned_->take_written(), std::vector{kPage});
  EXPECT_FALSE(memory_->view(kPage).writable);
}

TEST_F(ScannedCodeTest, WritesElsewhereAreNobodysConcern) {
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  const PhysAddr other{5 * kPageSize};
  memory_->watch(other);
  memory_->write_value(other, std::uint64_t{1});
  EXPECT_TRUE(scanned_->take_written().empty());
  memory_->unwatch(other);
}

TEST_F(ScannedCodeTest, OtherRulesAskAgain) {
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  memory_->write_value(kPage + 0x800, std::uint32_t{0xd0010f});  // XGETBV
  scanned_->take_written();
  EXPECT_TRUE(scanned_->clean(kPage, {}));
  SensitiveCode::Rules rules;
  rules.same_xcr0 = false;
  scanned_->set_rules(rules);
  EXPECT_TRUE(memory_->view(kPage).writable);
  EXPECT_FALSE(scanned_->clean(kPage, {}));
}

TEST_F(ScannedCodeTest, NothingIsWatchedAfterItsEnd) {
  for (const bool written : {false, true}) {
    EXPECT_TRUE(scanned_->clean(kPage, {}));
    if (written) memory_->write_value(kPage, std::uint8_t{0x91});
    scanned_.reset();
    EXPECT_TRUE(memory_->view(kPage).writable);
    scanned_ = std::make_unique<ScannedCode>(*memory_, events_);
  }
}

}  // namespace
}  // namespace vireo::engine::direct
