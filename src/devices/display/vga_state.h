#pragma once
#include <array>
#include <cstdint>

namespace vireo::devices {

/// The registers of the Bochs VBE extensions ("DISPI"), by index.
namespace vbe {
enum Index : unsigned {
  kId,
  kWidth,
  kHeight,
  kDepth,
  kEnable,
  kBank,
  kVirtualWidth,
  kVirtualHeight,
  kLeft,
  kTop,
  kMemory,
  kCount
};
inline constexpr std::uint16_t kEnabled = 0x01, kTellLimits = 0x02, kWideDac = 0x20, kLinear = 0x40,
                               kKeepMemory = 0x80;
inline constexpr std::uint16_t kMostWidth = 2560, kMostHeight = 1600, kMostDepth = 32;
}  // namespace vbe

/// What a VGA remembers besides its memory. IBM VGA Technical Reference (1992); registers by index.
struct VgaState {
  std::uint8_t miscellaneous = 0;
  std::uint8_t feature_control = 0;
  std::uint8_t sequencer_index = 0, crtc_index = 0, graphics_index = 0;
  std::uint8_t attribute_index = 0;  ///< with the bit that shows the screen
  std::uint8_t attribute_wants_data = 0;
  std::array<std::uint8_t, 8> sequencer{};
  std::array<std::uint8_t, 32> crtc{};
  std::array<std::uint8_t, 16> graphics{};
  std::array<std::uint8_t, 32> attribute{};
  std::array<std::uint8_t, 4> latches{};  ///< one for each plane
  // The palette of 256 colours in red, green and blue.
  std::array<std::uint8_t, 768> palette{};
  std::uint8_t palette_mask = 0xff;
  std::uint8_t palette_reading = 0;      ///< rather than writing
  std::uint16_t palette_at = 0;          ///< index times 3 and component
  std::array<std::uint8_t, 3> colour{};  ///< that is being written
  std::uint16_t vbe_index = 0;
  std::array<std::uint16_t, vbe::kCount> vbe{};

  bool operator==(const VgaState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [misc, feature, seq_index, crtc_index, gr_index, attr_index, attr_data, seq, crtc, gr,
           attr, latches, palette, mask, reading, at, colour, vbe_index, vbe] = self;
    visit("miscellaneous", misc), visit("feature_control", feature);
    visit("sequencer_index", seq_index), visit("crtc_index", crtc_index);
    visit("graphics_index", gr_index), visit("attribute_index", attr_index);
    visit("attribute_wants_data", attr_data), visit("sequencer", seq), visit("crtc", crtc);
    visit("graphics", gr), visit("attribute", attr), visit("latches", latches);
    visit("palette", palette), visit("palette_mask", mask), visit("palette_reading", reading);
    visit("palette_at", at), visit("colour", colour), visit("vbe_index", vbe_index);
    visit("vbe", vbe);
  }

  bool vbe_enabled() const { return (vbe[vbe::kEnable] & vbe::kEnabled) != 0; }
  /// VBE with at least a byte for a pixel: memory is linear, planes do not matter.
  bool linear() const { return vbe_enabled() && vbe[vbe::kDepth] >= 8; }
  bool chain4() const { return (sequencer[4] & 0x08) != 0; }
  bool odd_even() const { return (sequencer[4] & 0x04) == 0; }
  bool graphics_mode() const { return (graphics[6] & 0x01) != 0; }
};

}  // namespace vireo::devices
