#pragma once
#include <cstdint>

#include "base/address.h"
#include "x86/paging/paging_mode.h"

namespace vireo::x86 {

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

// Inlined wherever they are used: see quick_walk.h.

[[gnu::always_inline]] inline bool denied_by_key(const PagingMode& mode, const PageRights& rights,
                                                 const WalkRequest& request) {
  if (!mode.protection_keys || !rights.user || request.access == Access::kExecute) return false;
  const std::uint32_t bits = mode.pkru >> (2 * rights.protection_key);
  const bool access_disabled = (bits & 1) != 0, write_disabled = (bits & 2) != 0;
  if (access_disabled) return true;
  return write_disabled && request.access == Access::kWrite && (request.user || mode.write_protect);
}

[[gnu::always_inline]] inline bool denied_by_rights(const PagingMode& mode,
                                                    const PageRights& rights,
                                                    const WalkRequest& request) {
  if (request.user && !rights.user) return true;
  if (request.access == Access::kExecute)
    return !rights.executable || (mode.smep && !request.user && rights.user);
  if (mode.smap && !request.user && rights.user && !request.smap_suspended) return true;
  return request.access == Access::kWrite && !rights.writable &&
         (request.user || mode.write_protect);
}

/// Whether an access to a page with these rights is allowed. SDM vol. 3A, 4.6. Does not look at
/// `dirty`, nor at the request's address.
[[gnu::always_inline]] inline bool permitted(const PagingMode& mode, const PageRights& rights,
                                             const WalkRequest& request) {
  if (mode.kind == PagingMode::Kind::kNone) return true;
  return !denied_by_rights(mode, rights, request) && !denied_by_key(mode, rights, request);
}

}  // namespace vireo::x86
