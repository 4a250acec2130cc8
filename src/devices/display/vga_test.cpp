#include "devices/display/vga.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "state/archive.h"
#include "support/fake_clock.h"

namespace vireo::devices {
namespace {

using ::testing::ElementsAre;

struct Pirqs final : bus::PirqSink {
  void set_pirq(unsigned, bool) override {}
};

struct VgaTest : ::testing::Test {
  static constexpr std::uint64_t kFrameBuffer = 0xe000'0000, kRegisters = 0xe100'0000;
  static constexpr std::uint64_t kRam = 0x10'0000;
  static constexpr std::uint64_t kText = 0xb8000, kGraphics = 0xa0000;

  void SetUp() override {
    ASSERT_TRUE(vga.attach(mmio, pio));
    ASSERT_TRUE(pci.add(2, 0, vga));
    config(0x10, kFrameBuffer);
    config(0x18, kRegisters);
    config(0x04, 3);
  }
  void config(std::uint32_t offset, std::uint64_t value) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    pci.config_write(2 << 11 | offset, data);
  }
  unsigned in(std::uint64_t port, std::size_t size = 1) { return load(pio, port, size); }
  void out(std::uint64_t port, std::uint64_t value, std::size_t size = 1) {
    store(pio, port, value, size);
  }
  unsigned peek(std::uint64_t address, std::size_t size = 1) { return load(mmio, address, size); }
  void poke(std::uint64_t address, std::uint64_t value, std::size_t size = 1) {
    store(mmio, address, value, size);
  }
  static unsigned load(bus::AddressMap& map, std::uint64_t address, std::size_t size) {
    std::array<std::byte, 8> data{};
    map.read(address, std::span(data).first(size));
    return static_cast<unsigned>(bus::to_number(data));
  }
  static void store(bus::AddressMap& map, std::uint64_t address, std::uint64_t value,
                    std::size_t size) {
    std::array<std::byte, 8> data{};
    bus::from_number(data, value);
    map.write(address, std::span(data).first(size));
  }

  void set(std::uint16_t port, unsigned index, unsigned value) {
    out(port, index);
    out(port + 1u, value);
  }
  void sequencer(unsigned index, unsigned value) { set(0x3c4, index, value); }
  void graphics(unsigned index, unsigned value) { set(0x3ce, index, value); }
  void crtc(unsigned index, unsigned value) { set(0x3d4, index, value); }
  void attribute(unsigned index, unsigned value) {
    in(0x3da);
    out(0x3c0, index);
    out(0x3c0, value);
  }
  void vbe_register(unsigned index, unsigned value) {
    out(0x1ce, index, 2);
    out(0x1cf, value, 2);
  }
  unsigned vbe_register(unsigned index) {
    out(0x1ce, index, 2);
    return in(0x1cf, 2);
  }
  void colour(unsigned index, unsigned red, unsigned green, unsigned blue) {
    out(0x3c8, index);
    for (const unsigned value : {red, green, blue}) out(0x3c9, value);
  }
  /// Sizes in columns of eight dots and lines.
  void size(unsigned columns, unsigned lines, unsigned row_lines, unsigned offset) {
    crtc(0x11, 0);
    crtc(0x01, columns - 1);
    crtc(0x07, ((lines - 1) >> 7 & 2) | ((lines - 1) >> 3 & 0x40));
    crtc(0x12, (lines - 1) & 0xff);
    crtc(0x09, row_lines - 1);
    crtc(0x13, offset);
    crtc(0x17, 0xe3);
  }
  void show() {
    for (unsigned i = 0; i < 16; ++i) attribute(i, i);
    attribute(0x12, 0x0f);
    in(0x3da);
    out(0x3c0, 0x20);
  }
  void text_mode(unsigned columns = 4, unsigned rows = 2) {
    out(0x3c2, 0x67);
    sequencer(1, 1), sequencer(2, 3), sequencer(4, 2);
    graphics(5, 0x10), graphics(6, 0x0e), graphics(8, 0xff);
    size(columns, rows * 16, 16, columns / 2);
    crtc(0x0a, 0x20);
    show();
  }
  void graphics_mode(unsigned chain, unsigned shift) {
    out(0x3c2, 0x63);
    sequencer(1, 1), sequencer(2, 0x0f), sequencer(4, chain);
    graphics(3, 0), graphics(5, shift), graphics(6, 5), graphics(7, 0x0f), graphics(8, 0xff);
    show();
  }
  std::array<unsigned, 3> dot(unsigned x, unsigned y) {
    const Picture picture = vga.picture();
    EXPECT_LT(x, picture.width);
    EXPECT_LT(y, picture.height);
    const std::size_t at = (std::size_t{y} * picture.width + x) * 3;
    return {picture.rgb.at(at), picture.rgb.at(at + 1), picture.rgb.at(at + 2)};
  }

