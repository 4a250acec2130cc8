#include "backends/character/escape_filter.h"

namespace vireo::backends {
namespace {

constexpr std::uint8_t kCtrlA = 0x01;

void call(const std::function<void()>& action) {
  if (action) action();
}

}  // namespace

void EscapeFilter::filter(std::vector<std::uint8_t>& bytes) {
  std::vector<std::uint8_t> passed;
  passed.reserve(bytes.size() + 1);
  for (const std::uint8_t byte : bytes) {
    if (!escaped_) {
      escaped_ = byte == kCtrlA;
      if (!escaped_) passed.push_back(byte);
      continue;
    }
    escaped_ = false;
    switch (byte) {
      case 'x':
      case 'X':
        call(actions_.quit);
        break;
      case 'h':
      case 'H':
      case '?':
        call(actions_.help);
        break;
      case 'b':
      case 'B':
        call(actions_.send_break);
        break;
      case kCtrlA:
      case 'a':
      case 'A':
        passed.push_back(kCtrlA);
        break;
      default:
        passed.push_back(kCtrlA);
        passed.push_back(byte);
        break;
    }
  }
  bytes = std::move(passed);
}

}  // namespace vireo::backends
