#include "devices/timer/cmos_rtc.h"

#include <gtest/gtest.h>

#include "devices/timer/timer_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

struct CmosRtcTest : ::testing::Test {
  static constexpr std::int64_t kEpoch = 1'709'251'139;  // Thursday 2024-02-29 23:58:59 UTC

  CmosRtcTest() { clock.epoch = kEpoch; }
  std::uint8_t get(std::uint8_t index) {
    test::put<std::uint8_t>(rtc(), 0, index);
    return test::get<std::uint8_t>(rtc(), 1);
  }
  void put(std::uint8_t index, std::uint8_t value) {
    test::put<std::uint8_t>(rtc(), 0, index);
    test::put<std::uint8_t>(rtc(), 1, value);
  }
  void expect_time(std::initializer_list<std::uint8_t> century_to_second) {
    const std::uint8_t indices[] = {0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00};
    std::size_t i = 0;
    for (const auto byte : century_to_second) {
      EXPECT_EQ(get(indices[i]), byte) << "index " << unsigned{indices[i]};
      ++i;
    }
  }
  CmosRtc& rtc() {
    if (!rtc_) rtc_ = std::make_unique<CmosRtc>(clock, clock, irq8);
    return *rtc_;
  }

  vireo::test::FakeClock clock;
  test::EdgeCounter irq8;
  std::unique_ptr<CmosRtc> rtc_;
};

TEST_F(CmosRtcTest, ShowsTheClockInBcd) {
  expect_time({0x20, 0x24, 0x02, 0x29, 0x23, 0x58, 0x59});
  EXPECT_EQ(get(6), 5);  // Thursday
  EXPECT_EQ(get(0x0d), 0x80);
}

TEST_F(CmosRtcTest, TimePassesOverTheLeapDay) {
  rtc();
  clock.advance(61 * kSecond);
  expect_time({0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00});
  EXPECT_EQ(get(6), 6);
}

TEST_F(CmosRtcTest, BinaryAndTwelveHours) {
  put(0x0b, 0x04);
  expect_time({20, 24, 2, 29, 0x80 | 11, 58, 59});
  clock.advance(61 * kSecond);
  EXPECT_EQ(get(0x04), 12);  // midnight
}

