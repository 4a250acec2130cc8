#include "backends/block/sector_buffer.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace vireo::backends {

/// The host aligns what it gives to 4 KiB only: of twice as much, the part that is a large page.
SectorBuffers::Memory SectorBuffers::map() {
  void* mapped =
      ::mmap(nullptr, 2 * kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::uint8_t*>(mapped);
  // SAFETY: the address as a number, to see how far the next multiple of a large page is.
  const std::uint64_t front = -reinterpret_cast<std::uint64_t>(begin) % kBytes;
  if (front != 0) ::munmap(begin, front);
  ::munmap(begin + front + kBytes, kBytes - front);
  ::madvise(begin + front, kBytes, MADV_HUGEPAGE);
  return Memory(begin + front);
}

void SectorBuffers::Unmap::operator()(std::uint8_t* bytes) const { ::munmap(bytes, kBytes); }

SectorBuffers::Buffer SectorBuffers::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!kept_.empty()) {
      Memory memory = std::move(kept_.back());
      kept_.pop_back();
      return {*this, std::move(memory)};
    }
  }
  return {*this, map()};
}

SectorBuffers::Buffer::~Buffer() {
  const std::lock_guard lock(owner_.mutex_);
  if (owner_.kept_.size() < kMostKept) owner_.kept_.push_back(std::move(memory_));
}

}  // namespace vireo::backends
