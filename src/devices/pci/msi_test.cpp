#include "devices/pci/msi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "devices/pci/msix.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

using ::testing::ElementsAre, ::testing::IsEmpty, ::testing::Pair;

struct Sink final : bus::MsiSink {
  void send_msi(std::uint64_t address, std::uint32_t data) override {
    sent.emplace_back(address, data);
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sent;
};

struct Card final : bus::PciDevice {
  Card(Sink& sink) : PciDevice({.vendor = 1, .device = 2}), msi(sink, 4), msix(sink, 70, 1) {
    define_bar(1, bus::BarKind::kMemory32, Msix::kWindowSize, msix.window(), "msix");
    define_capability(msi);
    define_capability(msix);
  }
  Msi msi;
  Msix msix;
};

struct NoPirqs final : bus::PirqSink {
  void set_pirq(unsigned, bool) override {}
};

struct MsiTest : ::testing::Test {
  static constexpr std::uint32_t kMsi = 0x40, kMsix = 0x58, kWindow = 0xe0000000;
  static constexpr std::uint64_t kPending = kWindow + 0x800;

  void SetUp() override {
    ASSERT_TRUE(pci.add(4, 0, card));
    put(0x14, kWindow);
    put(0x04, 0x6, 2);
  }
  std::uint32_t get(unsigned offset, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    pci.config_read(4 << 11 | offset, std::span(data).first(size));
    return static_cast<std::uint32_t>(bus::to_number(data));
  }
  void put(unsigned offset, std::uint32_t value, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    pci.config_write(4 << 11 | offset, std::span(data).first(size));
  }
  std::uint64_t load(std::uint64_t address, std::size_t size = 4) {
    std::array<std::byte, 8> data{};
    mmio.read(address, std::span(data).first(size));
    return bus::to_number(data);
  }
  void store(std::uint64_t address, std::uint64_t value, std::size_t size = 4) {
    std::array<std::byte, 8> data{};
    bus::from_number(data, value);
    mmio.write(address, std::span(data).first(size));
  }
  /// As a driver sets up a message, unmasked.
  void fill(unsigned vector, std::uint32_t data) {
    store(kWindow + 16 * vector, 0xfee00000);
    store(kWindow + 16 * vector + 8, data);
    store(kWindow + 16 * vector + 12, 0);
  }

  Sink sink;
  bus::AddressMap mmio, pio;
  NoPirqs pirqs;
  bus::PciBus pci{mmio, pio, pirqs};
  Card card{sink};
};

TEST_F(MsiTest, TheCapabilitiesAreFoundAndDescribeThemselves) {
  EXPECT_EQ(get(0x34, 1), kMsi);
  EXPECT_EQ(get(kMsi) & 0xffff, kMsix << 8 | Msi::kId);
  EXPECT_EQ(get(kMsi + 2, 2), 0x0184u);  // four messages, 64 bits, maskable
  EXPECT_EQ(get(kMsix) & 0xff, unsigned{Msix::kId});
  EXPECT_EQ(get(kMsix + 2, 2), 69u);
  EXPECT_EQ(get(kMsix + 4), 1u);
  EXPECT_EQ(get(kMsix + 8), 0x801u);
}

TEST_F(MsiTest, AMessageIsSentOnlyWhileItIsEnabled) {
  put(kMsi + 4, 0xfee01004);
  put(kMsi + 12, 0x4030, 2);
  card.msi.send(0);
  EXPECT_THAT(sink.sent, IsEmpty());
  put(kMsi + 2, 0x0011, 2);  // two of four messages granted
  EXPECT_TRUE(card.msi.enabled());
  card.msi.send(1);
  card.msi.send(2);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0xfee01004, 0x4031), Pair(0xfee01004, 0x4030)));
}

TEST_F(MsiTest, AMaskedMessageIsPendingUntilItIsUnmasked) {
  put(kMsi + 4, 0xfee00000);
  put(kMsi + 2, 0x0021, 2);
  put(kMsi + 16, 0x2);
  card.msi.send(1);
  EXPECT_THAT(sink.sent, IsEmpty());
  EXPECT_EQ(get(kMsi + 20), 0x2u);
  put(kMsi + 20, 0);  // read-only
  EXPECT_EQ(get(kMsi + 20), 0x2u);
  put(kMsi + 16, 0);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0xfee00000, 1)));
  EXPECT_EQ(get(kMsi + 20), 0u);
}

