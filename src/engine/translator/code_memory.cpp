#include "engine/translator/code_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"

namespace vireo::engine::translator {

Result<CodeMemory> CodeMemory::create(std::size_t part_size) {
  VIREO_ASSERT(part_size <= kPartSize);
  CodeMemory memory;
  for (Ring& ring : memory.rings_) ring.end = ring.top = part_size;
  // SAFETY: fresh mappings of shared memory without a name: profilers look for the names of
  // generated code only where a mapping is of no file.
  void* writable = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (writable == MAP_FAILED)
    return host_error("no memory for translated code: {}", std::generic_category().message(errno));
  memory.writable_ = static_cast<std::uint8_t*>(writable);
  // An old size of 0 makes a second mapping of the same memory.
  void* executable = mremap(writable, 0, kSize, MREMAP_MAYMOVE);
  if (executable == MAP_FAILED)
    return host_error("no memory for translated code: {}", std::generic_category().message(errno));
  memory.executable_ = static_cast<std::uint8_t*>(executable);
  if (mprotect(executable, kSize, PROT_READ | PROT_EXEC) != 0)
    return host_error("the host forbids executable memory: {}",
                      std::generic_category().message(errno));
  return memory;
}

CodeMemory::CodeMemory(CodeMemory&& other) noexcept
    : writable_(std::exchange(other.writable_, nullptr)),
      executable_(std::exchange(other.executable_, nullptr)),
      rings_(other.rings_) {}

CodeMemory::~CodeMemory() {
  if (writable_ != nullptr) munmap(writable_, kSize);
  if (executable_ != nullptr) munmap(executable_, kSize);
}

/// Asks the host for many pages at once, ahead of use: that costs a fraction of as many faults.
void CodeMemory::make_ready(Part part) {
  constexpr std::size_t kAhead = 64 << 10, kStep = 256 << 10;
  Ring& ring = this->ring(part);
  if (ring.next + kAhead <= ring.ready || ring.ready == kPartSize) return;
  std::uint8_t* from = begin(part) + ring.ready;
  // Hosts before Linux 5.14 refuse, and lose only speed.
  madvise(from, kStep, MADV_POPULATE_WRITE);
  madvise(const_cast<std::uint8_t*>(executable(from)), kStep, MADV_POPULATE_READ);
  ring.ready += kStep;
}

void CodeMemory::commit(std::size_t bytes, Part part) {
  constexpr std::size_t kAlignment = 32;
  Ring& ring = this->ring(part);
  ring.next = std::min(ring.end, (ring.next + bytes + kAlignment - 1) & ~(kAlignment - 1));
  make_ready(part);
}

void CodeMemory::give_back(Part part, const std::uint8_t* oldest, std::size_t wanted) {
  Ring& ring = this->ring(part);
  ring.end = ring.top;
  if (oldest == nullptr) {
    ring.oldest = ring.next = ring.kept;
    return;
  }
  ring.oldest = static_cast<std::size_t>(writable(oldest) - begin(part));
  if (ring.oldest < ring.next && ring.top - ring.next < wanted) ring.next = ring.kept;
  if (ring.oldest >= ring.next) ring.end = ring.oldest;
}

void CodeMemory::keep() {
  for (Ring& ring : rings_) ring.kept = ring.oldest = ring.next;
}

void CodeMemory::clear() {
  for (const Part part : {Part::kOften, Part::kSeldom}) give_back(part, nullptr, 0);
}

std::size_t CodeMemory::used(Part part) const {
  const Ring& ring = this->ring(part);
  const std::size_t behind = ring.next >= ring.oldest ? 0 : ring.top - ring.kept;
  return ring.kept + behind + ring.next - ring.oldest;
}

}  // namespace vireo::engine::translator
