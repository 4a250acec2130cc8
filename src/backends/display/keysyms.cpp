#include "backends/display/keysyms.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace vireo::backends {
namespace {

/// Rows of the keyboard, from the make code of their first key on, without and with Shift.
struct Row {
  std::uint16_t first;
  std::string_view plain, shifted;
};
constexpr std::array<Row, 5> kRows{{{0x02, "1234567890-=", "!@#$%^&*()_+"},
                                    {0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
                                    {0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
                                    {0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
                                    {0x39, " ", " "}}};

struct Key {
  std::uint16_t keysym, code;
};
// X11/keysymdef.h; IBM PS/2 Hardware Interface Technical Reference, scan code set 1.
constexpr auto kKeys = std::to_array<Key>({
    {0xff08, 0x0e},   {0xff09, 0x0f},   {0xff0d, 0x1c},   {0xff1b, 0x01},   {0xfe20, 0x0f},
    {0xff13, 0xe11d}, {0xff14, 0x46},   {0xff61, 0xe037}, {0xff50, 0xe047}, {0xff51, 0xe04b},
    {0xff52, 0xe048}, {0xff53, 0xe04d}, {0xff54, 0xe050}, {0xff55, 0xe049}, {0xff56, 0xe051},
    {0xff57, 0xe04f}, {0xff63, 0xe052}, {0xffff, 0xe053}, {0xff67, 0xe05d}, {0xff7f, 0x45},
    {0xffe1, 0x2a},   {0xffe2, 0x36},   {0xffe3, 0x1d},   {0xffe4, 0xe01d}, {0xffe5, 0x3a},
    {0xffe9, 0x38},   {0xffea, 0xe038}, {0xffe7, 0x38},   {0xffe8, 0xe038}, {0xfe03, 0xe038},
    {0xffeb, 0xe05b}, {0xffec, 0xe05c}, {0xff8d, 0xe01c}, {0xffaf, 0xe035}, {0xffaa, 0x37},
    {0xffad, 0x4a},   {0xffab, 0x4e},   {0xffae, 0x53},   {0xff9f, 0x53},   {0xffc8, 0x57},
    {0xffc9, 0x58},
});

/// The digits of the number pad, with their make codes.
constexpr std::array<std::uint16_t, 10> kPad{0x52, 0x4f, 0x50, 0x51, 0x4b,
                                             0x4c, 0x4d, 0x47, 0x48, 0x49};

}  // namespace

std::optional<std::uint16_t> key_of_keysym(std::uint32_t keysym) {
  for (const Row& row : kRows) {
    if (keysym >= 0x80) break;
    for (const std::string_view letters : {row.plain, row.shifted}) {
      const std::size_t at = letters.find(static_cast<char>(keysym));
      if (at != std::string_view::npos) return static_cast<std::uint16_t>(row.first + at);
    }
  }
  if (keysym >= 0xffb0 && keysym <= 0xffb9) return kPad.at(keysym - 0xffb0);
  if (keysym >= 0xffbe && keysym <= 0xffc7)  // F1 to F10
    return static_cast<std::uint16_t>(0x3b + keysym - 0xffbe);
  const auto found = std::ranges::find(kKeys, keysym, &Key::keysym);
  if (found == kKeys.end()) return std::nullopt;
  return found->code;
}

}  // namespace vireo::backends
