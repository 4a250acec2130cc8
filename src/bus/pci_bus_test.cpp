#include "bus/pci_bus.h"

#include <gtest/gtest.h>

#include "bus/access_split.h"

namespace vireo::bus {
namespace {

struct Ram final : BusDevice {
  explicit Ram(std::uint8_t id) : fill(id) {}
  void read(std::uint64_t, std::span<std::byte> data) override {
    for (auto& byte : data) byte = std::byte{fill};
  }
  void write(std::uint64_t, std::span<const std::byte>) override {}
  std::uint8_t fill;
};

struct Card final : PciDevice {
  Card()
      : PciDevice({.vendor = 0x1234,
                   .device = 0x5678,
                   .class_code = 0x020000,
                   .revision = 7,
                   .interrupt_pin = 1}) {
    define_bar(0, BarKind::kIo, 0x20, io, "card io");
    define_bar(1, BarKind::kMemory32, 0x1000, memory, "card memory");
    define_bar(2, BarKind::kMemory64, 0x4000, wide, "card wide memory");
    first_capability = define_capability(0x09, 16);
    second_capability = define_capability(0x11, 12);
    define16(second_capability + 2, 0x0003, 0xc000);
  }
  using PciDevice::set_intx;
  void on_config_written(unsigned offset, unsigned) override { last_written = offset; }
  Ram io{0x10}, memory{0x20}, wide{0x30};
  unsigned first_capability = 0, second_capability = 0, last_written = 0;
};

struct Pirqs final : PirqSink {
  void set_pirq(unsigned pirq, bool high) override { level.at(pirq) = high; }
  std::array<bool, 4> level{};
};

struct PciBusTest : ::testing::Test {
  void SetUp() override { ASSERT_TRUE(bus.add(3, 0, card)); }
  static std::uint32_t at(unsigned offset, unsigned device = 3, unsigned function = 0) {
    return device << 11 | function << 8 | offset;
  }
  std::uint32_t get(std::uint32_t address, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    bus.config_read(address, std::span(data).first(size));
    return static_cast<std::uint32_t>(to_number(data));
  }
  void put(std::uint32_t address, std::uint32_t value, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    from_number(data, value);
    bus.config_write(address, std::span(data).first(size));
  }
  static std::uint8_t peek(AddressMap& map, std::uint64_t address) {
    std::array<std::byte, 1> data{};
    map.read(address, data);
    return std::to_integer<std::uint8_t>(data[0]);
  }

  AddressMap mmio, pio;
  Pirqs pirqs;
  PciBus bus{mmio, pio, pirqs};
  Card card;
};

TEST_F(PciBusTest, TellsWhoIsThereAndAllOnesForNobody) {
  EXPECT_EQ(get(at(0x00)), 0x56781234u);
  EXPECT_EQ(get(at(0x08)), 0x02000007u);
  EXPECT_EQ(get(at(0x3d), 1), 1u);
  EXPECT_EQ(get(at(0x00, 4)), 0xffffffffu);
  EXPECT_EQ(get(at(0x00) | 1u << 16), 0xffffffffu);  // another bus
}

TEST_F(PciBusTest, ReadOnlyBitsStay) {
  put(at(0x00), 0);
  put(at(0x08), 0);
  put(at(0x3d), 4, 1);
  EXPECT_EQ(get(at(0x00)), 0x56781234u);
  EXPECT_EQ(get(at(0x08)), 0x02000007u);
  EXPECT_EQ(get(at(0x3d), 1), 1u);
  put(at(0x3c), 11, 1);
  EXPECT_EQ(get(at(0x3c), 1), 11u);
  EXPECT_EQ(card.last_written, 0x3cu);
}

TEST_F(PciBusTest, SizingTellsTypeAndSizeOfEachBar) {
  for (unsigned bar = 0; bar < 6; ++bar) put(at(0x10 + 4 * bar), 0xffffffff);
  EXPECT_EQ(get(at(0x10)), 0xffffffe1u);
  EXPECT_EQ(get(at(0x14)), 0xfffff000u);
  EXPECT_EQ(get(at(0x18)), 0xffffc004u);
  EXPECT_EQ(get(at(0x1c)), 0xffffffffu);
  EXPECT_EQ(get(at(0x20)), 0u);
}

TEST_F(PciBusTest, WindowsAppearWhenTheCommandRegisterEnablesThem) {
  put(at(0x10), 0xc000);
  put(at(0x14), 0xe0000000);
  EXPECT_EQ(peek(pio, 0xc000), 0xff);
  put(at(0x04), 0x1, 2);
  EXPECT_EQ(peek(pio, 0xc01f), 0x10);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0xff);
  put(at(0x04), 0x2, 2);
  EXPECT_EQ(peek(pio, 0xc000), 0xff);
  EXPECT_EQ(peek(mmio, 0xe0000fff), 0x20);
}

TEST_F(PciBusTest, AWindowMovesAboveFourGigabytes) {
  put(at(0x04), 0x2, 2);
  put(at(0x18), 0xe0000000);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0x30);
  put(at(0x1c), 0x10);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0xff);
  EXPECT_EQ(peek(mmio, 0x10'e0000000), 0x30);
}

TEST_F(PciBusTest, AWindowOnTopOfAnotherWaitsUntilThereIsRoom) {
  Ram ram{0x55};
  ASSERT_TRUE(mmio.add(0xe0000800, 0x100, ram, "fixed"));
  put(at(0x04), 0x2, 2);
  put(at(0x14), 0xe0000000);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0xff);
  EXPECT_EQ(peek(mmio, 0xe0000800), 0x55);
  put(at(0x14), 0xe1000000);
  EXPECT_EQ(peek(mmio, 0xe1000000), 0x20);
}

