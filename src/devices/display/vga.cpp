#include "devices/display/vga.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "bus/access_split.h"
#include "devices/display/vga_planes.h"

namespace vireo::devices {
namespace {

// Ports, counted from 0x3b0. Those of the CRTC and the status are twice there, for monochrome and
// colour; the miscellaneous register says which are used.
constexpr unsigned kMonoCrtcIndex = 0x04, kMonoCrtc = 0x05, kMonoStatus = 0x0a;
constexpr unsigned kAttribute = 0x10, kAttributeRead = 0x11, kMiscWrite = 0x12;
constexpr unsigned kSequencerIndex = 0x14, kSequencer = 0x15, kPaletteMask = 0x16,
                   kPaletteRead = 0x17, kPaletteWrite = 0x18, kPalette = 0x19, kFeatureRead = 0x1a,
                   kMiscRead = 0x1c, kGraphicsIndex = 0x1e, kGraphics = 0x1f;
constexpr unsigned kCrtcIndex = 0x24, kCrtc = 0x25, kStatus = 0x2a;
constexpr std::uint8_t kColourPorts = 0x01;

// The second register window.
constexpr std::uint64_t kPortsAt = 0x400, kPortsEnd = 0x420, kVbeAt = 0x500,
                        kVbeEnd = kVbeAt + 2 * vbe::kCount, kRegistersSize = 0x1000;

/// Bits of the sequencer and the graphics controller that exist.
constexpr std::array<std::uint8_t, 8> kSequencerBits{0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0};
constexpr std::array<std::uint8_t, 16> kGraphicsBits{0x0f, 0x0f, 0x0f, 0x1f, 0x03,
                                                     0x7b, 0x0f, 0x0f, 0xff};

std::span<std::uint8_t> as_numbers(std::span<std::byte> bytes) {
  // SAFETY: bytes as numbers, which alias everything.
  return {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

Vga::Vga(const Clock& clock, memory::GuestMemory& memory)
    : PciDevice({.vendor = 0x1234,
                 .device = 0x1111,
                 .class_code = 0x030000,
                 .revision = 2,
                 .subsystem_vendor = 0x1af4,
                 .subsystem = 0x1100}),
      clock_(clock),
      guest_memory_(memory),
      memory_(as_numbers(memory.device_memory())) {
  VIREO_ASSERT(memory_.size() == kMemory);
  define_bar(0, bus::BarKind::kMemory32, kMemory, frame_buffer_, "VGA frame buffer");
  define_bar(2, bus::BarKind::kMemory32, kRegistersSize, registers_, "VGA registers");
}

Result<> Vga::attach(bus::AddressMap& mmio, bus::AddressMap& pio) {
  TRY(pio.add(kPorts, kPortCount, ports_, "VGA"));
  TRY(pio.add(kVbePorts, kVbePortCount, vbe_ports_, "VBE"));
  return mmio.add(kWindow, kWindowSize, window_, "VGA memory");
}

/// Again if another CPU has changed its mind meanwhile.
void Vga::place_frame_buffer() {
  while (true) {
    const auto wanted = window_address(0);
    guest_memory_.place_device_memory(wanted ? std::optional(PhysAddr{*wanted}) : std::nullopt);
    if (window_address(0) == wanted) return;
  }
}

void Vga::on_config_written(unsigned offset, unsigned size) {
  constexpr unsigned kCommand = 0x04, kBar0End = 0x14;
  if (offset < kBar0End && offset + size > kCommand) place_frame_buffer();
}

void Vga::on_reset() {
  place_frame_buffer();
  const std::lock_guard lock(mutex_);
  state_ = {};
  guest_memory_.clear_device_memory();
}

std::uint8_t Vga::read_port(unsigned offset) {
  const std::lock_guard lock(mutex_);
  const bool colour = (state_.miscellaneous & kColourPorts) != 0;
  if (colour ? offset < kAttribute : offset >= kCrtcIndex) return 0xff;
  switch (offset) {
    case kMonoCrtcIndex:
    case kCrtcIndex:
      return state_.crtc_index;
    case kMonoCrtc:
    case kCrtc:
      return state_.crtc[state_.crtc_index & 0x1f];
    case kMonoStatus:
    case kStatus:
      return input_status();
    case kAttribute:
      return state_.attribute_index;
    case kAttributeRead:
      return state_.attribute[state_.attribute_index & 0x1f];
    case kMiscWrite:
      return 0x10;  // input status 0: a colour screen is plugged in
    case kSequencerIndex:
      return state_.sequencer_index;
    case kSequencer:
      return state_.sequencer[state_.sequencer_index & 7];
    case kPaletteMask:
      return state_.palette_mask;
    case kPaletteRead:
      return state_.palette_reading != 0 ? 0x03 : 0x00;
    case kPaletteWrite:
      return static_cast<std::uint8_t>(state_.palette_at / 3);
    case kPalette:
      return read_palette();
    case kFeatureRead:
      return state_.feature_control;
    case kMiscRead:
      return state_.miscellaneous;
    case kGraphicsIndex:
      return state_.graphics_index;
    case kGraphics:
      return state_.graphics[state_.graphics_index & 0xf];
    default:
      return 0xff;
  }
}

void Vga::write_port(unsigned offset, std::uint8_t value) {
  const std::lock_guard lock(mutex_);
  const bool colour = (state_.miscellaneous & kColourPorts) != 0;
  if (colour ? offset < kAttribute : offset >= kCrtcIndex) return;
  switch (offset) {
    case kMonoCrtcIndex:
    case kCrtcIndex:
      state_.crtc_index = value;
      return;
    case kMonoCrtc:
    case kCrtc:
      return write_crtc(value);
    case kMonoStatus:
    case kStatus:
      state_.feature_control = value & 0x0b;
      return;
    case kAttribute:
      return write_attribute(value);
    case kMiscWrite:
      state_.miscellaneous = value & 0xef;
      return;
    case kSequencerIndex:
      state_.sequencer_index = value & 7;
      return;
    case kSequencer:
      state_.sequencer[state_.sequencer_index] = value & kSequencerBits[state_.sequencer_index];
      return;
    case kPaletteMask:
      state_.palette_mask = value;
      return;
    case kPaletteRead:
    case kPaletteWrite:
      state_.palette_reading = offset == kPaletteRead ? 1 : 0;
      state_.palette_at = static_cast<std::uint16_t>(value * 3);
      return;
    case kPalette:
      return write_palette(value);
    case kGraphicsIndex:
      state_.graphics_index = value & 0xf;
      return;
    case kGraphics:
      state_.graphics[state_.graphics_index] = value & kGraphicsBits[state_.graphics_index];
      return;
    default:
      return;
  }
}

/// Where the beam is in a picture of 449 lines at 70 Hz.
std::uint8_t Vga::input_status() {
  constexpr std::uint64_t kLineNs = 31'778, kLines = 449, kShown = 400, kRetrace = 412,
                          kRetraceEnd = 414, kLineShownNs = 25'422;
  constexpr std::uint8_t kNotShown = 0x01, kVerticalRetrace = 0x08;
  state_.attribute_wants_data = 0;
  const std::uint64_t now = clock_.now_ns();
  const std::uint64_t line = now / kLineNs % kLines;
  std::uint8_t status = 0;
  if (line >= kShown || now % kLineNs >= kLineShownNs) status |= kNotShown;
  if (line >= kRetrace && line < kRetraceEnd) status |= kVerticalRetrace;
  return status;
}

std::uint8_t Vga::read_palette() {
  const std::uint8_t value = state_.palette[state_.palette_at];
  state_.palette_at = static_cast<std::uint16_t>((state_.palette_at + 1) % state_.palette.size());
  return value;
}

/// A colour changes when its third component has come.
void Vga::write_palette(std::uint8_t value) {
  const bool wide = (state_.vbe[vbe::kEnable] & vbe::kWideDac) != 0;
  const unsigned component = state_.palette_at % 3;
  state_.colour[component] = wide ? value : value & 0x3f;
  if (component == 2)
    std::ranges::copy(state_.colour, state_.palette.begin() + state_.palette_at - 2);
  state_.palette_at = static_cast<std::uint16_t>((state_.palette_at + 1) % state_.palette.size());
}

void Vga::write_attribute(std::uint8_t value) {
  constexpr unsigned kPaletteSource = 0x20, kRegisters = 0x15;
  if (state_.attribute_wants_data == 0) {
    state_.attribute_index = value & 0x3f;
  } else if (const unsigned index = state_.attribute_index & 0x1f; index < kRegisters) {
    // The 16 colours cannot be written while they are shown.
    if (index >= 0x10 || (state_.attribute_index & kPaletteSource) == 0)
      state_.attribute[index] = index < 0x10 ? value & 0x3f : value;
  }
  state_.attribute_wants_data ^= 1;
}

void Vga::write_crtc(std::uint8_t value) {
  constexpr unsigned kOverflow = 0x07, kVerticalRetraceEnd = 0x11, kRegisters = 0x19;
  constexpr std::uint8_t kProtect = 0x80, kLineCompare8 = 0x10;
  const unsigned index = state_.crtc_index;
  if (index >= kRegisters) return;
  if (index <= kOverflow && (state_.crtc[kVerticalRetraceEnd] & kProtect) != 0) {
    if (index != kOverflow) return;
    value =
        static_cast<std::uint8_t>((state_.crtc[index] & ~kLineCompare8) | (value & kLineCompare8));
  }
  state_.crtc[index] = value;
}

std::uint8_t Vga::read_window(unsigned offset) {
  const std::lock_guard lock(mutex_);
  return read_vga_window(state_, memory_, offset);
}

void Vga::write_window(unsigned offset, std::uint8_t value) {
  const std::lock_guard lock(mutex_);
  write_vga_window(state_, memory_, offset, value);
}

void Vga::read_frame_buffer(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  std::memcpy(data.data(), &memory_[offset], data.size());
}

void Vga::write_frame_buffer(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  std::memcpy(&memory_[offset], data.data(), data.size());
}

void Vga::read_registers(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset >= kPortsAt && offset + data.size() <= kPortsEnd)
    return ports_.read(offset - kPortsAt + kAttribute, data);
  if (offset < kVbeAt || offset % 2 != 0 || data.size() != 2 || offset >= kVbeEnd) return;
  const std::lock_guard lock(mutex_);
  bus::from_number(data, read_vbe(static_cast<unsigned>(offset - kVbeAt) / 2));
}

void Vga::write_registers(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kPortsAt && offset + data.size() <= kPortsEnd)
    return ports_.write(offset - kPortsAt + kAttribute, data);
  if (offset < kVbeAt || offset % 2 != 0 || data.size() != 2 || offset >= kVbeEnd) return;
  const std::lock_guard lock(mutex_);
  write_vbe(static_cast<unsigned>(offset - kVbeAt) / 2,
            static_cast<std::uint16_t>(bus::to_number(data)));
}

Picture Vga::picture() const {
  const std::lock_guard lock(mutex_);
  return draw_screen(state_, memory_);
}

std::vector<std::string> Vga::text() const {
  const std::lock_guard lock(mutex_);
  return screen_text(state_, memory_);
}

VgaState Vga::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::vector<std::uint8_t> Vga::memory() const {
  const std::lock_guard lock(mutex_);
  return {memory_.begin(), memory_.end()};
}

Result<> Vga::restore(const VgaState& state, std::span<const std::uint8_t> memory) {
  if (memory.size() != kMemory || state.sequencer_index > 7 || state.graphics_index > 0xf ||
      state.palette_at >= state.palette.size() || state.attribute_wants_data > 1)
    return usage_error("vga: the saved state could not exist");
  const std::lock_guard lock(mutex_);
  state_ = state;
  std::ranges::copy(memory, memory_.begin());
  return {};
}

}  // namespace vireo::devices
