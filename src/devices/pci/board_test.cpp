#include <gtest/gtest.h>

#include "bus/access_split.h"
#include "bus/address_map.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix3_isa.h"
#include "devices/pci/piix4_pm.h"

namespace vireo::devices {
namespace {

struct Line final : bus::IrqLine {
  void set_level(bool value) override {
    high = value;
    ++calls;
  }
  bool high = false;
  int calls = 0;
};

struct Timer final : bus::BusDevice {
  void read(std::uint64_t, std::span<std::byte> data) override {
    bus::from_number(data, 0x12345678);
  }
  void write(std::uint64_t, std::span<const std::byte>) override {}
};

struct BoardTest : ::testing::Test {
  static constexpr std::uint16_t kEvent = Piix4Pm::kUsualBase + Piix4Pm::kEvent;
  static constexpr std::uint16_t kControl = Piix4Pm::kUsualBase + Piix4Pm::kControl;
  static constexpr std::uint16_t kGpe0 = Piix4Pm::kUsualBase + Piix4Pm::kGpe0;

  void SetUp() override {
    ASSERT_TRUE(bus.add(0, 0, bridge));
    ASSERT_TRUE(bus.add(1, 0, isa));
    ASSERT_TRUE(bus.add(1, 3, pm));
    ASSERT_TRUE(pio.add(I440fx::kPorts, I440fx::kPortCount, bridge.config_ports(), "pci"));
    ASSERT_TRUE(pm.attach(pio, timer));
    pm.set_up();
  }
  std::array<bus::IrqLine*, 16> isa_lines() {
    std::array<bus::IrqLine*, 16> result{};
    for (unsigned i = 0; i < 16; ++i) result[i] = &lines[i];
    return result;
  }
  std::uint32_t in(std::uint16_t port, std::size_t size) {
    std::vector<std::byte> data(size);
    pio.read(port, data);
    return static_cast<std::uint32_t>(bus::to_number(data));
  }
  void out(std::uint16_t port, std::uint32_t value, std::size_t size) {
    std::vector<std::byte> data(size);
    bus::from_number(data, value);
    pio.write(port, data);
  }
  void select(unsigned device, unsigned function, unsigned offset) {
    out(0xcf8, 0x80000000 | device << 11 | function << 8 | offset, 4);
  }

