#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace vireo::engine {

/// Base of what is made by `new` in memory that is all zero and costs nothing until it is touched:
/// for large tables whose zero entries are empty. Their constructors leave them alone.
struct Zeroed {
  static void* operator new(std::size_t size, std::align_val_t alignment) {
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || static_cast<std::size_t>(alignment) > kPageAlignment)
      throw std::bad_alloc();
    return pages;
  }
  static void operator delete(void* pages, std::size_t size, std::align_val_t) {
    munmap(pages, size);
  }

 private:
  static constexpr std::size_t kPageAlignment = 4096;
};

}  // namespace vireo::engine