TEST_F(MsiTest, AnMsixMessageGoesWhereItsEntrySays) {
  store(kWindow + 16 * 69, 0x1'fee02000, 8);
  fill(0, 0x41);
  store(kWindow + 16 * 69 + 8, 0x55, 8);  // data and control at once
  card.msix.send(69);
  EXPECT_THAT(sink.sent, IsEmpty());
  put(kMsix + 2, 0x8000, 2);
  card.msix.send(69);
  card.msix.send(0);
  card.msix.send(70);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0x1'fee02000, 0x55), Pair(0xfee00000, 0x41)));
}

TEST_F(MsiTest, AMaskedEntryIsPendingUntilItIsUnmasked) {
  put(kMsix + 2, 0x8000, 2);
  fill(65, 7);
  store(kWindow + 16 * 65 + 12, 1);
  card.msix.send(65);
  card.msix.send(65);
  EXPECT_THAT(sink.sent, IsEmpty());
  EXPECT_EQ(load(kPending + 8, 8), 2u);
  EXPECT_EQ(load(kPending + 8), 2u);
  store(kPending + 8, 0, 8);  // read-only
  store(kWindow + 16 * 65 + 12, 0);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0xfee00000, 7)));
  EXPECT_EQ(load(kPending + 8, 8), 0u);
}

TEST_F(MsiTest, TheFunctionMaskHoldsAllBack) {
  fill(0, 1);
  fill(1, 2);
  put(kMsix + 2, 0xc000, 2);
  card.msix.send(0);
  card.msix.send(1);
  EXPECT_THAT(sink.sent, IsEmpty());
  EXPECT_EQ(load(kPending), 3u);
  put(kMsix + 2, 0x8000, 2);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0xfee00000, 1), Pair(0xfee00000, 2)));
}

TEST_F(MsiTest, TheTableIsAccessedInWholeDoubleWords) {
  fill(3, 0x12345678);
  EXPECT_EQ(load(kWindow + 56, 2), 0u);
  store(kWindow + 56, 0, 2);
  store(kWindow + 57, 0, 4);
  EXPECT_EQ(load(kWindow + 56, 4), 0x12345678u);
  EXPECT_EQ(load(kWindow + 60, 4), 0u);
  EXPECT_EQ(load(kWindow + 16 * 68 + 12), 1u) << "masked at first";
  EXPECT_EQ(load(kWindow + 16 * 70 + 12), 0u) << "no such entry";
}

TEST_F(MsiTest, AResetMasksEverything) {
  fill(0, 1);
  put(kMsix + 2, 0xc000, 2);
  card.msix.send(0);
  pci.reset();
  EXPECT_EQ(card.msix.state(), MsixState{});
  EXPECT_FALSE(card.msix.enabled());
  EXPECT_THAT(sink.sent, IsEmpty());
}

TEST_F(MsiTest, APendingMessageSurvivesASnapshot) {
  fill(2, 9);
  put(kMsix + 2, 0xc000, 2);
  card.msix.send(2);
  const MsixState saved = test::saved_and_loaded(card.msix.state());
  const auto config = card.config_state();
  pci.reset();
  ASSERT_TRUE(card.msix.restore(saved));
  ASSERT_TRUE(card.restore_config(config));
  put(kMsix + 2, 0x8000, 2);
  EXPECT_THAT(sink.sent, ElementsAre(Pair(0xfee00000, 9)));
}

TEST_F(MsiTest, AnImpossibleStateIsRefused) {
  for (auto spoil :
       {+[](MsixState& s) { s.table[0].masked = 2; }, +[](MsixState& s) { s.table[1].address = 1; },
        +[](MsixState& s) { s.pending[1] = 1 << 6; },
        +[](MsixState& s) { s.table[70].data = 1; }}) {
    MsixState state;
    spoil(state);
    EXPECT_FALSE(card.msix.restore(state));
  }
}

}  // namespace
}  // namespace vireo::devices
