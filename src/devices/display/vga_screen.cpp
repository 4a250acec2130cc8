#include "devices/display/vga_screen.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace vireo::devices {
namespace {

using Colour = std::array<std::uint8_t, 3>;
using Memory = std::span<const std::uint8_t>;

constexpr unsigned kPlanes = 4;
constexpr std::size_t kPlaneBytes = 0x10000;

/// A byte of one plane; addresses wrap as the counter of the CRTC does.
std::uint8_t plane_byte(Memory memory, std::size_t address, unsigned plane) {
  return memory[address % kPlaneBytes * kPlanes + plane];
}

/// The measures of a mode that the CRTC times. IBM VGA Technical Reference, 2-50.
struct Timing {
  explicit Timing(const VgaState& state) {
    const auto& crtc = state.crtc;
    columns = crtc[0x01] + 1u;
    const unsigned overflow = crtc[0x07];
    lines = (crtc[0x12] | (overflow & 0x02u) << 7 | (overflow & 0x40u) << 3) + 1;
    const unsigned doubled = (crtc[0x09] & 0x80) != 0 ? 2 : 1;
    row_lines = ((crtc[0x09] & 0x1fu) + 1) * doubled;
    pitch = crtc[0x13] * 2u;
    start = crtc[0x0c] * 0x100u + crtc[0x0d];
    cursor = crtc[0x0e] * 0x100u + crtc[0x0f];
  }
  unsigned rows() const { return std::max(lines / row_lines, 1u); }

  unsigned columns;    ///< of eight dots
  unsigned lines;      ///< of the picture
  unsigned row_lines;  ///< of it for each row in memory
  unsigned pitch;      ///< from row to row, in addresses of a plane
  unsigned start, cursor;
};

Colour palette_colour(const VgaState& state, unsigned index) {
  const bool wide = (state.vbe[vbe::kEnable] & vbe::kWideDac) != 0;
  const unsigned at = (index & state.palette_mask) * 3;
  Colour colour{};
  for (unsigned i = 0; i < 3; ++i) {
    const unsigned value = state.palette[at + i];
    colour[i] = static_cast<std::uint8_t>(wide ? value : (value & 0x3f) << 2 | (value & 0x3f) >> 4);
  }
  return colour;
}

/// One of 16 colours, by way of the attribute controller. 2-92.
Colour attribute_colour(const VgaState& state, unsigned index) {
  const unsigned mode = state.attribute[0x10], select = state.attribute[0x14];
  unsigned value = state.attribute[index & state.attribute[0x12] & 0xf] & 0x3fu;
  if ((mode & 0x80) != 0) value = (value & 0xf) | (select & 3) << 4;
  return palette_colour(state, value | (select & 0xc) << 4);
}

class Canvas {
 public:
  Canvas(unsigned width, unsigned height)
      : picture_{width, height, std::vector<std::uint8_t>(std::size_t{width} * height * 3)} {}
  void put(unsigned x, unsigned y, const Colour& colour) {
    std::ranges::copy(colour,
                      picture_.rgb.begin() +
                          static_cast<std::ptrdiff_t>((std::size_t{y} * picture_.width + x) * 3));
  }
  Picture take() { return std::move(picture_); }

