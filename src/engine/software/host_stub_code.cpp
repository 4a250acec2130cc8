#include "engine/software/host_stub_code.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/unique_fd.h"

namespace vireo::engine {
namespace {

constexpr std::size_t kBlockSize = 256 << 10, kMaxBlocks = 256, kAlignment = 16;

}  // namespace

StubCode::~StubCode() {
  for (Block& block : blocks_) {
    munmap(block.writable, kBlockSize);
    munmap(block.executable, kBlockSize);
  }
}

bool StubCode::grow() {
  if (blocks_.size() == kMaxBlocks) return false;
  const UniqueFd fd(memfd_create("vireo-stubs", MFD_CLOEXEC));
  if (!fd || ftruncate(fd.get(), kBlockSize) != 0) return false;
  // SAFETY: fresh mappings of our own file; no page is writable and executable at one address.
  void* writable = mmap(nullptr, kBlockSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (writable == MAP_FAILED) return false;
  void* executable = mmap(nullptr, kBlockSize, PROT_READ | PROT_EXEC, MAP_SHARED, fd.get(), 0);
  if (executable == MAP_FAILED) {
    munmap(writable, kBlockSize);
    return false;
  }
  blocks_.push_back({static_cast<std::byte*>(writable), static_cast<std::byte*>(executable), 0});
  return true;
}

std::size_t StubCode::room() const {
  const std::size_t whole = kMaxBlocks - std::min(kMaxBlocks, current_ + 1);
  const std::size_t used = current_ < blocks_.size() ? blocks_[current_].used : 0;
  return whole * kBlockSize + (kBlockSize - std::min(kBlockSize, used));
}

void StubCode::clear() {
  for (Block& block : blocks_) block.used = 0;
  current_ = 0;
}

const void* StubCode::add(std::span<const std::uint8_t> code) {
  if (code.size() > kBlockSize) return nullptr;
  if (current_ < blocks_.size() && blocks_[current_].used + code.size() > kBlockSize) ++current_;
  if (current_ == blocks_.size() && !grow()) return nullptr;
  Block& block = blocks_[current_];
  std::memcpy(block.writable + block.used, code.data(), code.size());
  const void* result = block.executable + block.used;
  block.used = (block.used + code.size() + kAlignment - 1) & ~(kAlignment - 1);
  return result;
}

}  // namespace vireo::engine
