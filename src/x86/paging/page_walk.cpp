#include "x86/paging/page_walk.h"

#include <array>
#include <optional>

#include "x86/paging/page_table_entry.h"

namespace vireo::x86 {
namespace {

/// One entry that a walk has used.
struct Step {
  PhysAddr address;
  std::uint64_t entry;
};

/// How one level of a paging structure is laid out.
struct Level {
  unsigned shift;   ///< lowest bit of the linear address that indexes the table
  bool may_map;     ///< PS makes the entry a leaf; else see `ignores_ps`
  bool ignores_ps;  ///< the page-size bit is not looked at (or is the PAT bit of a PTE)
  std::uint64_t reserved_in_leaf;  ///< besides those of every entry
};

class Walk {
 public:
  Walk(const PagingMode& mode, PhysicalMemory& memory, const WalkRequest& request)
      : mode_(mode), memory_(memory), request_(request) {}

  /// Empty: an entry changed under the walk, which has to start again.
  std::optional<OrFault<Translation>> run() {
    if (auto failed = descend()) return OrFault<Translation>(*failed);
    if (!permitted(mode_, result_.rights, request_))
      return OrFault<Translation>(fail(page_fault::kProtection));
    if (!mark_used()) return std::nullopt;
    return OrFault<Translation>(result_);
  }

 private:
  bool wide() const { return mode_.kind != PagingMode::Kind::k32Bit; }
  std::size_t entry_size() const { return wide() ? 8 : 4; }

  tl::unexpected<Fault> fail(std::uint32_t code) const {
    if (request_.access == Access::kWrite) code |= page_fault::kWrite;
    if (request_.user) code |= page_fault::kUser;
    if (request_.access == Access::kExecute && ((wide() && mode_.execute_disable) || mode_.smep))
      code |= page_fault::kFetch;
    const bool read_leaf = code & page_fault::kProtection && !(code & page_fault::kReserved);
    if (read_leaf && denied_by_key(mode_, result_.rights, request_))
      code |= page_fault::kProtectionKey;
    return tl::unexpected(Fault{Vector::kPF, code, value(request_.address)});
  }

  /// Follows the tables down to the leaf; the fault if there is none.
  std::optional<tl::unexpected<Fault>> descend() {
    switch (mode_.kind) {
      case PagingMode::Kind::k32Bit:
        return descend_32bit();
      case PagingMode::Kind::kPae: {
        const std::uint64_t pdpte = mode_.pdpte[(value(request_.address) >> 30) & 3];
        if (!(pdpte & pte::kPresent)) return fail(0);
        return descend_wide(pdpte & pte::kAddress, 21);
      }
      default:
        return descend_wide(mode_.cr3 & pte::kAddress,
                            mode_.kind == PagingMode::Kind::k5Level ? 48 : 39);
    }
  }

  /// The PAT bit of an entry that maps a page, if it is reserved. SDM vol. 3A, 4.3 to 4.5.
  std::uint64_t reserved_attribute(unsigned shift) const {
    const unsigned bit = shift == 12 ? 7 : 12;
    return mode_.attributes ? 0 : pte::range(bit, bit);
  }

  Level level_at(unsigned shift) const {
    const std::uint64_t attribute = reserved_attribute(shift);
    switch (shift) {
      case 12:
        return {shift, true, true, attribute};
      case 21:
        return {shift, true, false, pte::range(13, 20) | attribute};
      case 30:
        return {shift, mode_.huge_pages, false, pte::range(13, 29) | attribute};
      default:
        return {shift, false, false, 0};
    }
  }

  std::uint64_t reserved_in_every_entry() const {
    // Bits 62:52 are ignored (or the protection key) in 4- and 5-level paging, reserved in PAE.
    const bool pae = mode_.kind == PagingMode::Kind::kPae;
    std::uint64_t reserved = pte::above(mode_.physical_address_bits, pae ? 62 : 51);
    if (!mode_.execute_disable) reserved |= pte::kExecuteDisable;
    return reserved;
  }

