#include "devices/firmware/flash.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace vireo::devices {
namespace {

constexpr std::uint8_t kReadArray = 0xff, kReadStatus = 0x70, kClearStatus = 0x50;
constexpr std::uint8_t kProgram = 0x10, kProgramToo = 0x40, kErase = 0x20, kConfirm = 0xd0;

constexpr std::uint8_t kReady = 0x80, kEraseFailed = 0x20, kProgramFailed = 0x10;

}  // namespace

Flash::Flash(std::vector<std::byte> content, Keep keep)
    : keep_(std::move(keep)), content_(std::move(content)) {
  VIREO_ASSERT(!content_.empty() && content_.size() % kBlockBytes == 0);
}

void Flash::reset() {
  const std::lock_guard lock(mutex_);
  state_ = {};
}

void Flash::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  if (state_.command == kReadArray)
    std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), data.size(), data.begin());
  else
    std::ranges::fill(data, std::byte{state_.status});
}

void Flash::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const auto value = std::to_integer<std::uint8_t>(data.front());
  switch (state_.command) {
    case kProgram:
      return program(offset, data);
    case kErase:
      if (value == kConfirm) return erase(offset);
      state_ = {kReadStatus, kReady | kEraseFailed | kProgramFailed};  // a wrong sequence
      return;
    default:
      return begin(value);
  }
}

void Flash::begin(std::uint8_t command) {
  switch (command) {
    case kReadStatus:
    case kErase:
      state_.command = command;
      return;
    case kProgram:
    case kProgramToo:
      state_.command = kProgram;
      return;
    case kClearStatus:
      // Not even ready: by this OVMF knows a flash from other memory.
      state_.status = 0;
      [[fallthrough]];
    default:
      state_.command = kReadArray;
  }
}

/// Only from 1 to 0.
void Flash::program(std::uint64_t offset, std::span<const std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) content_[offset + i] &= data[i];
  finish(offset, data.size(), kProgramFailed);
}

void Flash::erase(std::uint64_t offset) {
  const std::uint64_t block = offset - offset % kBlockBytes;
  std::fill_n(content_.begin() + static_cast<std::ptrdiff_t>(block), kBlockBytes, std::byte{0xff});
  finish(block, kBlockBytes, kEraseFailed);
}

void Flash::finish(std::uint64_t offset, std::size_t length, std::uint8_t failure) {
  const bool kept = !keep_(offset, std::span(content_).subspan(offset, length));
  state_.command = kReadStatus;
  state_.status |= kReady;
  if (!kept) state_.status |= failure;
}

}  // namespace vireo::devices