TEST_F(CmosRtcTest, UpdateInProgressWarnsBeforeTheSecondChanges) {
  rtc();
  clock.advance(kSecond - 2'300'000);
  EXPECT_FALSE(get(0x0a) & 0x80);
  clock.advance(100'000);
  EXPECT_TRUE(get(0x0a) & 0x80);
  EXPECT_EQ(get(0x00), 0x59);
  clock.advance(2'200'000);
  EXPECT_FALSE(get(0x0a) & 0x80);
  EXPECT_EQ(get(0x00), 0x00);
}

TEST_F(CmosRtcTest, SetHoldsTheTimeWhileItIsWritten) {
  put(0x0b, 0x82);
  clock.advance(5 * kSecond);
  EXPECT_EQ(get(0x00), 0x59);
  EXPECT_FALSE(get(0x0a) & 0x80);
  put(0x32, 0x19), put(0x09, 0x99), put(0x08, 0x12), put(0x07, 0x31);
  put(0x04, 0x23), put(0x02, 0x59), put(0x00, 0x58);
  put(0x0b, 0x02);
  expect_time({0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58});
  clock.advance(2 * kSecond);
  expect_time({0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00});
}

TEST_F(CmosRtcTest, TheFirstUpdateComesHalfASecondAfterTheDividerStarts) {
  put(0x0a, 0x76);
  clock.advance(3 * kSecond);
  put(0x00, 0x30);
  put(0x0a, 0x26);
  clock.advance(kSecond / 2 - 1);
  EXPECT_EQ(get(0x00), 0x30);
  clock.advance(1);
  EXPECT_EQ(get(0x00), 0x31);
}

TEST_F(CmosRtcTest, ARunningTimeCanBeWritten) {
  rtc();
  clock.advance(kSecond / 4);
  put(0x04, 0x11);
  EXPECT_EQ(get(0x04), 0x11);
  EXPECT_EQ(get(0x02), 0x58);
  clock.advance(kSecond * 3 / 4);
  EXPECT_EQ(get(0x00), 0x00);  // the second keeps its phase
}

TEST_F(CmosRtcTest, ChangingTheFormatDoesNotChangeTheTime) {
  put(0x0b, 0x06);
  put(0x0b, 0x02);
  expect_time({0x20, 0x24, 0x02, 0x29, 0x23, 0x58, 0x59});
}

TEST_F(CmosRtcTest, ImpossibleDatesCountOn) {
  put(0x0b, 0x82);
  put(0x08, 0x00), put(0x07, 0xff), put(0x04, 0xff), put(0x02, 0xff), put(0x00, 0xff);
  put(0x0b, 0x02);
  EXPECT_LE(get(0x00), 0x59);
  EXPECT_LE(get(0x08), 0x12);
}

TEST_F(CmosRtcTest, TheUpdateEndedInterruptComesEverySecond) {
  put(0x0b, 0x12);
  get(0x0c);
  clock.advance(kSecond - 1);
  EXPECT_FALSE(irq8.level);
  clock.advance(1);
  EXPECT_TRUE(irq8.level);
  EXPECT_EQ(get(0x0c), 0xd0);  // and a periodic flag, which does not interrupt
  EXPECT_FALSE(irq8.level);
  EXPECT_EQ(get(0x0c), 0);
  clock.advance(kSecond);
  EXPECT_EQ(irq8.rises, 2);
}

TEST_F(CmosRtcTest, SetTakesTheUpdateEndedInterruptAway) {
  put(0x0b, 0x92);
  EXPECT_EQ(get(0x0b), 0x82);
}

TEST_F(CmosRtcTest, TheAlarmMatchesHoursMinutesAndSeconds) {
  put(0x05, 0x00), put(0x03, 0x00), put(0x01, 0x10);  // 00:00:10
  put(0x0b, 0x22);
  clock.advance(71 * kSecond - 1);
  EXPECT_FALSE(irq8.level);
  clock.advance(1);
  EXPECT_TRUE(irq8.level);
  EXPECT_EQ(get(0x0c) & 0xa0, 0xa0);
  clock.advance(86'400 * kSecond - 1);
  EXPECT_FALSE(irq8.level);
  clock.advance(1);
  EXPECT_TRUE(irq8.level);
}

TEST_F(CmosRtcTest, AnAlarmByteMayMatchAnything) {
  put(0x05, 0xff), put(0x03, 0xc0), put(0x01, 0x05);  // once a minute
  put(0x0b, 0x22);
  for (int i = 0; i < 3; ++i) {
    clock.advance(i == 0 ? 6 * kSecond : 60 * kSecond);
    EXPECT_TRUE(irq8.level);
    EXPECT_EQ(get(0), 0x05);
    get(0x0c);
  }
}

TEST_F(CmosRtcTest, AnAlarmThatCannotMatchNeverDoes) {
  put(0x05, 0x99), put(0x03, 0x00), put(0x01, 0x00);
  put(0x0b, 0x22);
  clock.advance(2 * 86'400 * kSecond);
  EXPECT_EQ(irq8.rises, 0);
}

TEST_F(CmosRtcTest, ThePeriodicInterruptHasTheRateSelected) {
  put(0x0a, 0x26);  // 1024 Hz
  put(0x0b, 0x42);
  get(0x0c);
  const int before = irq8.rises;
  for (int i = 1; i <= 1024; ++i) {
    clock.advance(kSecond * static_cast<unsigned>(i) / 1024 - clock.now_ns() + 1);
    get(0x0c);
  }
  EXPECT_EQ(irq8.rises - before, 1024);
  put(0x0a, 0x20);
  get(0x0c);
  clock.advance(kSecond);
  EXPECT_EQ(get(0x0c) & 0x40, 0);
}

TEST_F(CmosRtcTest, EnablingAnInterruptThatIsFlaggedRaisesTheLine) {
  rtc();
  clock.advance(kSecond);
  EXPECT_FALSE(irq8.level);
  put(0x0b, 0x12);
  EXPECT_TRUE(irq8.level);
}

TEST_F(CmosRtcTest, NothingIsArmedWhileNothingInterrupts) {
  rtc();
  EXPECT_EQ(clock.armed(), 0u);
  put(0x0b, 0x12);
  EXPECT_EQ(clock.armed(), 1u);
}

TEST_F(CmosRtcTest, MemoryIsPlainAndTheIndexHasSevenBits) {
  put(0x80 | 0x4f, 0x5a);
  EXPECT_TRUE(rtc().nmi_masked());
  EXPECT_EQ(get(0x4f), 0x5a);
  EXPECT_FALSE(rtc().nmi_masked());
  EXPECT_EQ(test::get<std::uint8_t>(rtc(), 0), 0xff);
  put(0x0d, 0);
  EXPECT_EQ(get(0x0d), 0x80);
}

TEST_F(CmosRtcTest, FirmwareFindsTheMemorySize) {
  rtc().set_memory_size(3ULL << 30, 5ULL << 30);
  EXPECT_EQ(get(0x15) | get(0x16) << 8, 640);
  EXPECT_EQ(get(0x17) | get(0x18) << 8, 0xffff);
  EXPECT_EQ(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
  EXPECT_EQ(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 5120 * 16);
}

TEST_F(CmosRtcTest, ResetTakesInterruptsAwayButNotTheTime) {
  put(0x0b, 0x12);
  put(0x04, 0x11);
  clock.advance(kSecond);
  ASSERT_TRUE(irq8.level);
  test::put<std::uint8_t>(rtc(), 0, 0x8f);
  rtc().reset();
  EXPECT_FALSE(irq8.level);
  EXPECT_FALSE(rtc().nmi_masked());
  EXPECT_EQ(clock.armed(), 0u);
  EXPECT_EQ(get(0x0b), 0x02);
  EXPECT_EQ(get(0x04), 0x11);
}

TEST_F(CmosRtcTest, SavedStateContinuesWhereItStopped) {
  put(0x0b, 0x12);
  put(0x04, 0x11);
  put(0x40, 0x77);
  clock.advance(kSecond);
  const auto saved = rtc().state();
  const CmosRtcState loaded = vireo::test::saved_and_loaded(saved);
  test::EdgeCounter line;
  CmosRtc other(clock, clock, line);
  ASSERT_TRUE(other.restore(loaded));
  EXPECT_EQ(other.state(), saved);
  EXPECT_TRUE(line.level);
  rtc_.reset();
  rtc_ = std::make_unique<CmosRtc>(clock, clock, irq8);
  ASSERT_TRUE(rtc_->restore(loaded));
  EXPECT_EQ(get(0x04), 0x11);
  EXPECT_EQ(get(0x40), 0x77);
}

TEST_F(CmosRtcTest, RefusesAStateThatCouldNotExist) {
  auto hostile = rtc().state();
  hostile.index = 0x80;
  EXPECT_FALSE(rtc().restore(hostile));
  hostile = rtc().state();
  hostile.base_seconds = 1ULL << 62;
  EXPECT_FALSE(rtc().restore(hostile));
}

TEST(RtcTime, ConvertsThereAndBack) {
  for (std::int64_t seconds = -62'167'219'200; seconds < 253'402'300'800;
       seconds += 86'400 * 97 + 12'345) {
    const RtcTime time = rtc_time_of(seconds);
    EXPECT_EQ(unix_seconds_of(time), seconds);
    EXPECT_LE(time.month, 12u);
    EXPECT_LE(time.day, 31u);
  }
  const RtcTime start = rtc_time_of(0);
  EXPECT_EQ(start, (RtcTime{0, 0, 0, 5, 1, 1, 1970}));
  EXPECT_EQ(rtc_time_of(951'782'400), (RtcTime{0, 0, 0, 3, 29, 2, 2000}));
  EXPECT_EQ(rtc_time_of(-1), (RtcTime{59, 59, 23, 4, 31, 12, 1969}));
}

}  // namespace
}  // namespace vireo::devices