  std::optional<tl::unexpected<Fault>> descend_wide(std::uint64_t table, unsigned shift) {
    const std::uint64_t always_reserved = reserved_in_every_entry();
    for (;; shift -= 9) {
      const Level level = level_at(shift);
      const std::uint64_t index = (value(request_.address) >> shift) & 0x1ff;
      const std::uint64_t entry = read_entry(PhysAddr{table + index * 8});
      if (!(entry & pte::kPresent)) return fail(0);
      const bool page_size = (entry & pte::kPageSize) != 0 && !level.ignores_ps;
      const bool leaf = level.ignores_ps || (page_size && level.may_map);
      std::uint64_t reserved = always_reserved;
      if (leaf)
        reserved |= level.reserved_in_leaf;
      else
        reserved |= pte::kPageSize;
      if (entry & reserved) return fail(page_fault::kProtection | page_fault::kReserved);
      if (entry & pte::kExecuteDisable) result_.rights.executable = false;
      if (leaf) return finish(entry, entry & pte::kAddress & ~pte::range(12, shift - 1), shift);
      table = entry & pte::kAddress;
    }
  }

  std::optional<tl::unexpected<Fault>> descend_32bit() {
    const std::uint64_t address = value(request_.address);
    const std::uint64_t directory = mode_.cr3 & pte::range(12, 31);
    const std::uint64_t pde = read_entry(PhysAddr{directory + ((address >> 22) & 0x3ff) * 4});
    if (!(pde & pte::kPresent)) return fail(0);
    if (mode_.large_pages && (pde & pte::kPageSize)) {
      // Bits 20:13 are bits 39:32 of the address as far as the CPU has them. Table 4-4.
      const unsigned bits = mode_.pse36 ? mode_.physical_address_bits : 32u;
      std::uint64_t reserved = bits < 40 ? pte::range(bits - 19, 21) : pte::range(21, 21);
      reserved |= reserved_attribute(22);
      if (pde & reserved) return fail(page_fault::kProtection | page_fault::kReserved);
      return finish(pde, (pde & pte::range(22, 31)) | ((pde & pte::range(13, 20)) << 19), 22);
    }
    const std::uint64_t table = pde & pte::range(12, 31);
    const std::uint64_t entry = read_entry(PhysAddr{table + ((address >> 12) & 0x3ff) * 4});
    if (!(entry & pte::kPresent)) return fail(0);
    if (entry & reserved_attribute(12))
      return fail(page_fault::kProtection | page_fault::kReserved);
    return finish(entry, entry & pte::range(12, 31), 12);
  }

  std::uint64_t read_entry(PhysAddr address) {
    const std::uint64_t entry = memory_.read(address, entry_size());
    steps_[depth_++] = {address, entry};
    if (!(entry & pte::kUser)) result_.rights.user = false;
    if (!(entry & pte::kWritable)) result_.rights.writable = false;
    return entry;
  }

  std::optional<tl::unexpected<Fault>> finish(std::uint64_t leaf, std::uint64_t base,
                                              unsigned shift) {
    const std::uint64_t inside = value(request_.address) & ((1ull << shift) - 1);
    result_.page = PhysAddr{base | (inside & ~kPageMask)};
    result_.page_shift = static_cast<std::uint8_t>(shift);
    result_.global = mode_.global_pages && (leaf & pte::kGlobal);
    result_.rights.dirty = (leaf & pte::kDirty) || request_.access == Access::kWrite;
    if (mode_.kind >= PagingMode::Kind::k4Level)
      result_.rights.protection_key = (leaf >> pte::kProtectionKeyShift) & 0xf;
    return std::nullopt;
  }

  /// Sets the accessed bits and, for a write, the leaf's dirty bit. False: an entry has changed.
  bool mark_used() {
    for (unsigned i = 0; i < depth_; ++i) {
      const auto& [address, entry] = steps_[i];
      std::uint64_t marked = entry | pte::kAccessed;
      if (i + 1 == depth_ && request_.access == Access::kWrite) marked |= pte::kDirty;
      if (marked == entry) continue;
      if (!memory_.compare_exchange(address, entry_size(), entry, marked)) return false;
    }
    return true;
  }

  const PagingMode& mode_;
  PhysicalMemory& memory_;
  const WalkRequest& request_;
  std::array<Step, 5> steps_{};
  unsigned depth_ = 0;
  Translation result_{};
};

}  // namespace

OrFault<Translation> walk_pages(const PagingMode& mode, PhysicalMemory& memory,
                                const WalkRequest& request) {
  if (mode.kind == PagingMode::Kind::kNone)
    return Translation{PhysAddr{value(request.address) & ~kPageMask}, 12, false, {}};
  for (;;) {
    if (auto done = Walk(mode, memory, request).run()) return *done;
  }
}

}  // namespace vireo::x86
