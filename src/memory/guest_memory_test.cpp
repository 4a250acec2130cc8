#include "memory/guest_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace vireo::memory {
namespace {

constexpr PhysAddr at(std::uint64_t address) { return PhysAddr{address}; }

struct Recorder final : PageListener {
  bool on_watch(PhysAddr page) override {
    watches.push_back(value(page));
    return false;
  }
  void on_watched_write(PhysAddr address, std::size_t size) override {
    writes.emplace_back(value(address), size);
  }
  bool on_move() override {
    ++moves;
    return false;
  }
  int moves = 0;
  std::vector<std::uint64_t> watches;
  std::vector<std::pair<std::uint64_t, std::size_t>> writes;
};

// RAM of four pages, a hole of one page, one page of ROM, and RAM above 4 GiB.
struct GuestMemoryTest : ::testing::Test {
  GuestMemoryTest() {
    memory = std::move(*GuestMemory::create({{at(0x1'0000'0000), 0x2000, RegionKind::kRam, "high"},
                                             {at(0x5000), 0x1000, RegionKind::kRom, "rom"},
                                             {at(0), 0x4000, RegionKind::kRam, "low"}}));
    memory->add_listener(recorder);
  }
  std::unique_ptr<GuestMemory> memory;
  Recorder recorder;
};

TEST_F(GuestMemoryTest, ReadsAsZeroUntilItIsWritten) {
  std::uint64_t number = 1;
  ASSERT_TRUE(memory->read_value(at(0x1'0000'1ff8), number));
  EXPECT_EQ(number, 0u);
  ASSERT_TRUE(memory->write_value(at(0x1'0000'1ff8), std::uint64_t{0x1122334455667788}));
  ASSERT_TRUE(memory->read_value(at(0x1'0000'1ff8), number));
  EXPECT_EQ(number, 0x1122334455667788u);
}

TEST_F(GuestMemoryTest, AccessesCrossPages) {
  std::array<std::byte, 0x2100> out{}, in{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7);
  ASSERT_TRUE(memory->write(at(0xf80), out));
  ASSERT_TRUE(memory->read(at(0xf80), in));
  EXPECT_EQ(in, out);
  EXPECT_EQ(memory->host_page(at(0x1abc))[0x000], out[0x80]);
}

TEST_F(GuestMemoryTest, NothingIsReadOrWrittenOutside) {
  std::uint32_t number = 0;
  EXPECT_FALSE(memory->read_value(at(0x4000), number));
  EXPECT_FALSE(memory->write_value(at(0x3ffe), number));  // runs into the hole
  EXPECT_FALSE(memory->read_value(at(0x1'0000'1ffe), number));
  EXPECT_FALSE(memory->read_value(at(~0ull), number));  // would wrap around to zero
  EXPECT_FALSE(memory->write_value(at(1ull << 60), number));
  EXPECT_EQ(memory->view(at(0x4000)).host, nullptr);
  EXPECT_FALSE(memory->view(at(0x4000)).writable);
  EXPECT_EQ(memory->host_page(at(1ull << 60)), nullptr);
}

TEST_F(GuestMemoryTest, RomIgnoresWritesButNotThoseOfFirmware) {
  std::uint32_t number = 0;
  EXPECT_TRUE(memory->write_value(at(0x5000), 0x11111111u));
  ASSERT_TRUE(memory->read_value(at(0x5000), number));
  EXPECT_EQ(number, 0u);
  const std::uint32_t firmware = 0x22222222;
  EXPECT_TRUE(memory->write_rom(at(0x5000), std::as_bytes(std::span(&firmware, 1))));
  ASSERT_TRUE(memory->read_value(at(0x5000), number));
  EXPECT_EQ(number, firmware);
  EXPECT_NE(memory->view(at(0x5000)).host, nullptr);
  EXPECT_FALSE(memory->view(at(0x5000)).writable);
}

TEST_F(GuestMemoryTest, RamBecomesRomAndRamAgain) {
  memory->write_value(at(0x2000), std::uint32_t{1});
  memory->set_rom(at(0x2000), 0x4000, true);  // the hole and the ROM behind it are not meant
  EXPECT_EQ(recorder.watches, (std::vector<std::uint64_t>{0x2000, 0x3000}));
  EXPECT_TRUE(memory->is_rom(at(0x2fff)) && memory->is_rom(at(0x3000)));
  EXPECT_FALSE(memory->is_rom(at(0x1fff)));
  EXPECT_FALSE(memory->view(at(0x2000)).writable);
  memory->write_value(at(0x2000), std::uint32_t{2});
  std::uint32_t number = 0;
  memory->read_value(at(0x2000), number);
  EXPECT_EQ(number, 1u);
  memory->set_rom(at(0x3000), 0x1000, true);
  EXPECT_EQ(recorder.watches.size(), 2u);  // it was already
  memory->set_rom(at(0), 0x6000, false);
  EXPECT_TRUE(memory->view(at(0x2000)).writable && !memory->is_rom(at(0x3000)));
  EXPECT_TRUE(memory->is_rom(at(0x5000)));
}

TEST_F(GuestMemoryTest, AWatchedPageLosesDirectWritesAndTellsOfEachWrite) {
  EXPECT_TRUE(memory->view(at(0x1004)).writable);
  memory->watch(at(0x1004));
  memory->watch(at(0x1000));
  EXPECT_EQ(recorder.watches, std::vector<std::uint64_t>{0x1000}) << "everybody knows already";
  EXPECT_TRUE(memory->watched(at(0x1fff)));
  EXPECT_FALSE(memory->watched(at(0x2000)));
  EXPECT_FALSE(memory->view(at(0x1004)).writable);
  EXPECT_NE(memory->view(at(0x1004)).host, nullptr);

  memory->write_value(at(0x2000), std::uint32_t{1});
  EXPECT_TRUE(recorder.writes.empty());
  memory->write_value(at(0x1ffe), std::uint32_t{1});  // only the part on the watched page counts
  memory->note_write(at(0x0ffc), 8);
  EXPECT_EQ(recorder.writes,
            (std::vector<std::pair<std::uint64_t, std::size_t>>{{0x1ffe, 2}, {0x0ffc, 8}}));

  memory->unwatch(at(0x1000));
  memory->write_value(at(0x1000), std::uint32_t{1});
  EXPECT_EQ(recorder.writes.size(), 3u);  // it was watched twice
  memory->unwatch(at(0x1000));
  memory->write_value(at(0x1000), std::uint32_t{1});
  EXPECT_EQ(recorder.writes.size(), 3u);
  EXPECT_TRUE(memory->view(at(0x1004)).writable);
  memory->watch(at(0x1000));
  EXPECT_EQ(recorder.watches, (std::vector<std::uint64_t>{0x1000, 0x1000})) << "it was forgotten";
}

TEST_F(GuestMemoryTest, WritesThatChangeNothingAreNotTold) {
  memory->watch(at(0x1000));
  for (const std::size_t size : {1u, 2u, 4u, 8u}) {
    const PhysAddr place = at(0x1000 + 16 * size);
    constexpr std::uint64_t kData = 0x8877665544332211;
    recorder.writes.clear();
    EXPECT_TRUE(memory->write_changes(place, kData, size));
    EXPECT_TRUE(memory->write_changes(place, kData, size));
    ASSERT_EQ(recorder.writes.size(), 1u);
    EXPECT_EQ(recorder.writes[0], std::pair(value(place), size));
    std::uint64_t there = 0;
    memory->read_value(place, there);
    EXPECT_EQ(there, size == 8 ? kData : kData & ((1ull << 8 * size) - 1));
    EXPECT_TRUE(memory->write_changes(place, kData + 1, size));
    EXPECT_EQ(recorder.writes.size(), 2u);
  }
  // What is not aligned is a write like others.
  recorder.writes.clear();
  EXPECT_TRUE(memory->write_changes(at(0x1001), 7, 4));
  EXPECT_TRUE(memory->write_changes(at(0x1001), 7, 4));
  EXPECT_EQ(recorder.writes.size(), 2u);
  EXPECT_FALSE(memory->write_changes(at(0x4000), 7, 4));  // a hole
}

// Another watches the page while the first still tells of it: neither may return before all know.
TEST_F(GuestMemoryTest, WhoeverWatchesWhileOthersAreToldTellsThemToo) {
  struct Another final : PageListener {
    explicit Another(GuestMemory& memory) : memory_(memory) {}
    bool on_watch(PhysAddr page) override {
      if (calls++ == 0) memory_.watch(page);
      return false;
    }
    void on_watched_write(PhysAddr, std::size_t) override {}
    bool on_move() override { return false; }
    int calls = 0;
    GuestMemory& memory_;
  } another(*memory);
  memory->remove_listener(recorder);
  memory->add_listener(another);
  memory->add_listener(recorder);
  memory->watch(at(0x1000));
  EXPECT_EQ(another.calls, 2);
  EXPECT_EQ(recorder.watches.size(), 2u);
}

// Who runs guest code takes a while to notice: the wait is that of the slowest, not of all
// together.
TEST_F(GuestMemoryTest, AllAreToldBeforeTheFirstIsWaitedFor) {
  struct Late final : PageListener {
    Late(std::vector<std::string>& log, bool late) : log_(log), late_(late) {}
    bool on_watch(PhysAddr) override {
      log_.emplace_back("watch");
      return late_;
    }
    void on_watched_write(PhysAddr, std::size_t) override { log_.emplace_back("write"); }
    bool on_move() override {
      log_.emplace_back("move");
      return late_;
    }
    void settle() override { log_.emplace_back("settle"); }
    std::vector<std::string>& log_;
    bool late_;
  };
  using Log = std::vector<std::string>;
  Log log;
  Late first(log, true), second(log, false), third(log, true);
  for (Late* listener : {&first, &second, &third}) memory->add_listener(*listener);
  memory->watch(at(0x1000));
  EXPECT_EQ(log, (Log{"watch", "watch", "watch", "settle", "settle"}));
  log.clear();
  memory->set_rom(at(0x2000), 0x1000, true);
  EXPECT_EQ(log, (Log{"watch", "watch", "watch", "settle", "settle"}));
  log.clear();
  memory->place_device_memory(at(0xe000'0000));
  memory->place_device_memory(std::nullopt);
  EXPECT_EQ(log, (Log{"move", "move", "move", "settle", "settle", "write", "write", "write"}));
}

TEST_F(GuestMemoryTest, WatchingWhereThereIsNoMemoryDoesNothing) {
  memory->watch(at(0x4000));
  memory->watch(at(1ull << 60));
  memory->unwatch(at(1ull << 60));
  EXPECT_TRUE(recorder.watches.empty());
  EXPECT_FALSE(memory->watched(at(0x4000)));
  EXPECT_EQ(memory->view(at(0x4000)).host, nullptr);
}

TEST_F(GuestMemoryTest, ARemovedListenerHearsNothing) {
  memory->remove_listener(recorder);
  memory->watch(at(0x1000));
  memory->write_value(at(0x1000), std::uint32_t{1});
  EXPECT_TRUE(recorder.watches.empty());
  EXPECT_TRUE(recorder.writes.empty());
}

TEST_F(GuestMemoryTest, AListenerMayUnwatchTheWrittenPage) {
  struct Unwatcher final : PageListener {
    explicit Unwatcher(GuestMemory& m) : memory_(m) {}
    bool on_watch(PhysAddr) override { return false; }
    void on_watched_write(PhysAddr address, std::size_t) override { memory_.unwatch(address); }
    bool on_move() override { return false; }
    GuestMemory& memory_;
  } unwatcher(*memory);
  memory->add_listener(unwatcher);
  memory->watch(at(0x1000));
  memory->write_value(at(0x1000), std::uint8_t{1});
  EXPECT_FALSE(memory->watched(at(0x1000)));
}

TEST_F(GuestMemoryTest, WhatIsDiscardedIsGivenBackAndReadsAsZero) {
  std::vector<std::byte> ones(0x3000, std::byte{1});
  ASSERT_TRUE(memory->write(at(0x1000), ones));
  const std::uint64_t before = memory->resident_bytes();
  EXPECT_EQ(memory->discard(at(0x1800), 0x2000), 0x1000u) << "whole pages only";
  EXPECT_EQ(memory->resident_bytes(), before - 0x1000);
  std::uint32_t word = 0;
  memory->read_value(at(0x1ffc), word);
  EXPECT_EQ(word, 0x01010101u);
  memory->read_value(at(0x2000), word);
  EXPECT_EQ(word, 0u);
  memory->read_value(at(0x3000), word);
  EXPECT_EQ(word, 0x01010101u);
  memory->watch(at(0x3000));
  EXPECT_EQ(memory->discard(at(0x3000), 0x1000), 0x1000u);
  EXPECT_EQ(recorder.writes,
            (std::vector<std::pair<std::uint64_t, std::size_t>>{{0x3000, 0x1000}}));
  memory->write_value(at(0x3000), 5u);
  memory->read_value(at(0x3000), word);
  EXPECT_EQ(word, 5u) << "it is memory as before";
}

TEST_F(GuestMemoryTest, OnlyMemoryIsDiscarded) {
  EXPECT_EQ(memory->discard(at(1ull << 60), 0x1000), 0u);
  EXPECT_EQ(memory->discard(at(~0xfffull), 0x2000), 0u);
  EXPECT_EQ(memory->discard(at(0x1001), 0xffe), 0u);
  memory->write_value(at(0x1000), 7u);
  memory->set_rom(at(0x1000), 0x1000, true);
  memory->discard(at(0), ~0ull);
  std::uint32_t word = 0;
  memory->read_value(at(0x1000), word);
  EXPECT_EQ(word, 7u) << "ROM stays";
}

TEST(GuestMemory, RefusesRegionsThatMakeNoSense) {
  const auto blame = [](std::vector<Region> regions) {
    const auto made = GuestMemory::create(std::move(regions));
    return made ? std::string("none") : made.error().message;
  };
  EXPECT_NE(blame({{at(0), 0x1800, RegionKind::kRam, "odd"}}).find("whole pages"),
            std::string::npos);
  EXPECT_NE(blame({{at(0x800), 0x1000, RegionKind::kRam, "odd"}}).find("whole pages"),
            std::string::npos);
  EXPECT_NE(
      blame({{at(0), 0x2000, RegionKind::kRam, "a"}, {at(0x1000), 0x1000, RegionKind::kRom, "b"}})
          .find("overlaps"),
      std::string::npos);
  EXPECT_NE(blame({{at(~0xfffull), 0x1000, RegionKind::kRam, "top"}}).find("highest"),
            std::string::npos);
  EXPECT_EQ(blame({}), "none");
}

struct DeviceMemoryTest : ::testing::Test {
  static constexpr std::uint64_t kBytes = 0x3000;
  DeviceMemoryTest() { memory->add_listener(recorder); }
  std::uint8_t host(std::size_t offset) const {
    return std::to_integer<std::uint8_t>(memory->device_memory()[offset]);
  }
  std::unique_ptr<GuestMemory> memory =
      std::move(*GuestMemory::create({{at(0), 0x4000, RegionKind::kRam, "low"},
                                      {at(0x1'0000'0000), 0x1000, RegionKind::kRam, "high"}},
                                     kBytes));
  Recorder recorder;
};

TEST_F(DeviceMemoryTest, IsWhereItIsPlaced) {
  ASSERT_EQ(memory->device_memory().size(), kBytes);
  EXPECT_FALSE(memory->write_value(at(0xe000'0000), std::uint8_t{1}));
  memory->place_device_memory(at(0xe000'0000));
  EXPECT_TRUE(memory->write_value(at(0xe000'2fff), std::uint8_t{7}));
  EXPECT_EQ(host(0x2fff), 7);
  EXPECT_FALSE(memory->write_value(at(0xe000'3000), std::uint8_t{7}));
  EXPECT_EQ(recorder.moves, 0) << "nobody can have known anything of it";

  memory->place_device_memory(at(0xf000'0000));
  EXPECT_FALSE(memory->write_value(at(0xe000'0000), std::uint8_t{1}));
  std::uint8_t byte = 0;
  EXPECT_TRUE(memory->read_value(at(0xf000'2fff), byte));
  EXPECT_EQ(byte, 7);
  EXPECT_EQ(recorder.moves, 1);
  EXPECT_EQ(memory->moves(), 1u);
  EXPECT_EQ(recorder.writes.back(), std::pair(std::uint64_t{0xe000'0000}, std::size_t{kBytes}));
  memory->place_device_memory(at(0xf000'0000));
  EXPECT_EQ(recorder.moves, 1);

  memory->clear_device_memory();
  EXPECT_EQ(host(0x2fff), 0);
  memory->place_device_memory(std::nullopt);
  EXPECT_FALSE(memory->read_value(at(0xf000'0000), byte));
}

TEST_F(DeviceMemoryTest, LeavesRegionsAsTheyAre) {
  memory->write_value(at(0x3000), std::uint8_t{5});
  memory->place_device_memory(at(0x3000));
  memory->write_value(at(0x3000), std::uint8_t{6});
  memory->write_value(at(0x4000), std::uint8_t{8});
  EXPECT_EQ(host(0), 0);
  EXPECT_EQ(host(0x1000), 8);
  memory->place_device_memory(std::nullopt);
  std::uint8_t byte = 0;
  EXPECT_TRUE(memory->read_value(at(0x3000), byte));
  EXPECT_EQ(byte, 6);
  memory->place_device_memory(at(0xffff'f000));
  EXPECT_FALSE(memory->read_value(at(0xffff'f000), byte)) << "it would end above 4 GiB";
  EXPECT_EQ(memory->discard(at(0), 0x4000), 0x4000u);
}

TEST_F(DeviceMemoryTest, KeepsWatchesOfItsPages) {
  memory->place_device_memory(at(0xe000'0000));
  memory->watch(at(0xe000'1000));
  memory->place_device_memory(std::nullopt);
  memory->place_device_memory(at(0xe000'0000));
  EXPECT_TRUE(memory->watched(at(0xe000'1000)));
  memory->unwatch(at(0xe000'1000));
  EXPECT_FALSE(memory->watched(at(0xe000'1000)));
  EXPECT_NE(memory->host_page(at(0xe000'1000)), nullptr);
}

// Whoever watches a page and then reads it either sees the bytes of a racing write or is told.
TEST_F(GuestMemoryTest, AWriteThatRacesWithAWatchIsNeverMissed) {
  struct Flag final : PageListener {
    bool on_watch(PhysAddr) override { return false; }
    void on_watched_write(PhysAddr, std::size_t) override { told.store(true); }
    bool on_move() override { return false; }
    std::atomic<bool> told = false;
  } flag;
  memory->add_listener(flag);
  for (std::uint32_t round = 1; round < 300; ++round) {
    flag.told = false;
    memory->unwatch(at(0x3000));
    std::uint32_t seen = 0;
    std::thread writer([&] { memory->write_value(at(0x3000), round); });
    memory->watch(at(0x3000));
    memory->read_value(at(0x3000), seen);
    writer.join();
    ASSERT_TRUE(seen == round || flag.told);
  }
}

}  // namespace
}  // namespace vireo::memory
