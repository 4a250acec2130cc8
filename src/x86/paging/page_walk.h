#pragma once
#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "x86/fault.h"
#include "x86/paging/page_rights.h"
#include "x86/paging/paging_mode.h"

namespace vireo::x86 {

/// The guest-physical memory that page tables live in, as a page walk needs it.
class PhysicalMemory {
 public:
  virtual ~PhysicalMemory() = default;
  /// A naturally aligned 4- or 8-byte word, read whole; all ones where there is no memory.
  virtual std::uint64_t read(PhysAddr address, std::size_t size) = 0;
  /// Locked. False only if the word was not `expected`; where memory cannot be written nothing
  /// happens and the answer is true.
  virtual bool compare_exchange(PhysAddr address, std::size_t size, std::uint64_t expected,
                                std::uint64_t desired) = 0;
};

struct Translation {
  PhysAddr page;                 ///< the 4 KiB page that holds the address
  std::uint8_t page_shift = 12;  ///< of the page that is mapped: 12, 21, 22 or 30
  bool global = false;
  PageRights rights;
  bool operator==(const Translation&) const = default;
};

/// Translates, or answers with the page fault. Accessed bits of all levels and, for a write, the
/// dirty bit of the leaf are set atomically, and only once the whole walk has succeeded: a walk
/// that faults changes no memory (unless another CPU changes the tables meanwhile).
/// SDM vol. 3A, 4.2-4.8.
OrFault<Translation> walk_pages(const PagingMode& mode, PhysicalMemory& memory,
                                const WalkRequest& request);

}  // namespace vireo::x86