  bus::AddressMap mmio, pio;
  std::array<Line, 16> lines;
  int resets = 0, power_offs = 0;
  Piix3Isa isa{isa_lines()};
  bus::PciBus bus{mmio, pio, isa};
  I440fx bridge{bus, [this] { ++resets; }};
  Timer timer;
  Piix4Pm pm{lines[9], [this] { ++power_offs; }};
};

TEST_F(BoardTest, ConfigurationMechanismOneIsFoundAndLeavesOtherWidthsAlone) {
  out(0xcfb, 0x01, 1);
  out(0xcf8, 0x80000000, 4);
  EXPECT_EQ(in(0xcf8, 4), 0x80000000u);
  out(0xcf8, 0x00, 1);
  out(0xcf8, 0x1234, 2);
  EXPECT_EQ(in(0xcf8, 4), 0x80000000u);
  out(0xcf8, 0xffffffff, 4);
  EXPECT_EQ(in(0xcf8, 4), 0x80fffffcu);
}

TEST_F(BoardTest, ConfigurationSpaceIsReadInAnyWidth) {
  select(0, 0, 0);
  EXPECT_EQ(in(0xcfc, 4), 0x12378086u);
  EXPECT_EQ(in(0xcfe, 2), 0x1237u);
  EXPECT_EQ(in(0xcff, 1), 0x12u);
  select(1, 0, 0);
  EXPECT_EQ(in(0xcfc, 4), 0x70008086u);
  select(1, 3, 8);
  EXPECT_EQ(in(0xcfc, 4), 0x06800003u);
  select(2, 0, 0);
  EXPECT_EQ(in(0xcfc, 4), 0xffffffffu);
  out(0xcf8, 0, 4);  // not enabled
  EXPECT_EQ(in(0xcfc, 4), 0xffffffffu);
}

TEST_F(BoardTest, ResetControlResetsWhenTheCpuBitIsWritten) {
  out(0xcf9, 0x02, 1);
  EXPECT_EQ(resets, 0);
  EXPECT_EQ(in(0xcf9, 1), 0x02u);
  out(0xcf9, 0x06, 1);
  EXPECT_EQ(resets, 1);
}

TEST_F(BoardTest, PamRegistersSayWhereTheBiosIsShadowed) {
  int told = 0;
  bridge.set_pam_listener([&] { ++told; });
  EXPECT_FALSE(bridge.pam(12).read_ram);
  select(0, 0, 0x58);
  out(0xcfd, 0x30, 1);  // PAM0
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(bridge.pam(12).read_ram && bridge.pam(12).write_ram);
  out(0xcfe, 0x12, 1);  // PAM1
  EXPECT_TRUE(bridge.pam(0).write_ram && !bridge.pam(0).read_ram);
  EXPECT_TRUE(!bridge.pam(1).write_ram && bridge.pam(1).read_ram);
}

TEST_F(BoardTest, AnUnroutedPirqGoesNowhereAndARoutedOneFollowsItsRegister) {
  isa.set_pirq(0, true);
  for (auto& line : lines) EXPECT_FALSE(line.high);
  select(1, 0, 0x60);
  out(0xcfc, 11, 1);
  EXPECT_TRUE(lines[11].high);
  out(0xcfc, 5, 1);
  EXPECT_FALSE(lines[11].high);
  EXPECT_TRUE(lines[5].high);
  out(0xcfc, 8, 1);  // not routable: the real-time clock's
  EXPECT_FALSE(lines[5].high);
  EXPECT_FALSE(lines[8].high);
}

TEST_F(BoardTest, PirqsShareAnInterruptAndOthersAreNotTouched) {
  isa.route(Piix3Isa::kDefaultRoutes);
  isa.set_pirq(0, true);
  isa.set_pirq(2, true);
  isa.set_pirq(0, false);
  EXPECT_TRUE(lines[10].high);
  isa.set_pirq(2, false);
  EXPECT_FALSE(lines[10].high);
  EXPECT_EQ(lines[3].calls, 0);
  EXPECT_EQ(lines[11].calls, 0);
}

TEST_F(BoardTest, ARestoredIsaBridgeRoutesAsBefore) {
  isa.route({5, 6, 7, 9});
  const auto saved = isa.config_state();
  bus.reset();
  ASSERT_TRUE(isa.restore_config(saved));
  isa.set_pirq(2, true);
  EXPECT_TRUE(lines[7].high);
}

TEST_F(BoardTest, ThePowerButtonInterruptsOnlyInAcpiMode) {
  out(kEvent + 2, 0x0100, 2);
  pm.press_power_button();
  EXPECT_FALSE(lines[9].high);
  out(Piix4Pm::kSmiCommand, Piix4Pm::kAcpiEnable, 1);
  EXPECT_EQ(in(kControl, 2) & 1, 1u);
  EXPECT_TRUE(lines[9].high);
  EXPECT_EQ(in(kEvent, 2), 0x0100u);
  out(kEvent, 0x0100, 2);  // cleared by writing one
  EXPECT_FALSE(lines[9].high);
  EXPECT_EQ(in(kEvent, 2), 0u);
  out(Piix4Pm::kSmiCommand, Piix4Pm::kAcpiDisable, 1);
  EXPECT_EQ(in(kControl, 2) & 1, 0u);
}

TEST_F(BoardTest, SoftOffIsTheOnlySleepState) {
  out(kControl, 1 << 10 | 0x2000, 2);
  EXPECT_EQ(power_offs, 0);
  out(kControl, 0x0000, 2);
  EXPECT_EQ(power_offs, 0);
  out(kControl, Piix4Pm::kSoftOff << 10 | 0x2000, 2);
  EXPECT_EQ(power_offs, 1);
  EXPECT_EQ(in(kControl, 2) & 0x2000, 0u);  // write-only
}

TEST_F(BoardTest, WritingControlCannotLeaveAcpiMode) {
  out(Piix4Pm::kSmiCommand, Piix4Pm::kAcpiEnable, 1);
  out(kControl, 0, 2);
  EXPECT_EQ(in(kControl, 2), 1u);
}

TEST_F(BoardTest, AGeneralPurposeEventInterruptsWhileEnabled) {
  out(Piix4Pm::kSmiCommand, Piix4Pm::kAcpiEnable, 1);
  pm.raise_gpe(9);
  EXPECT_FALSE(lines[9].high);
  out(kGpe0 + 2, 0x0200, 2);
  EXPECT_TRUE(lines[9].high);
  out(kGpe0 + 1, 0x02, 1);
  EXPECT_FALSE(lines[9].high);
}

TEST_F(BoardTest, FirmwarePutsThePowerManagementBlockWhereItLikes) {
  const auto place = [&](std::uint32_t base, std::uint8_t enable) {
    select(1, 3, 0x40);
    out(0xcfc, base, 4);
    select(1, 3, 0x80);
    out(0xcfc, enable, 1);
  };
  const std::uint16_t enables = Piix4Pm::kEvent + 2;
  bus.reset();
  EXPECT_EQ(pm.base(), 0);
  EXPECT_EQ(in(Piix4Pm::kUsualBase + enables, 2), 0xffffu) << "nowhere after a reset";
  select(1, 3, 0x40);
  EXPECT_EQ(in(0xcfc, 4), 1u);
  select(1, 3, 0x80);
  EXPECT_EQ(in(0xcfc, 1), 0u);

  place(0xb03f, 0);
  EXPECT_EQ(in(0xb000 + enables, 2), 0xffffu) << "not enabled";
  place(0xb03f, 1);
  EXPECT_EQ(pm.base(), 0xb000);
  out(0xb000 + enables, 0x0100, 2);
  EXPECT_EQ(in(0xb000 + Piix4Pm::kTimer, 4), 0x12345678u);
  EXPECT_EQ(in(0xb000 + Piix4Pm::kBlockSize - 2, 2), 0u);

  place(0x601, 1);
  EXPECT_EQ(in(0xb000 + enables, 2), 0xffffu) << "moved";
  EXPECT_EQ(in(0x600 + enables, 2), 0x0100u) << "with what is in it";

  place(0xcc0, 1);  // where the configuration ports are
  EXPECT_EQ(pm.base(), 0);
  EXPECT_EQ(in(0xcf8, 4) & 0x80000000, 0x80000000u);
  place(0xb000, 1);
  out(0xb000 + Piix4Pm::kControl, Piix4Pm::kSoftOff << 10 | 0x2000, 2);
  EXPECT_EQ(power_offs, 1);
}

TEST_F(BoardTest, RestoredPowerManagementRaisesItsInterruptAgain) {
  AcpiPmState state;
  state.pm1_status = state.pm1_enable = 0x0100;
  state.pm1_control = 1;
  ASSERT_TRUE(pm.restore(state));
  EXPECT_TRUE(lines[9].high);
  EXPECT_EQ(pm.state(), state);
  bus.reset();
  EXPECT_FALSE(lines[9].high);
  state.pm1_control = 0x2000;
  EXPECT_FALSE(pm.restore(state));
}

TEST_F(BoardTest, RestoredPowerManagementIsWhereItWas) {
  const auto config = pm.config_state();
  bus.reset();
  ASSERT_TRUE(pm.restore_config(config));
  EXPECT_EQ(pm.base(), Piix4Pm::kUsualBase);
}

}  // namespace
}  // namespace vireo::devices