  bus::AddressMap mmio, pio;
  Pirqs pirqs;
  bus::PciBus pci{mmio, pio, pirqs};
  vireo::test::FakeClock clock;
  std::unique_ptr<memory::GuestMemory> memory = std::move(*memory::GuestMemory::create(
      {{PhysAddr{0}, kRam, memory::RegionKind::kRam, "ram"}}, Vga::kMemory));
  Vga vga{clock, *memory};
};

TEST_F(VgaTest, TheScreenIsReadAsText) {
  text_mode();
  const std::string shown = "Hi\xb0 \x01~b ";
  for (unsigned i = 0; i < shown.size(); ++i)
    poke(kText + 2 * i, 0x0700u | static_cast<std::uint8_t>(shown[i]), 2);
  EXPECT_THAT(vga.text(), ElementsAre("Hi░", "☺~b"));
  crtc(0x0d, 4);  // begins with the second row
  EXPECT_EQ(vga.text().front(), "☺~b");
  sequencer(1, 0x21);
  EXPECT_TRUE(vga.text().empty());
}

TEST_F(VgaTest, TextIsDrawnWithItsFontColoursAndCursor) {
  text_mode();
  colour(7, 0x3f, 0, 0), colour(1, 0, 0, 0x3f);
  // The font goes into plane 2, one byte after the other.
  sequencer(2, 4), sequencer(4, 6), graphics(5, 0), graphics(6, 4);
  poke(kGraphics + 'A' * 32 + 3, 0x80);
  sequencer(2, 3), sequencer(4, 2), graphics(5, 0x10), graphics(6, 0x0e);
  poke(kText + 2, 0x1741, 2);
  EXPECT_EQ(dot(8, 3), (std::array{255u, 0u, 0u}));
  EXPECT_EQ(dot(9, 3), (std::array{0u, 0u, 255u}));
  EXPECT_EQ(dot(8, 4), (std::array{0u, 0u, 255u}));
  crtc(0x0a, 14), crtc(0x0b, 15), crtc(0x0f, 1);
  EXPECT_EQ(dot(15, 14), (std::array{255u, 0u, 0u}));
  EXPECT_EQ(dot(15, 13), (std::array{0u, 0u, 255u}));
  const Picture picture = vga.picture();
  EXPECT_EQ(picture.width, 32u);
  EXPECT_EQ(picture.height, 32u);
}

TEST_F(VgaTest, Mode12HasFourPlanes) {
  graphics_mode(6, 0);
  size(80, 480, 1, 40);
  colour(5, 0x3f, 0x15, 0);
  sequencer(2, 5);
  poke(kGraphics + 80 + 1, 0x40);
  EXPECT_EQ(dot(9, 1), (std::array{255u, 85u, 0u}));
  EXPECT_EQ(dot(8, 1), (std::array{0u, 0u, 0u}));
  EXPECT_EQ(vga.picture().width, 640u);
  EXPECT_EQ(vga.picture().height, 480u);
  graphics(4, 2);
  EXPECT_EQ(peek(kGraphics + 81), 0x40u);
  graphics(4, 1);
  EXPECT_EQ(peek(kGraphics + 81), 0u);
}

TEST_F(VgaTest, WriteModesCombineDataWithLatches) {
  graphics_mode(6, 0);
  const auto plane = [this](unsigned number) {
    graphics(4, number);
    const unsigned mode = vga.state().graphics[5];
    graphics(5, 0);
    const unsigned value = peek(kGraphics);
    graphics(5, mode);
    return value;
  };
  poke(kGraphics, 0xf0);
  peek(kGraphics);  // fills the latches
  graphics(8, 0x3c), graphics(3, 0x18 | 4);
  poke(kGraphics, 0xa5);  // turned by four, combined by XOR, in the middle bits
  EXPECT_EQ(plane(0), ((0x5au ^ 0xf0u) & 0x3cu) | (0xf0u & ~0x3cu));
  graphics(3, 0), graphics(8, 0xff), graphics(0, 0x2), graphics(1, 0x6);
  poke(kGraphics, 0x11);
  EXPECT_EQ(plane(0), 0x11u);
  EXPECT_EQ(plane(1), 0xffu);
  EXPECT_EQ(plane(2), 0x00u);
  graphics(1, 0), graphics(5, 2);
  poke(kGraphics, 0x9);
  EXPECT_EQ(plane(0), 0xffu);
  EXPECT_EQ(plane(1), 0x00u);
  EXPECT_EQ(plane(3), 0xffu);
  graphics(5, 3), graphics(0, 0x4);
  poke(kGraphics, 0x0f);
  EXPECT_EQ(plane(0), 0xf0u);
  EXPECT_EQ(plane(2), 0x0fu);
  graphics(5, 1);
  poke(kGraphics + 5, 0);  // copies the latches
  graphics(5, 0), graphics(4, 2);
  EXPECT_EQ(peek(kGraphics + 5), 0x0fu);
  graphics(5, 8), graphics(2, 0x4);
  EXPECT_EQ(peek(kGraphics), 0x0fu);  // where the planes have colour 4
}

TEST_F(VgaTest, Mode13HasAByteForEachDot) {
  graphics_mode(0xe, 0x40);
  size(80, 400, 2, 40);
  colour(200, 1, 2, 0x3f);
  poke(kGraphics + 320 * 7 + 5, 200);
  EXPECT_EQ(dot(5, 7), (std::array{4u, 8u, 255u}));
  EXPECT_EQ(vga.picture().width, 320u);
  EXPECT_EQ(vga.picture().height, 200u);
  EXPECT_EQ(peek(kGraphics + 320 * 7 + 5), 200u);
  EXPECT_TRUE(vga.text().empty());
}

TEST_F(VgaTest, RegistersReadBackWhatExistsOfThem) {
  out(0x3c2, 0x67);
  EXPECT_EQ(in(0x3cc), 0x67u);
  EXPECT_EQ(in(0x3b5), 0xffu);  // monochrome is not there
  sequencer(2, 0xff);
  EXPECT_EQ(in(0x3c5), 0x0fu);
  graphics(3, 0xff);
  EXPECT_EQ(in(0x3cf), 0x1fu);
  colour(17, 1, 2, 0xff);
  out(0x3c7, 17);
  EXPECT_EQ(in(0x3c9), 1u);
  EXPECT_EQ(in(0x3c9), 2u);
  EXPECT_EQ(in(0x3c9), 0x3fu);
  crtc(0x11, 0x80), crtc(0x01, 0x55);
  out(0x3d4, 1);
  EXPECT_NE(in(0x3d5), 0x55u);  // protected
  attribute(0x10, 0x0c);
  out(0x3c0, 0x10);
  EXPECT_EQ(in(0x3c1), 0x0cu);
}

TEST_F(VgaTest, TheBeamGoesRound) {
  out(0x3c2, 0x67);
  unsigned seen = 0;
  for (unsigned i = 0; i < 2000; ++i, clock.advance(7'919)) seen |= 1u << (in(0x3da) & 9);
  EXPECT_EQ(seen, 1u << 0 | 1u << 1 | 1u << 9);
}

TEST_F(VgaTest, VbeShowsALinearFrameBuffer) {
  EXPECT_EQ(vbe_register(vbe::kId), 0xb0c5u);
  EXPECT_EQ(vbe_register(vbe::kMemory), Vga::kMemory >> 16);
  vbe_register(vbe::kWidth, 64), vbe_register(vbe::kHeight, 32), vbe_register(vbe::kDepth, 32);
  poke(kFrameBuffer + 4, 0xffffffff, 4);
  vbe_register(vbe::kEnable, vbe::kEnabled | vbe::kLinear);
  EXPECT_EQ(peek(kFrameBuffer + 4, 4), 0u);
  poke(kFrameBuffer + 4 * (64 * 3 + 2), 0x102030, 4);
  EXPECT_EQ(dot(2, 3), (std::array{0x10u, 0x20u, 0x30u}));
  vbe_register(vbe::kTop, 3), vbe_register(vbe::kLeft, 2);
  EXPECT_EQ(dot(0, 0), (std::array{0x10u, 0x20u, 0x30u}));
  EXPECT_EQ(vbe_register(vbe::kVirtualHeight), 0xffffu);
  vbe_register(vbe::kBank, 1);
  poke(kGraphics + 8, 0x77);
  EXPECT_EQ(peek(kFrameBuffer + 0x10008), 0x77u);
  vbe_register(vbe::kEnable, vbe::kTellLimits);
  EXPECT_EQ(vbe_register(vbe::kWidth), vbe::kMostWidth);
}

TEST_F(VgaTest, TheFrameBufferIsMemoryWhereverTheGuestPutsIt) {
  vbe_register(vbe::kWidth, 64), vbe_register(vbe::kHeight, 32), vbe_register(vbe::kDepth, 32);
  vbe_register(vbe::kEnable, vbe::kEnabled | vbe::kLinear);
  const auto write_at = [&](std::uint64_t base, unsigned x, std::uint32_t value) {
    return memory->write_value(PhysAddr{base + 4u * x}, value);
  };
  EXPECT_TRUE(write_at(kFrameBuffer, 2, 0x102030));
  EXPECT_EQ(dot(2, 0), (std::array{0x10u, 0x20u, 0x30u}));
  config(0x10, 0xd000'0000);
  EXPECT_FALSE(write_at(kFrameBuffer, 3, 0x102030));
  EXPECT_TRUE(write_at(0xd000'0000, 3, 0x405060));
  EXPECT_EQ(dot(2, 0), (std::array{0x10u, 0x20u, 0x30u}));
  EXPECT_EQ(dot(3, 0), (std::array{0x40u, 0x50u, 0x60u}));
  config(0x04, 1);
  EXPECT_FALSE(write_at(0xd000'0000, 3, 0)) << "its memory is switched off";
  config(0x04, 3);
  EXPECT_TRUE(write_at(0xd000'0000, 4, 1));
  const auto saved = vga.config_state();
  pci.reset();
  EXPECT_FALSE(write_at(0xd000'0000, 4, 1));
  ASSERT_TRUE(vga.restore_config(saved));
  EXPECT_TRUE(write_at(0xd000'0000, 4, 1));
  EXPECT_EQ(peek(0xd000'0000 + 12, 4), 0u) << "a reset clears it";
}

TEST_F(VgaTest, EveryDepthHasItsColours) {
  const std::pair<unsigned, std::uint32_t> depths[] = {
      {15, 0x7c1f}, {16, 0xf81f}, {24, 0xff00ff}, {32, 0xff00ff}, {8, 9}};
  colour(9, 0x3f, 0, 0x3f);
  for (const auto& [depth, value] : depths) {
    vbe_register(vbe::kEnable, 0);
    vbe_register(vbe::kWidth, 16), vbe_register(vbe::kHeight, 2), vbe_register(vbe::kDepth, depth);
    vbe_register(vbe::kEnable, vbe::kEnabled);
    poke(kFrameBuffer, value, 4);
    EXPECT_EQ(dot(0, 0), (std::array{255u, 0u, 255u})) << depth;
  }
}

TEST_F(VgaTest, ModesThatDoNotFitAreNotSwitchedOn) {
  vbe_register(vbe::kEnable, vbe::kEnabled);  // without a size
  EXPECT_EQ(vbe_register(vbe::kEnable) & vbe::kEnabled, 0);
  for (const unsigned bad : {0u, 7u, 2568u, 65528u}) vbe_register(vbe::kWidth, bad);
  EXPECT_EQ(vbe_register(vbe::kWidth), 0u);
  vbe_register(vbe::kDepth, 31);
  EXPECT_EQ(vbe_register(vbe::kDepth), 0u);
  vbe_register(vbe::kBank, 0xffff);
  EXPECT_EQ(vbe_register(vbe::kBank), 0u);
  EXPECT_EQ(vbe_register(99), 0xffffu);
}

TEST_F(VgaTest, TheRegisterWindowIsTheSameRegisters) {
  poke(kRegisters + 0x402, 0x67);
  EXPECT_EQ(in(0x3cc), 0x67u);
  poke(kRegisters + 0x500 + 2 * vbe::kWidth, 800, 2);
  EXPECT_EQ(vbe_register(vbe::kWidth), 800u);
  EXPECT_EQ(peek(kRegisters + 0x500, 2), 0xb0c5u);
  EXPECT_EQ(peek(kRegisters + 0xffe, 2), 0u);
}

TEST_F(VgaTest, TheStateIsSavedAndRestored) {
  text_mode();
  poke(kText, 0x0741, 2);
  const VgaState saved = vga.state();
  const auto memory = vga.memory();
  state::Writer writer;
  writer("vga", saved);
  VgaState read;
  state::Reader reader(writer.bytes());
  reader("vga", read);
  ASSERT_TRUE(reader.ok());
  vga.reset();
  EXPECT_TRUE(vga.text().empty() || vga.text().front() != "A");
  ASSERT_TRUE(vga.restore(read, memory));
  EXPECT_EQ(vga.state(), saved);
  EXPECT_EQ(vga.text().front(), "A");
  EXPECT_FALSE(vga.restore(read, std::span(memory).first(100)));
  read.palette_at = 768;
  EXPECT_FALSE(vga.restore(read, memory));
}

}  // namespace
}  // namespace vireo::devices
