#include "devices/input/i8042.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/saved_state.h"

namespace vireo::devices {
namespace {

using Bytes = std::vector<unsigned>;

struct Line final : bus::IrqLine {
  void set_level(bool value) override {
    rises += value && !high;
    high = value;
  }
  bool high = false;
  int rises = 0;
};

struct I8042Test : ::testing::Test {
  void SetUp() override { ASSERT_TRUE(controller.attach(pio)); }
  unsigned in(std::uint16_t port) {
    std::byte data{};
    pio.read(port, {&data, 1});
    return std::to_integer<unsigned>(data);
  }
  void out(std::uint16_t port, unsigned value) {
    const std::byte data{static_cast<std::uint8_t>(value)};
    pio.write(port, {&data, 1});
  }
  Bytes drain() {
    Bytes result;
    while (in(0x64) & 1) result.push_back(in(0x60));
    return result;
  }
  Bytes controller_says(unsigned command) {
    out(0x64, command);
    return drain();
  }
  Bytes keyboard_says(unsigned command) {
    out(0x60, command);
    return drain();
  }
  Bytes mouse_says(unsigned command) {
    out(0x64, 0xd4);
    out(0x60, command);
    return drain();
  }
  void set_command_byte(unsigned value) {
    out(0x64, 0x60);
    out(0x60, value);
  }
  bus::AddressMap pio;
  Line irq1, irq12;
  int resets = 0;
  I8042 controller{irq1, irq12, [this] { ++resets; }};
};

TEST_F(I8042Test, PassesItsSelfTests) {
  EXPECT_EQ(controller_says(0xaa), Bytes{0x55});
  EXPECT_EQ(in(0x64) & 0x04, 0x04u);  // system flag
  EXPECT_EQ(controller_says(0xab), Bytes{0x00});
  EXPECT_EQ(controller_says(0xa9), Bytes{0x00});
  EXPECT_EQ(controller_says(0xa4), Bytes{0xf1});
}

TEST_F(I8042Test, TheCommandByteReadsBackAndInterfacesShowInIt) {
  set_command_byte(0x47);
  EXPECT_EQ(controller_says(0x20), Bytes{0x47});
  out(0x64, 0xad), out(0x64, 0xa7);
  EXPECT_EQ(controller_says(0x20), Bytes{0x77});
  out(0x64, 0xae), out(0x64, 0xa8);
  EXPECT_EQ(controller_says(0x20), Bytes{0x47});
}

TEST_F(I8042Test, StatusTellsCommandsFromData) {
  out(0x64, 0x60);
  EXPECT_EQ(in(0x64) & 0x08, 0x08u);
  out(0x60, 0x65);
  EXPECT_EQ(in(0x64) & 0x08, 0u);
}

TEST_F(I8042Test, TheMouseLoopComesBackAsMouseData) {
  set_command_byte(0x02);
  out(0x64, 0xd3);
  out(0x60, 0x5a);
  EXPECT_EQ(in(0x64) & 0x21, 0x21u);
  EXPECT_TRUE(irq12.high);
  EXPECT_FALSE(irq1.high);
  EXPECT_EQ(in(0x60), 0x5au);
  EXPECT_FALSE(irq12.high);
}

TEST_F(I8042Test, KeyboardAnswersWithTheProtocolThatDriversProbe) {
  set_command_byte(0x01);  // untranslated
  EXPECT_EQ(keyboard_says(0xff), (Bytes{0xfa, 0xaa}));
  EXPECT_EQ(keyboard_says(0xf2), (Bytes{0xfa, 0xab, 0x83}));
  EXPECT_EQ(keyboard_says(0xee), Bytes{0xee});
  EXPECT_EQ(keyboard_says(0xed), Bytes{0xfa});
  EXPECT_EQ(keyboard_says(0x02), Bytes{0xfa});
  EXPECT_EQ(controller.state().keyboard.leds, 2);
  EXPECT_EQ(keyboard_says(0xf3), Bytes{0xfa});
  EXPECT_EQ(keyboard_says(0x00), Bytes{0xfa});
  EXPECT_EQ(keyboard_says(0x77), Bytes{0xfe});  // no such command
  EXPECT_EQ(keyboard_says(0xf2), (Bytes{0xfa, 0xab, 0x83}));
  EXPECT_EQ(keyboard_says(0xfe), Bytes{0x83});  // say that again
}

TEST_F(I8042Test, TranslationConcernsAnswersToo) {
  set_command_byte(0x45);
  EXPECT_EQ(keyboard_says(0xf2), (Bytes{0xfa, 0xab, 0x41}));
}

TEST_F(I8042Test, ScancodeSetsOneAndTwoCanBeChosenAndAsked) {
  set_command_byte(0x01);
  EXPECT_EQ(keyboard_says(0xf0), Bytes{0xfa});
  EXPECT_EQ(keyboard_says(0x00), (Bytes{0xfa, 0x02}));
  controller.key(0x1e, true);  // a
  EXPECT_EQ(drain(), Bytes{0x1c});
  out(0x60, 0xf0), drain();
  EXPECT_EQ(keyboard_says(0x01), Bytes{0xfa});
  controller.key(0x1e, false);
  EXPECT_EQ(drain(), Bytes{0x9e});
  out(0x60, 0xf0), drain();
  EXPECT_EQ(keyboard_says(0x03), Bytes{0xfe});
}

TEST_F(I8042Test, KeysArriveTranslatedOrRaw) {
  set_command_byte(0x45);
  controller.key(0x1e, true), controller.key(0x1e, false);
  EXPECT_EQ(drain(), (Bytes{0x1e, 0x9e}));
  controller.key(0xe048, true), controller.key(0xe048, false);  // cursor up
  EXPECT_EQ(drain(), (Bytes{0xe0, 0x48, 0xe0, 0xc8}));
  controller.key(0xe11d, true);
  EXPECT_EQ(drain(), (Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}));
  set_command_byte(0x01);
  controller.key(0xe048, true), controller.key(0xe048, false);
  EXPECT_EQ(drain(), (Bytes{0xe0, 0x75, 0xe0, 0xf0, 0x75}));
  controller.key(0x41, true);  // F7
  EXPECT_EQ(drain(), Bytes{0x83});
}

TEST_F(I8042Test, EveryByteIsAnInterruptOfItsOwn) {
  set_command_byte(0x45);
  controller.key(0xe048, true);
  EXPECT_EQ(irq1.rises, 1);
  in(0x60);
  EXPECT_EQ(irq1.rises, 2);
  in(0x60);
  EXPECT_FALSE(irq1.high);
}

TEST_F(I8042Test, ADisabledKeyboardKeepsItsKeysUntilItIsEnabled) {
  out(0x64, 0xad);
  controller.key(0x1e, true);
  EXPECT_EQ(drain(), Bytes{});
  EXPECT_EQ(controller_says(0xae), Bytes{0x1e});
  set_command_byte(0x01);
  EXPECT_EQ(keyboard_says(0xf5), Bytes{0xfa});  // scanning off
  controller.key(0x1e, true);
  EXPECT_EQ(drain(), Bytes{});
}

TEST_F(I8042Test, AKeyThatDoesNotFitIsForgottenAsAWhole) {
  set_command_byte(0x01);
  for (int i = 0; i < 40; ++i) controller.key(0xe048, true);
  const Bytes bytes = drain();
  EXPECT_EQ(bytes.size() % 2, 0u);
  for (std::size_t i = 0; i < bytes.size(); i += 2) EXPECT_EQ(bytes[i], 0xe0u);
}

TEST_F(I8042Test, MouseAnswersWithTheProtocolThatDriversProbe) {
  EXPECT_EQ(mouse_says(0xff), (Bytes{0xfa, 0xaa, 0x00}));
  EXPECT_EQ(mouse_says(0xf2), (Bytes{0xfa, 0x00}));
  EXPECT_EQ(mouse_says(0xe8), Bytes{0xfa});
  EXPECT_EQ(mouse_says(0x03), Bytes{0xfa});
  EXPECT_EQ(mouse_says(0xe9), (Bytes{0xfa, 0x00, 0x03, 100}));
  EXPECT_EQ(mouse_says(0xe1), Bytes{0xfe});
  EXPECT_EQ(controller_says(0x20)[0] & 0x20, 0u) << "talking to the mouse enables it";
}

TEST_F(I8042Test, TheKnockTurnsItIntoAWheelMouse) {
  const auto set_rate = [&](unsigned rate) { mouse_says(0xf3), mouse_says(rate); };
  set_rate(200), set_rate(200), set_rate(80);
  EXPECT_EQ(mouse_says(0xf2), (Bytes{0xfa, 0x00})) << "five buttons only after the wheel";
  set_rate(200), set_rate(100), set_rate(80);
  EXPECT_EQ(mouse_says(0xf2), (Bytes{0xfa, 0x03}));
  set_rate(200), set_rate(200), set_rate(80);
  EXPECT_EQ(mouse_says(0xf2), (Bytes{0xfa, 0x04}));
  mouse_says(0xf4);
  controller.move_mouse(0, 0, -1, 0x10);
  EXPECT_EQ(drain(), (Bytes{0x08, 0, 0, 0x2f}));
}

TEST_F(I8042Test, MovementsBecomePacketsOnceReportingIsOn) {
  set_command_byte(0x47);
  controller.move_mouse(5, 5, 0, 0);
  EXPECT_EQ(drain(), Bytes{});
  EXPECT_EQ(mouse_says(0xf4), Bytes{0xfa});
  controller.move_mouse(5, 3, 0, 1);
  EXPECT_TRUE(irq12.high);
  EXPECT_EQ(drain(), (Bytes{0x29, 5, 0xfd}));
  controller.move_mouse(-300, 0, 0, 0);
  EXPECT_EQ(drain(), (Bytes{0x18, 0x01, 0, 0x18, 0xd3, 0}));
}

TEST_F(I8042Test, RemoteModeReportsOnlyWhenAsked) {
  mouse_says(0xf0);
  controller.move_mouse(1, 0, 0, 0);
  EXPECT_EQ(drain(), Bytes{});
  EXPECT_EQ(mouse_says(0xeb), (Bytes{0xfa, 0x08, 1, 0}));
}

TEST_F(I8042Test, ThreeWaysToResetTheMachine) {
  out(0x64, 0xfe);
  EXPECT_EQ(resets, 1);
  out(0x64, 0xff);  // pulses nothing
  EXPECT_EQ(resets, 1);
  out(0x64, 0xd1), out(0x60, 0x02);
  EXPECT_EQ(resets, 2);
  out(0x64, 0xd1), out(0x60, 0x03);
  EXPECT_EQ(resets, 2);
  Port92 port([this] { ++resets; });
  ASSERT_TRUE(pio.add(Port92::kPort, 1, port, "port 92"));
  EXPECT_EQ(in(0x92), 0x02u);
  out(0x92, 0x02);
  EXPECT_EQ(resets, 2);
  out(0x92, 0x03);
  EXPECT_EQ(resets, 3);
}

TEST_F(I8042Test, TheLatchOfAddressLine20ReadsBack) {
  Port92 port({});
  ASSERT_TRUE(pio.add(Port92::kPort, 1, port, "port 92"));
  out(0x92, 0xfc);
  EXPECT_EQ(in(0x92), 0x00u);
  out(0x92, 0x02);
  EXPECT_EQ(in(0x92), 0x02u);
  out(0x92, 0x00);
  port.reset();
  EXPECT_EQ(in(0x92), 0x02u);
}

TEST_F(I8042Test, TheOutputPortShowsAddressLine20) {
  EXPECT_EQ(controller_says(0xd0), Bytes{0x03});
  out(0x64, 0xdd);
  EXPECT_EQ(controller_says(0xd0), Bytes{0x01});
  out(0x64, 0xdf);
  EXPECT_EQ(controller_says(0xd0), Bytes{0x03});
}

TEST_F(I8042Test, SavedStateContinuesWhereItStopped) {
  set_command_byte(0x47);
  controller.key(0xe048, true);
  mouse_says(0xf4);
  controller.key(0x1e, true);
  const I8042State saved = controller.state();
  const I8042State loaded = vireo::test::saved_and_loaded(saved);
  controller.reset();
  EXPECT_FALSE(irq1.high);
  ASSERT_TRUE(controller.restore(loaded));
  EXPECT_EQ(controller.state(), saved);
  EXPECT_TRUE(irq1.high);
  EXPECT_EQ(drain(), Bytes{0x1e});
}

TEST_F(I8042Test, RefusesAStateThatCouldNotExist) {
  I8042State hostile;
  hostile.keyboard.output.count = 33;
  EXPECT_FALSE(controller.restore(hostile));
  hostile = {};
  hostile.replies.count = 1;
  EXPECT_FALSE(controller.restore(hostile));
  hostile = {};
  hostile.mouse.resolution = 200;
  EXPECT_FALSE(controller.restore(hostile));
}

}  // namespace
}  // namespace vireo::devices
