#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/engine.h"
#include "engine/software/address_spaces.h"
#include "engine/software/cpu.h"
#include "engine/software/jump_tags.h"
#include "memory/guest_memory.h"
#include "x86/paging/page_walk.h"

namespace vireo::engine {

/// Linear memory in software: page walks, the translation caches, and the slow path of every
/// access: page crossings, MMIO, watched pages, faults. One per vCPU, used on its thread.
class SoftMmu final : public x86::PhysicalMemory {
 public:
  SoftMmu(Cpu& cpu, memory::GuestMemory& memory, MachinePort& port, const x86::CpuidModel& model)
      : cpu_(cpu), memory_(memory), port_(port), model_(model) {}

  /// Computes what the control registers and the privilege level mean for translation, and drops
  /// what they make stale.
  void refresh_mode();
  void flush(x86::TlbFlush kind);
  void invalidate_page(LinearAddr address);
  /// CR3 was loaded; `keep`: see CpuPort::page_tables_changed().
  void change_page_tables(bool keep);
  /// A PCID that is not the current one.
  void forget_pcid(std::uint16_t pcid);

  x86::OrFault<> read(LinearAddr address, std::span<std::byte> data, TlbIndex who);
  x86::OrFault<> write(LinearAddr address, std::span<const std::byte> data, TlbIndex who);
  x86::OrFault<> check_write(LinearAddr address, std::size_t size, TlbIndex who);
  x86::OrFault<bool> compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                      std::span<const std::byte> desired, TlbIndex who);
  /// The physical address of the instruction byte at a canonical linear address.
  x86::OrFault<PhysAddr> translate_code(LinearAddr address);
  /// The page of the instruction byte, and whether it is global.
  x86::OrFault<x86::Translation> walk_code(LinearAddr address);
  /// What a user access to the page is allowed to find; its accessed and dirty bits are set then.
  x86::OrFault<x86::Translation> walk_user(LinearAddr address, x86::Access access);
  /// What stands in the page tables for a page that has been accessed; changes nothing, judges no
  /// permission, and may know nothing of what is rare.
  std::optional<x86::Translation> look_up(LinearAddr address) const;
  /// Enters the page into a translation cache as an access would, if the access is allowed and to
  /// memory. False: there is a fault to be had, in 64-bit mode.
  bool fill(LinearAddr address, bool write, TlbIndex who);
  /// fill() where nothing is in the way; false: fill() can tell. See soft_mmu_fill.h.
  bool fill_quickly(LinearAddr address, bool write, TlbIndex who);
  /// Where in physical memory a write to the address goes that is allowed, but not directly: its
  /// page is watched or ROM. Empty: it may not be so, or is not known.
  [[gnu::always_inline]] std::optional<PhysAddr> written_slowly(LinearAddr address, TlbIndex who) {
    const TlbEntry& entry = table(who).entry(value(address));
    const bool known = entry.read_tag == (value(address) & ~kPageMask) &&
                       (entry.physical & TlbEntry::kWritableSlowly) != 0;
    const PhysAddr physical{(entry.physical & ~kPageMask) + (value(address) & kPageMask)};
    if (!known || memory_.view(physical).writable) return {};
    return physical;
  }
  /// The host address of `size` bytes of RAM that lie in one page and may be accessed directly;
  /// null if the slow path has to be taken. Faults are left to the slow path too.
  std::byte* direct(LinearAddr address, std::size_t size, bool write);

  /// Whether no memory is at the address; false too if reading it would fault.
  bool is_device(LinearAddr address);

  /// Takes note of an access to ports for I/O breakpoints.
  void note_io_access(std::uint16_t port, std::size_t size);

  /// Whether the page may be written to directly, until this CPU is told that it no longer may.
  [[gnu::always_inline]] bool take_write_permission(PhysAddr page) {
    if (!memory_.view(page).writable) return false;
    cpu_.directly_written.announce(page);
    return memory_.view(page).writable;  // whoever began to watch it before did not ask this CPU
  }

  TlbIndex current() const { return cpu_.current_tlb; }
  memory::GuestMemory& memory() { return memory_; }

  // x86::PhysicalMemory
  std::uint64_t read(PhysAddr address, std::size_t size) override;
  bool compare_exchange(PhysAddr address, std::size_t size, std::uint64_t expected,
                        std::uint64_t desired) override;

