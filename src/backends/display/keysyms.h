#pragma once
#include <cstdint>
#include <optional>

namespace vireo::backends {

/// The key of an American PC keyboard that makes this X11 keysym, by its set 1 make code, with 0xe0
/// in the upper byte for extended keys; nothing for what is on no key. Which of its characters a
/// key makes is up to Shift, which is a key of its own.
std::optional<std::uint16_t> key_of_keysym(std::uint32_t keysym);

}  // namespace vireo::backends