 private:
  Picture picture_;
};

/// Where the glyphs of the two character sets are in plane 2. 2-46.
std::array<std::size_t, 2> fonts(const VgaState& state) {
  const unsigned map = state.sequencer[3];
  const auto offset = [](unsigned number) {
    return std::size_t{number & 3} * 0x4000 + (number & 4) / 4 * std::size_t{0x2000};
  };
  return {offset((map & 0x03) | (map & 0x10) >> 2), offset((map & 0x0c) >> 2 | (map & 0x20) >> 3)};
}

struct Cell {
  std::uint8_t character, attribute;
};

Cell cell_at(Memory memory, std::size_t address) {
  return {plane_byte(memory, address, 0), plane_byte(memory, address, 1)};
}

bool cursor_line(const VgaState& state, unsigned line) {
  const unsigned first = state.crtc[0x0a] & 0x1f, last = state.crtc[0x0b] & 0x1f;
  return (state.crtc[0x0a] & 0x20) == 0 && line >= first && line <= last;
}

Picture draw_text(const VgaState& state, Memory memory) {
  const Timing timing(state);
  const unsigned width = (state.sequencer[1] & 1) != 0 ? 8 : 9, height = timing.row_lines;
  const auto glyphs = fonts(state);
  const bool blinks = (state.attribute[0x10] & 0x08) != 0;
  const bool lines_join = (state.attribute[0x10] & 0x04) != 0;
  std::array<Colour, 16> colours;
  for (unsigned i = 0; i < colours.size(); ++i) colours[i] = attribute_colour(state, i);
  Canvas canvas(timing.columns * width, timing.rows() * height);
  for (unsigned row = 0; row < timing.rows(); ++row) {
    for (unsigned column = 0; column < timing.columns; ++column) {
      const std::size_t at = timing.start + std::size_t{row} * timing.pitch + column;
      const Cell cell = cell_at(memory, at);
      const Colour& ink = colours[cell.attribute & 0xf];
      const Colour& paper = colours[cell.attribute >> 4 & (blinks ? 7 : 15)];
      const std::size_t glyph = glyphs[(cell.attribute & 8) != 0 ? 0 : 1] + cell.character * 32u;
      for (unsigned y = 0; y < height; ++y) {
        unsigned dots = plane_byte(memory, glyph + y % 32, 2) * 2u;
        if (lines_join && (cell.character & 0xe0) == 0xc0) dots |= dots >> 1 & 1;
        if (at % kPlaneBytes == timing.cursor && cursor_line(state, y)) dots = 0x1ff;
        for (unsigned x = 0; x < width; ++x)
          canvas.put(column * width + x, row * height + y,
                     (dots >> (8 - x) & 1) != 0 ? ink : paper);
      }
    }
  }
  return canvas.take();
}

/// The rows of CGA's modes lie alternately in two halves of memory. 2-66.
std::size_t row_address(const VgaState& state, const Timing& timing, unsigned row) {
  if ((state.crtc[0x17] & 1) != 0) return timing.start + std::size_t{row} * timing.pitch;
  const std::size_t half = state.odd_even() ? 0x1000 : 0x2000;
  return timing.start + std::size_t{row / 2} * timing.pitch + (row & 1) * half;
}

Picture draw_planes(const VgaState& state, Memory memory) {
  const Timing timing(state);
  const bool interleaved = (state.crtc[0x17] & 1) == 0;
  const unsigned rows = interleaved ? timing.rows() * 2 : timing.rows();
  const bool cga = (state.graphics[5] & 0x20) != 0;
  std::array<Colour, 16> colours;
  for (unsigned i = 0; i < colours.size(); ++i) colours[i] = attribute_colour(state, i);
  Canvas canvas(timing.columns * 8, rows);
  for (unsigned row = 0; row < rows; ++row) {
    const std::size_t at = row_address(state, timing, row);
    for (unsigned x = 0; x < timing.columns * 8; ++x) {
      unsigned index = 0;
      if (cga) {  // two bits a dot, in bytes of the even and the odd plane by turns
        const unsigned byte = plane_byte(memory, at + x / 8, x / 4 % 2);
        index = byte >> (6 - 2 * (x % 4)) & 3;
      } else {
        for (unsigned plane = 0; plane < kPlanes; ++plane)
          index |= (plane_byte(memory, at + x / 8, plane) >> (7 - x % 8) & 1u) << plane;
      }
      canvas.put(x, row, colours[index]);
    }
  }
  return canvas.take();
}

/// 256 colours: four dots of one address, one from each plane.
Picture draw_bytes(const VgaState& state, Memory memory) {
  const Timing timing(state);
  const unsigned width = timing.columns * 4;
  Canvas canvas(width, timing.rows());
  for (unsigned row = 0; row < timing.rows(); ++row) {
    const std::size_t at = timing.start + std::size_t{row} * timing.pitch;
    for (unsigned x = 0; x < width; ++x)
      canvas.put(x, row, palette_colour(state, plane_byte(memory, at + x / 4, x % 4)));
  }
  return canvas.take();
}

Colour linear_colour(const VgaState& state, Memory memory, std::size_t at, unsigned depth) {
  const auto byte = [&](std::size_t i) { return memory[(at + i) & (memory.size() - 1)]; };
  const auto wide = [](unsigned value, unsigned bits) {
    return static_cast<std::uint8_t>(value << (8 - bits) | value >> (2 * bits - 8));
  };
  switch (depth) {
    case 8:
      return palette_colour(state, byte(0));
    case 15:
    case 16: {
      const unsigned word = byte(0) | byte(1) * 0x100u, green = depth == 16 ? 6 : 5;
      return {wide(word >> (5 + green) & 0x1f, 5), wide(word >> 5 & ((1u << green) - 1), green),
              wide(word & 0x1f, 5)};
    }
    default:
      return {byte(2), byte(1), byte(0)};
  }
}

Picture draw_linear(const VgaState& state, Memory memory) {
  const auto& registers = state.vbe;
  const unsigned depth = registers[vbe::kDepth];
  const std::size_t bytes = (depth + 7) / 8;
  // Whatever a state says, what is drawn is bounded by what can be set.
  const unsigned width = std::min(registers[vbe::kWidth], vbe::kMostWidth);
  const unsigned height = std::min(registers[vbe::kHeight], vbe::kMostHeight);
  Canvas canvas(width, height);
  for (unsigned y = 0; y < height; ++y) {
    const std::size_t line =
        (std::size_t{registers[vbe::kTop]} + y) * registers[vbe::kVirtualWidth] +
        registers[vbe::kLeft];
    for (unsigned x = 0; x < width; ++x)
      canvas.put(x, y, linear_colour(state, memory, (line + x) * bytes, depth));
  }
  return canvas.take();
}

bool is_off(const VgaState& state) {
  constexpr std::uint8_t kScreenOff = 0x20, kShown = 0x20;
  return (state.sequencer[1] & kScreenOff) != 0 || (state.attribute_index & kShown) == 0;
}

// Code page 437 from 0x80 on, and its pictures below 0x20.
constexpr std::u16string_view kUpper =
    u"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄"
    u"▌▐▀"
    u"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";
constexpr std::u16string_view kLower = u" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
static_assert(kUpper.size() == 128 && kLower.size() == 32);

void append(std::string& line, std::uint8_t character) {
  const char16_t code = character >= 0x80   ? kUpper[character - 0x80u]
                        : character < 0x20  ? kLower[character]
                        : character == 0x7f ? u'⌂'
                                            : static_cast<char16_t>(character);
  if (code < 0x80) {
    line += static_cast<char>(code);
  } else if (code < 0x800) {
    line += static_cast<char>(0xc0 | code >> 6);
    line += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    line += static_cast<char>(0xe0 | code >> 12);
    line += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    line += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace

Picture draw_screen(const VgaState& state, Memory memory) {
  if (state.linear()) return draw_linear(state, memory);
  if (is_off(state)) {
    constexpr unsigned kWidth = 640, kHeight = 400;
    return Canvas(kWidth, kHeight).take();
  }
  if (!state.graphics_mode()) return draw_text(state, memory);
  return (state.graphics[5] & 0x40) != 0 ? draw_bytes(state, memory) : draw_planes(state, memory);
}

std::vector<std::string> screen_text(const VgaState& state, Memory memory) {
  std::vector<std::string> lines;
  if (state.linear() || state.graphics_mode() || is_off(state)) return lines;
  const Timing timing(state);
  for (unsigned row = 0; row < timing.rows(); ++row) {
    std::string line;
    for (unsigned column = 0; column < timing.columns; ++column)
      append(line,
             cell_at(memory, timing.start + std::size_t{row} * timing.pitch + column).character);
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace vireo::devices
