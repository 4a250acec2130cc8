#include "devices/input/ps2_mouse.h"

#include <algorithm>
#include <utility>

namespace vireo::devices {
namespace {

constexpr std::uint8_t kAcknowledge = 0xfa, kResend = 0xfe, kSelfTestPassed = 0xaa;
constexpr std::uint8_t kScaleOne = 0xe6, kScaleTwo = 0xe7, kSetResolution = 0xe8, kStatus = 0xe9,
                       kStream = 0xea, kReadData = 0xeb, kResetWrap = 0xec, kSetWrap = 0xee,
                       kRemote = 0xf0, kIdentify = 0xf2, kSetRate = 0xf3, kEnable = 0xf4,
                       kDisable = 0xf5, kSetDefaults = 0xf6, kReset = 0xff;
constexpr std::size_t kLongestPacket = 4;

/// Takes as much as fits into a packet out of what has piled up.
int take(std::uint32_t& counter, int low, int high) {
  const int part = std::clamp(static_cast<int>(counter), low, high);
  counter -= static_cast<std::uint32_t>(part);
  return part;
}
/// Adds without ever growing beyond what a hand can do.
void pile_up(std::uint32_t& counter, int amount) {
  constexpr int kLimit = 1 << 20;
  const int clamped = std::clamp(amount, -kLimit, kLimit);
  counter =
      static_cast<std::uint32_t>(std::clamp(static_cast<int>(counter) + clamped, -kLimit, kLimit));
}

}  // namespace

void Ps2Mouse::set_defaults() {
  const std::uint8_t identity = state_.identity, buttons = state_.buttons;
  const auto output = state_.output;
  const std::uint8_t last = state_.last_sent;
  state_ = {};
  state_.identity = identity;
  state_.buttons = buttons;
  state_.output = output;
  state_.last_sent = last;
}

void Ps2Mouse::command(std::uint8_t byte) {
  if (state_.wrap && byte != kReset && byte != kResetWrap) return state_.output.push(byte);
  if (const std::uint8_t command = std::exchange(state_.awaiting, 0); command && byte != kReset)
    return parameter(command, byte);
  if (byte == kResend) return state_.output.push(state_.last_sent);
  state_.output.clear();
  state_.output.push(kAcknowledge);
  switch (byte) {
    case kScaleOne:
    case kScaleTwo:
      state_.doubled = byte == kScaleTwo;
      break;
    case kSetResolution:
    case kSetRate:
      state_.awaiting = byte;
      break;
    case kStatus:
      push_status();
      break;
    case kStream:
    case kRemote:
      state_.remote = byte == kRemote;
      break;
    case kReadData:
      push_packet();
      break;
    case kResetWrap:
    case kSetWrap:
      state_.wrap = byte == kSetWrap;
      break;
    case kIdentify:
      state_.output.push(state_.identity);
      break;
    case kEnable:
    case kDisable:
      state_.reporting = byte == kEnable;
      break;
    case kSetDefaults:
      set_defaults();
      break;
    case kReset:
      set_defaults();
      state_.identity = 0;
      state_.output.push(kSelfTestPassed);
      state_.output.push(0x00);
      break;
    default:
      state_.output.clear();
      state_.output.push(kResend);
      break;
  }
}

void Ps2Mouse::parameter(std::uint8_t command, std::uint8_t byte) {
  if (command == kSetResolution && byte > 3) return state_.output.push(kResend);
  state_.output.push(kAcknowledge);
  if (command == kSetResolution)
    state_.resolution = byte;
  else
    set_sample_rate(byte);
}

/// Rates 200, 100, 80 in a row ask for the wheel, then 200, 200, 80 for five buttons.
void Ps2Mouse::set_sample_rate(std::uint8_t rate) {
  const auto& [older, old] = state_.earlier_rates;
  if (older == 200 && old == 100 && rate == 80) state_.identity = 3;
  if (older == 200 && old == 200 && rate == 80 && state_.identity == 3) state_.identity = 4;
  state_.earlier_rates = {old, rate};
  state_.sample_rate = rate;
}

void Ps2Mouse::push_status() {
  const unsigned buttons = (state_.buttons & 1u) << 2 | (state_.buttons & 2u) >> 1 |
                           (state_.buttons & 4u) >> 1;  // left, middle, right from bit 2 down
  state_.output.push(static_cast<std::uint8_t>(state_.remote << 6 | state_.reporting << 5 |
                                               state_.doubled << 4 | static_cast<int>(buttons)));
  state_.output.push(state_.resolution);
  state_.output.push(state_.sample_rate);
}

void Ps2Mouse::push_packet() {
  const int x = take(state_.dx, -255, 255), y = take(state_.dy, -255, 255);
  state_.output.push(static_cast<std::uint8_t>((state_.buttons & 7) | 0x08 | (x < 0 ? 0x10 : 0) |
                                               (y < 0 ? 0x20 : 0)));
  state_.output.push(static_cast<std::uint8_t>(x));
  state_.output.push(static_cast<std::uint8_t>(y));
  state_.changed = 0;
  if (state_.identity == 0) {
    state_.dz = 0;
    return;
  }
  const int z = take(state_.dz, state_.identity == 4 ? -7 : -127, state_.identity == 4 ? 7 : 127);
  const int more_buttons = (state_.buttons & 0x18) << 1;
  state_.output.push(
      static_cast<std::uint8_t>(state_.identity == 4 ? (z & 0x0f) | more_buttons : z));
}

/// Packets leave when there is something to say and room to say it.
void Ps2Mouse::report() {
  if (!state_.reporting || state_.remote) return;
  while ((state_.changed || state_.dx || state_.dy || state_.dz) &&
         state_.output.room() >= kLongestPacket)
    push_packet();
}

std::optional<std::uint8_t> Ps2Mouse::pop() {
  const auto byte = state_.output.pop();
  if (byte) state_.last_sent = *byte;
  report();
  return byte;
}

void Ps2Mouse::move(int right, int down, int wheel, std::uint8_t buttons) {
  if (!state_.reporting && !state_.remote) {
    state_.buttons = buttons & 0x1f;
    return;
  }
  pile_up(state_.dx, right);
  pile_up(state_.dy, -down);
  pile_up(state_.dz, wheel);
  if ((buttons & 0x1f) != state_.buttons) state_.changed = 1;
  state_.buttons = buttons & 0x1f;
  report();
}

}  // namespace vireo::devices