 private:
  /// One page's part of an access.
  struct Part {
    PhysAddr physical;
    std::size_t size;
  };
  struct Parts {
    std::array<Part, 2> part;
    unsigned count;
  };
  x86::OrFault<Parts> translate(LinearAddr address, std::size_t size, x86::Access access,
                                TlbIndex who);
  Tlb& table(TlbIndex who) { return cpu_.tlbs[static_cast<std::size_t>(who)]; }
  std::byte* hit(LinearAddr address, std::size_t size, bool write, TlbIndex who);
  std::optional<PhysAddr> cached(LinearAddr address, x86::Access access, TlbIndex who);
  x86::OrFault<PhysAddr> translate_page(LinearAddr address, x86::Access access, TlbIndex who);
  bool walk_quickly(LinearAddr address, x86::Access access, x86::Translation& translation) const;
  void remember(LinearAddr address, const x86::Translation& translation, x86::Access access,
                TlbIndex who);
  void read_physical(PhysAddr address, std::span<std::byte> data);
  void write_physical(PhysAddr address, std::span<const std::byte> data);
  TlbIndex find_current() const;
  void renew_jump_tag();
  void change_address_space(std::uint16_t from, std::uint16_t to, bool keep);
  void note_data_access(std::uint64_t linear, std::size_t size, bool write);

  Cpu& cpu_;
  memory::GuestMemory& memory_;
  MachinePort& port_;
  const x86::CpuidModel& model_;
  x86::PagingMode mode_;
  bool watching_ = false;  ///< a data breakpoint is enabled
  JumpTags jump_tags_;
  AddressSpaces spaces_;
};

/// Slow paths of load() and store() below: false if a fault was raised. `segment` tells #SS from
/// #GP for addresses that are not canonical.
bool load_slow(Cpu* cpu, std::uint64_t linear, void* data, std::size_t size, std::uint8_t segment);
bool store_slow(Cpu* cpu, std::uint64_t linear, const void* data, std::size_t size,
                std::uint8_t segment);
/// load() for an operand that is going to be written: faults as the write would.
bool load_for_update_slow(Cpu* cpu, std::uint64_t linear, void* data, std::size_t size,
                          std::uint8_t segment);

/// Reads guest memory at a linear address with the current privilege. False: cpu->fault is set.
template <class T>
[[gnu::always_inline]] inline bool load(Cpu* cpu, std::uint64_t linear, T& data,
                                        std::uint8_t segment = x86::kDs) {
  const TlbEntry& entry = cpu->tlb->entry(linear);
  if (linear - entry.read_tag > kPageSize - sizeof(T)) [[unlikely]]
    return load_slow(cpu, linear, &data, sizeof(T), segment);
  // SAFETY: the tag vouches for sizeof(T) bytes of guest memory at this host address.
  __builtin_memcpy(&data, reinterpret_cast<const void*>(linear + entry.delta), sizeof(T));
  return true;
}

template <class T>
[[gnu::always_inline]] inline bool store(Cpu* cpu, std::uint64_t linear, const T& data,
                                         std::uint8_t segment = x86::kDs) {
  const TlbEntry& entry = cpu->tlb->entry(linear);
  if (linear - entry.write_tag > kPageSize - sizeof(T)) [[unlikely]]
    return store_slow(cpu, linear, &data, sizeof(T), segment);
  // SAFETY: as above, for writing.
  __builtin_memcpy(reinterpret_cast<void*>(linear + entry.delta), &data, sizeof(T));
  return true;
}

/// An operand that is read, computed with and written back: `compute(T) -> T`. Nothing is written
/// unless all of it can be.
template <class T, class Compute>
[[gnu::always_inline]] inline bool update(Cpu* cpu, std::uint64_t linear, std::uint8_t segment,
                                          Compute compute) {
  const TlbEntry& entry = cpu->tlb->entry(linear);
  T data;
  if (linear - entry.write_tag <= kPageSize - sizeof(T)) [[likely]] {
    // SAFETY: as above.
    void* host = reinterpret_cast<void*>(linear + entry.delta);
    __builtin_memcpy(&data, host, sizeof(T));
    data = compute(data);
    __builtin_memcpy(host, &data, sizeof(T));
    return true;
  }
  if (!load_for_update_slow(cpu, linear, &data, sizeof(T), segment)) return false;
  data = compute(data);
  return store_slow(cpu, linear, &data, sizeof(T), segment);
}

}  // namespace vireo::engine
