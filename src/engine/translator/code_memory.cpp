#include "engine/translator/code_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vireo::engine::translator {

Result<CodeMemory> CodeMemory::create() {
  CodeMemory memory;
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
      used_(other.used_),
      kept_(other.kept_),
      ready_(other.ready_) {}

CodeMemory::~CodeMemory() {
  if (writable_ != nullptr) munmap(writable_, kSize);
  if (executable_ != nullptr) munmap(executable_, kSize);
}

/// Asks the host for many pages at once, ahead of use: that costs a fraction of as many faults.
void CodeMemory::make_ready(Part part) {
  constexpr std::size_t kAhead = 64 << 10, kStep = 256 << 10;
  std::size_t& ready = ready_[index(part)];
  if (used_[index(part)] + kAhead <= ready || ready == kPartSize) return;
  std::uint8_t* from = begin(part) + ready;
  // Hosts before Linux 5.14 refuse, and lose only speed.
  madvise(from, kStep, MADV_POPULATE_WRITE);
  madvise(const_cast<std::uint8_t*>(executable(from)), kStep, MADV_POPULATE_READ);
  ready += kStep;
}

void CodeMemory::commit(std::size_t bytes, Part part) {
  constexpr std::size_t kAlignment = 32;
  std::size_t& used = used_[index(part)];
  used = std::min(kPartSize, (used + bytes + kAlignment - 1) & ~(kAlignment - 1));
  make_ready(part);
}

}  // namespace vireo::engine::translator
