#include "devices/input/ps2_keyboard.h"

#include <array>
#include <span>
#include <utility>

namespace vireo::devices {
namespace {

constexpr std::uint8_t kAcknowledge = 0xfa, kResend = 0xfe, kSelfTestPassed = 0xaa, kEcho = 0xee;
constexpr std::uint8_t kSetLeds = 0xed, kSetScancodes = 0xf0, kIdentify = 0xf2,
                       kSetTypematic = 0xf3, kEnable = 0xf4, kDisable = 0xf5, kSetDefaults = 0xf6,
                       kAllTypematic = 0xf7, kAllMakeOnly = 0xfa, kKeyTypematic = 0xfb,
                       kKeyMakeOnly = 0xfd, kReset = 0xff;
constexpr std::uint8_t kRelease = 0xf0;

// Set 2 to set 1, indexed by the set 2 code.
constexpr std::array<std::uint8_t, 128> kSet1{
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54};
constexpr std::uint8_t kF7 = 0x83, kF7InSet1 = 0x41, kSysRq = 0x84, kSysRqInSet1 = 0x54;

constexpr std::uint8_t set2_of(std::uint8_t set1) {
  if (set1 == kF7InSet1) return kF7;
  if (set1 == kSysRqInSet1) return kSysRq;
  for (std::uint8_t code = 1; code < kSet1.size(); ++code) {
    if (kSet1[code] == set1) return code;
  }
  return 0;
}

}  // namespace

std::uint8_t translate_set2(std::uint8_t byte) {
  if (byte < kSet1.size()) return kSet1[byte];
  if (byte == kF7) return kF7InSet1;
  return byte == kSysRq ? kSysRqInSet1 : byte;
}

void Ps2Keyboard::set_defaults() {
  state_.leds = 0;
  state_.scancode_set = 2;
  state_.typematic = Ps2KeyboardState{}.typematic;
}

void Ps2Keyboard::command(std::uint8_t byte) {
  if (const std::uint8_t command = std::exchange(state_.awaiting, 0); command && byte < kSetLeds)
    return parameter(command, byte);
  if (byte == kResend) return state_.output.push(state_.last_sent);
  // A new command ends whatever was still to be said.
  state_.output.clear();
  if (byte == kEcho) return state_.output.push(kEcho);
  if (byte < kSetLeds || byte == 0xef || byte == 0xf1) return state_.output.push(kResend);
  state_.output.push(kAcknowledge);
  switch (byte) {
    case kIdentify:
      state_.output.push(0xab);
      state_.output.push(0x83);
      break;
    case kEnable:
      state_.scanning = 1;
      break;
    case kDisable:
      set_defaults();
      state_.scanning = 0;
      break;
    case kSetDefaults:
      set_defaults();
      break;
    case kReset:
      set_defaults();
      state_.scanning = 1;
      state_.output.push(kSelfTestPassed);
      break;
    default:
      // Make codes and repetition of keys (0xf7-0xfd) are only of interest to set 3.
      if (byte == kSetLeds || byte == kSetScancodes || byte == kSetTypematic ||
          (byte >= kKeyTypematic && byte <= kKeyMakeOnly))
        state_.awaiting = byte;
      static_assert(kAllTypematic < kAllMakeOnly && kAllMakeOnly < kKeyTypematic);
      break;
  }
}

void Ps2Keyboard::parameter(std::uint8_t command, std::uint8_t byte) {
  if (command == kSetScancodes && byte > 2) return state_.output.push(kResend);  // no set 3
  state_.output.push(kAcknowledge);
  if (command == kSetLeds) state_.leds = byte & 0x07;
  if (command == kSetTypematic) state_.typematic = byte & 0x7f;
  if (command != kSetScancodes) return;
  if (byte == 0)
    state_.output.push(state_.scancode_set);
  else
    state_.scancode_set = byte;
}

std::optional<std::uint8_t> Ps2Keyboard::pop() {
  const auto byte = state_.output.pop();
  if (byte) state_.last_sent = *byte;
  return byte;
}

void Ps2Keyboard::key(std::uint16_t code, bool pressed) {
  constexpr std::uint16_t kPause = 0xe11d;
  if (!state_.scanning) return;
  FixedQueue<8> bytes;
  const bool set1 = state_.scancode_set == 1;
  if (code == kPause) {  // pressed and released at once
    if (!pressed) return;
    constexpr std::array<std::uint8_t, 6> kSet1Codes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    constexpr std::array<std::uint8_t, 8> kSet2Codes{0xe1, 0x14, 0x77, 0xe1,
                                                     0xf0, 0x14, 0xf0, 0x77};
    for (const auto part : set1 ? std::span<const std::uint8_t>(kSet1Codes) : kSet2Codes)
      bytes.push(part);
  } else {
    const auto base = static_cast<std::uint8_t>(code & 0x7f);
    if (base == 0 || set2_of(base) == 0) return;
    if (code >> 8 == 0xe0) bytes.push(0xe0);
    if (!set1 && !pressed) bytes.push(kRelease);
    bytes.push(!set1 ? set2_of(base) : pressed ? base : base | 0x80);
  }
  if (bytes.count > state_.output.room()) return;
  while (const auto byte = bytes.pop()) state_.output.push(*byte);
}

}  // namespace vireo::devices
