#pragma once
#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "x86/fault.h"
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

enum class Access : std::uint8_t { kRead, kWrite, kExecute };

struct WalkRequest {
  LinearAddr address;  ///< canonical: that is checked before translation
  Access access = Access::kRead;
  /// A user-mode access: CPL is 3 and it is not implicit.
  bool user = false;
  /// SMAP does not apply: an explicit access with EFLAGS.AC set. Implicit supervisor accesses
  /// (descriptor tables, TSS) never have it. SDM vol. 3A, 4.6.1.
  bool smap_suspended = false;
};

/// What all levels of a walk together say about a page, independent of who asks: a TLB may keep
/// it and judge later accesses by permitted().
struct PageRights {
  bool user = true;        ///< U/S is set on all levels
  bool writable = true;    ///< R/W is set on all levels
  bool executable = true;  ///< no level has XD
  bool dirty = true;       ///< a write needs no walk to set D: cache write permission only then
  std::uint8_t protection_key = 0;
  bool operator==(const PageRights&) const = default;
};

struct Translation {
  PhysAddr page;                 ///< the 4 KiB page that holds the address
  std::uint8_t page_shift = 12;  ///< of the page that is mapped: 12, 21, 22 or 30
  bool global = false;
  PageRights rights;
  bool operator==(const Translation&) const = default;
};

/// Whether an access to a page with these rights is allowed. SDM vol. 3A, 4.6. Does not look at
/// `dirty`, nor at the request's address.
bool permitted(const PagingMode& mode, const PageRights& rights, const WalkRequest& request);

/// Translates, or answers with the page fault. Accessed bits of all levels and, for a write, the
/// dirty bit of the leaf are set atomically, and only once the whole walk has succeeded: a walk
/// that faults changes no memory (unless another CPU changes the tables meanwhile).
/// SDM vol. 3A, 4.2-4.8.
OrFault<Translation> walk_pages(const PagingMode& mode, PhysicalMemory& memory,
                                const WalkRequest& request);

}  // namespace vireo::x86