TEST_F(PciBusTest, TwoCardsCanExchangeTheirWindows) {
  Card other;
  ASSERT_TRUE(bus.add(4, 0, other));
  other.memory.fill = 0x21;
  put(at(0x14), 0xe0000000), put(at(0x04), 2, 2);
  put(at(0x14, 4), 0xe0001000), put(at(0x04, 4), 2, 2);
  put(at(0x14), 0xe0001000);  // taken for the moment
  put(at(0x14, 4), 0xe0000000);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0x21);
  EXPECT_EQ(peek(mmio, 0xe0001000), 0x20);
}

TEST_F(PciBusTest, CapabilitiesFormAList) {
  EXPECT_EQ(get(at(0x06), 2) & 0x10, 0x10u);
  EXPECT_EQ(get(at(0x34), 1), card.first_capability);
  EXPECT_EQ(get(at(card.first_capability), 2), 0x09u | card.second_capability << 8);
  EXPECT_EQ(get(at(card.second_capability), 2), 0x0011u);
  put(at(card.second_capability + 2), 0xffff, 2);
  EXPECT_EQ(get(at(card.second_capability + 2), 2), 0xc003u);
}

TEST_F(PciBusTest, SeveralFunctionsAreAnnouncedByFunctionZero) {
  EXPECT_EQ(get(at(0x0e), 1), 0u);
  Card second;
  ASSERT_TRUE(bus.add(3, 5, second));
  EXPECT_EQ(get(at(0x0e), 1), 0x80u);
  EXPECT_EQ(get(at(0x0e, 3, 5), 1), 0u);
  EXPECT_FALSE(bus.add(3, 5, second));
  EXPECT_FALSE(bus.add(32, 0, second));
}

TEST_F(PciBusTest, PinsOfNeighboursGoToDifferentLinesAndAreShared) {
  Card same_line;  // device 7 is four further: the same line
  ASSERT_TRUE(bus.add(7, 0, same_line));
  const unsigned pirq = PciBus::pirq_of(3, 1);
  EXPECT_EQ(pirq, 2u);
  EXPECT_EQ(PciBus::pirq_of(1, 1), 0u);
  card.set_intx(true);
  same_line.set_intx(true);
  card.set_intx(false);
  EXPECT_TRUE(pirqs.level[pirq]);
  same_line.set_intx(false);
  EXPECT_FALSE(pirqs.level[pirq]);
}

TEST_F(PciBusTest, TheCommandRegisterHoldsTheInterruptBack) {
  put(at(0x04), 0x400, 2);
  card.set_intx(true);
  EXPECT_FALSE(pirqs.level[2]);
  EXPECT_EQ(get(at(0x06), 2) & 0x08, 0x08u);  // but the status tells
  put(at(0x04), 0, 2);
  EXPECT_TRUE(pirqs.level[2]);
}

TEST_F(PciBusTest, ResetTakesWindowsAndInterruptAway) {
  put(at(0x14), 0xe0000000), put(at(0x04), 2, 2);
  card.set_intx(true);
  bus.reset();
  EXPECT_EQ(peek(mmio, 0xe0000000), 0xff);
  EXPECT_FALSE(pirqs.level[2]);
  EXPECT_EQ(get(at(0x14)), 0u);
}

TEST_F(PciBusTest, ARestoredFunctionHasItsWindowsAndItsInterruptAgain) {
  put(at(0x14), 0xe0000000), put(at(0x04), 2, 2);
  card.set_intx(true);
  const PciConfigState saved = card.config_state();
  bus.reset();
  ASSERT_TRUE(card.restore_config(saved));
  EXPECT_EQ(card.config_state(), saved);
  EXPECT_EQ(peek(mmio, 0xe0000000), 0x20);
  EXPECT_TRUE(pirqs.level[2]);
}

TEST_F(PciBusTest, RefusesTheStateOfAnotherFunction) {
  PciConfigState other = card.config_state();
  other.bytes[2] ^= 1;
  EXPECT_FALSE(card.restore_config(other));
  other = card.config_state();
  other.bytes[0x10] = 0x03;  // type bits of a BAR
  EXPECT_FALSE(card.restore_config(other));
}

TEST_F(PciBusTest, InterruptLineRegistersSayWhereThePinArrives) {
  bus.assign_interrupt_lines({5, 10, 11, 12});
  EXPECT_EQ(get(at(0x3c), 1), 11u);  // device 3, INTA# is PIRQC#
  bus.reset();
  EXPECT_EQ(get(at(0x3c), 1), 0u);
}

}  // namespace
}  // namespace vireo::bus
