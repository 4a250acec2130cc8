#include "devices/ide/ide_channel.h"

#include <gtest/gtest.h>

#include "devices/ide/ide_world.h"
#include "state/archive.h"

namespace vireo::devices {
namespace {

using test::IdeWorld;

struct IdeChannelTest : ::testing::Test, IdeWorld {
  static constexpr std::uint8_t kActive = 1, kMasterFailed = 2, kMasterInterrupt = 4;
};

TEST_F(IdeChannelTest, ADriveThatIsNotThereAnswersNothing) {
  test::IdeLine line;
  IdeChannel empty(line, *memory);
  std::byte value{};
  empty.command_ports().read(7, {&value, 1});
  EXPECT_EQ(value, std::byte{0x7f});
  empty.control_ports().read(0, {&value, 1});
  EXPECT_EQ(value, std::byte{0x7f});
  virtio::FakeDisk one(512);
  IdeChannel lonely(line, *memory);
  lonely.add(0, std::make_unique<AtaDisk>(one, ""));
  const std::byte second{0x10}, pattern{0x55}, identify{0xec};
  lonely.command_ports().write(6, {&second, 1});
  lonely.command_ports().write(2, {&pattern, 1});
  lonely.command_ports().write(7, {&identify, 1});
  for (const std::uint64_t port : {2u, 7u}) {
    lonely.command_ports().read(port, {&value, 1});
    EXPECT_EQ(value, std::byte{0});
  }
  EXPECT_FALSE(line.high);
}

TEST_F(IdeChannelTest, TheInterruptIsAcknowledgedByTheStatusAndHeldBackByControl) {
  command(0xe5, 0, 0);
  EXPECT_TRUE(irq.high);
  quiet_status();
  EXPECT_TRUE(irq.high);
  control(2);
  EXPECT_FALSE(irq.high);
  control(0);
  EXPECT_TRUE(irq.high);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_FALSE(irq.high);
}

TEST_F(IdeChannelTest, ABusyDriveDoesNotListen) {
  disk.held = true;
  command(0x20, 0, 1);
  EXPECT_EQ(in(kStatus), kBusy);
  command(0x20, 1, 1);  // all of it ignored
  out(kDevice, 0x10);
  EXPECT_EQ(disk.waiting(), 1u);
  EXPECT_EQ(in(kStatus), kBusy);
  disk.run();
  EXPECT_EQ(take(512), part(disk, 0, 512));
}

TEST_F(IdeChannelTest, AResetWaitsForTheMedium) {
  disk.held = true;
  command(0x20, 0, 1);
  control(4);
  control(0);
  EXPECT_EQ(in(kStatus), kBusy);
  disk.run();
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(in(kError), 1);
  EXPECT_FALSE(irq.high);
  EXPECT_EQ(take(2)[0], std::byte{0xff});
}

TEST_F(IdeChannelTest, DmaReadsIntoSeveralRegions) {
  put_table({{kData, 100}, {kData + 0x8000, 1024 - 100}});
  command(0xc8, 3, 2);
  EXPECT_EQ(in(kStatus), kBusy);
  EXPECT_FALSE(irq.high);
  start_master(true);
  EXPECT_TRUE(irq.high);
  EXPECT_EQ(master(2), kMasterInterrupt);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(at(kData, 100), part(disk, 3 * 512, 100));
  EXPECT_EQ(at(kData + 0x8000, 924), part(disk, 3 * 512 + 100, 924));
  set_master(2, kMasterInterrupt);
  EXPECT_EQ(master(2), 0);
}

TEST_F(IdeChannelTest, DmaWritesWhatTheRegionsHold) {
  for (unsigned i = 0; i < 1024; i += 4) memory->write_value(PhysAddr{kData + i}, i * 3);
  put_table({{kData, 512}, {kData + 512, 512}});
  start_master(false);
  EXPECT_EQ(master(2), kActive);
  command(0xca, 7, 2);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(part(disk, 7 * 512, 1024), at(kData, 1024));
  EXPECT_EQ(irq.edges, 1u);
}

TEST_F(IdeChannelTest, LargeTransfersGoThroughTheBufferInPieces) {
  put_table({{0x10000, 0}, {0x20000, 0}, {0x30000, 0}});  // 64 KiB each
  start_master(true);
  wide_command(0x25, 1, 384);
  EXPECT_EQ(disk.log, "rrr");
  EXPECT_EQ(at(0x10000, 0x30000), part(disk, 512, 0x30000));
  EXPECT_EQ(master(2), kMasterInterrupt);
  start_master(false);
  set_master(0, 0);
  start_master(false);
  wide_command(0x35, 1000, 384);
  EXPECT_EQ(disk.log, "rrrwww");
  EXPECT_EQ(at(0x10000, 0x30000), part(disk, 1000 * 512, 0x30000));
}

TEST_F(IdeChannelTest, ATableThatIsTooShortLeavesTheDriveWaiting) {
  put_table({{kData, 512}});
  start_master(true);
  command(0xc8, 0, 2);
  EXPECT_EQ(master(2), 0);
  EXPECT_EQ(in(kStatus), kBusy);
  EXPECT_FALSE(irq.high);
  control(4), control(0);
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(IdeChannelTest, ATableThatIsTooLongLeavesTheMasterActive) {
  put_table({{kData, 512}, {kData + 512, 512}});
  start_master(true);
  command(0xc8, 0, 1);
  EXPECT_EQ(master(2), kActive | kMasterInterrupt);
  set_master(0, 0);
  EXPECT_EQ(master(2), kMasterInterrupt);
}

TEST_F(IdeChannelTest, RegionsAndTablesOutsideMemoryFailTheCommand) {
  for (const bool to_memory : {true, false}) {
    put_table({{kMemory - 256, 512}});
    set_master(0, 0);
    start_master(to_memory);
    command(to_memory ? 0xc8 : 0xca, 0, 1);
    EXPECT_EQ(in(kStatus), kFailed);
    EXPECT_EQ(master(2) & (kMasterFailed | kActive), kMasterFailed);
    set_master(2, kMasterFailed);
    EXPECT_EQ(master(2) & kMasterFailed, 0);
    set_master(4, 0xffff'fff8, 4);
    set_master(0, 0);
    start_master(to_memory);
    command(to_memory ? 0xc8 : 0xca, 0, 1);
    EXPECT_EQ(in(kStatus), kFailed);
    EXPECT_EQ(master(2) & kMasterFailed, kMasterFailed);
    set_master(2, kMasterFailed);
  }
  EXPECT_EQ(disk.log.find('w'), std::string::npos);
}

TEST_F(IdeChannelTest, StoppingTheMasterHoldsTheTransfer) {
  disk.held = true;
  put_table({{kData, 512}});
  start_master(true);
  command(0xc8, 0, 1);
  set_master(0, 0);
  disk.run();
  EXPECT_EQ(in(kStatus), kBusy);
  EXPECT_EQ(at(kData, 512), std::vector<std::byte>(512));
  start_master(true);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(at(kData, 512), part(disk, 0, 512));
}

TEST_F(IdeChannelTest, AStateIsSavedAndRestoredInTheMiddleOfABlock) {
  command(0x20, 5, 2);
  take(100);
  const IdeChannelState saved = channel.state();
  const std::array drives{channel.drive_state(0), channel.drive_state(1)};
  state::Writer writer;
  writer("ide", saved);
  IdeChannelState read;
  state::Reader reader(writer.bytes());
  reader("ide", read);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(read, saved);
  channel.reset();
  EXPECT_EQ(in(kStatus), kReady);
  ASSERT_TRUE(channel.restore(read, drives));
  EXPECT_EQ(take(412), part(disk, 5 * 512 + 100, 412));
  EXPECT_EQ(take(512), part(disk, 6 * 512, 512));
}

TEST_F(IdeChannelTest, ImpossibleStatesAreRefused) {
  command(0x20, 5, 2);
  const IdeChannelState good = channel.state();
  const std::array drives{channel.drive_state(0), channel.drive_state(1)};
  ASSERT_TRUE(channel.restore(good, drives));
  const auto refused = [&](auto change) {
    IdeChannelState bad = good;
    change(bad);
    return !channel.restore(bad, drives);
  };
  EXPECT_TRUE(refused([](auto& s) { s.phase = 9; }));
  EXPECT_TRUE(refused([](auto& s) { s.phase = static_cast<std::uint8_t>(IdePhase::kMedium); }));
  EXPECT_TRUE(refused([](auto& s) { s.selected = 2; }));
  EXPECT_TRUE(refused([](auto& s) { s.task.filled = IdeDrive::kBuffer + 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.task.index = s.task.filled + 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.task.block = 0; }));
  EXPECT_TRUE(refused([](auto& s) { s.phase = static_cast<std::uint8_t>(IdePhase::kPioOut); }));
  EXPECT_TRUE(refused([](auto& s) { s.task.left = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& s) { s.task.position = ~std::uint64_t{0}; }));
  const auto refused_out = [&](auto change) {
    return refused([&](auto& s) {
      s.phase = static_cast<std::uint8_t>(IdePhase::kPioOut);
      s.task.to_guest = 0;
      s.task.left = 512;
      change(s.task);
    });
  };
  EXPECT_FALSE(refused_out([](auto& task) { task.filled = task.end = 512; }));
  EXPECT_TRUE(refused_out([](auto& task) { task.left = 511; }));
  EXPECT_TRUE(refused_out([](auto& task) { task.stored = 0; }));
  std::array broken = drives;
  broken[0].multiple = 129;
  EXPECT_FALSE(channel.restore(good, broken));
}

}  // namespace
}  // namespace vireo::devices
