#include "machine/console_watch.h"

namespace vireo::machine {
namespace {

// kernel/panic.c prints the first when it panics, and the second only if it will not reboot.
constexpr std::string_view kPanic = "Kernel panic - not syncing";
constexpr std::string_view kLastWord = "---[ end Kernel panic";

}  // namespace

void ConsoleWatch::write(std::span<const std::uint8_t> bytes) {
  bool gave_up = false;
  {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes.size();
    for (const std::uint8_t byte : bytes) {
      if (byte == '\n') {
        gave_up |= end_line();
      } else if (byte >= ' ' && byte != 0x7f && line_.size() < kLongestLine) {
        line_ += static_cast<char>(byte);
      }
    }
  }
  if (gave_up && gave_up_) gave_up_();
}

bool ConsoleWatch::end_line() {
  const bool last_word = line_.find(kLastWord) != std::string::npos;
  if (const auto at = line_.find(kPanic); at != std::string::npos && panic_.empty()) {
    panic_ = line_.substr(at);
    panicked_ = true;
  }
  lines_.push_back(std::move(line_));
  line_.clear();
  if (lines_.size() > kLines) lines_.pop_front();
  return last_word && !panic_.empty();
}

std::string ConsoleWatch::panic() const {
  const std::lock_guard lock(mutex_);
  return panic_;
}

void ConsoleWatch::forget_panic() {
  const std::lock_guard lock(mutex_);
  panic_.clear();
  panicked_ = false;
}

std::vector<std::string> ConsoleWatch::last_lines() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines(lines_.begin(), lines_.end());
  if (!line_.empty()) lines.push_back(line_);
  return lines;
}

std::uint64_t ConsoleWatch::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace vireo::machine
