#include "engine/software/soft_mmu.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/software/host_exchange.h"
#include "engine/software/host_stub.h"
#include "engine/software/soft_mmu_fill.h"
#include "x86/semantics/operands.h"

namespace vireo::engine {
namespace {

using x86::Access;
using x86::OrFault;
using x86::Privilege;
using x86::Vector;

std::uint64_t linear_mask(const x86::CpuState& state) {
  return state.long_mode() ? ~0ull : 0xffffffffull;
}

/// DR7: two enable bits and, from bit 16, R/W and LEN for each of four. SDM vol. 3B, 17.2.4.
constexpr unsigned kOnExecution = 0, kOnWrite = 1, kOnIo = 2;
unsigned breakpoint_kind(std::uint64_t dr7, unsigned i) { return (dr7 >> (16 + 4 * i)) & 3; }
std::uint64_t breakpoint_size(std::uint64_t dr7, unsigned i) {
  constexpr std::uint64_t kSizes[] = {1, 2, 8, 4};
  return kSizes[(dr7 >> (18 + 4 * i)) & 3];
}
bool breakpoint_enabled(std::uint64_t dr7, unsigned i) { return ((dr7 >> (2 * i)) & 3) != 0; }

/// The sizes that instructions have, without a call.
void copy(std::byte* to, const std::byte* from, std::size_t size) {
  switch (size) {
    case 1:
      __builtin_memcpy(to, from, 1);
      break;
    case 2:
      __builtin_memcpy(to, from, 2);
      break;
    case 4:
      __builtin_memcpy(to, from, 4);
      break;
    case 8:
      __builtin_memcpy(to, from, 8);
      break;
    default:
      std::memcpy(to, from, size);
  }
}

bool has_data_breakpoint(std::uint64_t dr7) {
  for (unsigned i = 0; i < 4; ++i)
    if (breakpoint_enabled(dr7, i) && breakpoint_kind(dr7, i) != kOnExecution) return true;
  return false;
}

}  // namespace

TlbIndex SoftMmu::find_current() const {
  const x86::CpuState& state = cpu_.state;
  const bool alignment_check = (state.rflags & x86::rflags::kAc) != 0;
  if (state.cpl() == 3) {
    const bool checked = alignment_check && (state.cr0 & x86::cr0::kAm) != 0;
    return checked ? TlbIndex::kAlignmentChecked : TlbIndex::kUser;
  }
  return alignment_check && mode_.smap ? TlbIndex::kSmapSuspended : TlbIndex::kSupervisor;
}

void SoftMmu::refresh_mode() {
  const x86::CpuState& state = cpu_.state;
  const auto mode = x86::PagingMode::of(state, model_);
  if (mode != mode_) {
    auto same_tables = mode;
    same_tables.cr3 = mode_.cr3;
    same_tables.pdpte = mode_.pdpte;
    // Who changes PCIDs says so: see change_page_tables().
    const bool only_tables = same_tables == mode_ && !(state.cr4 & x86::cr4::kPcide);
    mode_ = mode;
    flush(only_tables ? x86::TlbFlush::kNonGlobal : x86::TlbFlush::kAll);
  }
  if (const TlbIndex current = find_current(); current != cpu_.current_tlb) {
    cpu_.current_tlb = current;
    cpu_.stack_window = cpu_.no_window;  // another privilege has a stack of its own
  }
  watching_ = has_data_breakpoint(state.dr7);
  // Under watch nothing may hit: the table that is never filled is used.
  const TlbIndex shown = watching_ ? TlbIndex::kAlignmentChecked : cpu_.current_tlb;
  cpu_.tlb = &table(shown);
  renew_jump_tag();
}

void SoftMmu::renew_jump_tag() {
  const std::uint64_t tag = jump_tags_.current(cpu_.state);
  if (tag == cpu_.jump_tag) return;
  cpu_.jump_tag = tag;
  cpu_.leave_block = true;
}

void SoftMmu::flush(x86::TlbFlush kind) {
  ++cpu_.counters.tlb_flushes;
  for (Tlb& tlb : cpu_.tlbs) {
    if (kind == x86::TlbFlush::kAll)
      tlb.clear();
    else
      tlb.clear_non_global();
  }
  if (kind != x86::TlbFlush::kNonGlobal) spaces_.forget_all();
  if (kind == x86::TlbFlush::kAll) cpu_.directly_written.forget_all();
  jump_tags_.flush(kind);
  renew_jump_tag();
  cpu_.close_window();
  if (cpu_.mapping_listener != nullptr) cpu_.mapping_listener->mappings_flushed(kind);
  cpu_.leave_block = true;
}

void SoftMmu::change_page_tables(bool keep) {
  constexpr std::uint64_t kPcid = 0xfff;
  const x86::CpuState& state = cpu_.state;
  const auto from = static_cast<std::uint16_t>(mode_.cr3 & kPcid);
  const auto to = static_cast<std::uint16_t>(state.cr3 & kPcid);
  mode_.cr3 = state.cr3;
  mode_.pdpte = state.pdpte;
  refresh_mode();
  const bool pcids = (state.cr4 & x86::cr4::kPcide) != 0;
  if (!pcids || (from == to && !keep))
    flush(x86::TlbFlush::kNonGlobal);
  else if (from != to)
    change_address_space(from, to, keep);
}

void SoftMmu::change_address_space(std::uint16_t from, std::uint16_t to, bool keep) {
  spaces_.put_aside(from, cpu_.tlbs);
  if (keep)
    spaces_.bring_back(to, cpu_.tlbs, memory_);
  else
    spaces_.forget(to);
  jump_tags_.flush(x86::TlbFlush::kNonGlobal);
  renew_jump_tag();
  cpu_.close_window();
  if (cpu_.mapping_listener != nullptr)
    cpu_.mapping_listener->address_space_changed(from, to, keep);
  cpu_.leave_block = true;
}

void SoftMmu::forget_pcid(std::uint16_t pcid) {
  spaces_.forget(pcid);
  if (cpu_.mapping_listener != nullptr) cpu_.mapping_listener->address_space_forgotten(pcid);
}

void SoftMmu::invalidate_page(LinearAddr address) {
  for (Tlb& tlb : cpu_.tlbs) tlb.invalidate_page(value(address));
  jump_tags_.invalidate_page(value(address));
  renew_jump_tag();
  if (cpu_.mapping_listener != nullptr) cpu_.mapping_listener->page_invalidated(value(address));
}

/// What the cache knows of a page whose access had to take the slow path for another reason.
std::optional<PhysAddr> SoftMmu::cached(LinearAddr address, Access access, TlbIndex who) {
  const std::uint64_t linear = value(address), page = linear & ~kPageMask;
  TlbEntry& entry = table(who).entry(linear);
  const PhysAddr physical{(entry.physical & ~kPageMask) + (linear & kPageMask)};
  if (access == Access::kRead)
    return entry.read_tag == page ? std::optional(physical) : std::nullopt;
  if (entry.write_tag == page) return physical;
  if (entry.read_tag != page || !(entry.physical & TlbEntry::kWritableSlowly)) return {};
  if (take_write_permission(physical)) table(who).allow_writes(linear);  // no longer watched
  return physical;
}

OrFault<PhysAddr> SoftMmu::translate_page(LinearAddr address, Access access, TlbIndex who) {
  if (const auto known = cached(address, access, who)) return *known;
  x86::WalkRequest request;
  request.address = address;
  request.access = access;
  request.user = who == TlbIndex::kUser || who == TlbIndex::kAlignmentChecked;
  request.smap_suspended = who == TlbIndex::kSmapSuspended;
  x86::Translation translation;
  if (!walk_quickly(address, access, translation) || !permitted(mode_, translation.rights, request))
    translation = TRY(x86::walk_pages(mode_, *this, request));
  remember(address, translation, access, who);
  return translation.page + (value(address) & kPageMask);
}

OrFault<SoftMmu::Parts> SoftMmu::translate(LinearAddr address, std::size_t size, Access access,
                                           TlbIndex who) {
  const std::uint64_t mask = linear_mask(cpu_.state);
  const std::uint64_t first = value(address) & mask;
  if (who == TlbIndex::kAlignmentChecked && size <= 8 && (first & (size - 1)) != 0)
    return x86::fault(Vector::kAC, 0);
  const std::size_t in_first = std::min<std::size_t>(size, kPageSize - (first & kPageMask));
  Parts parts{};
  parts.part[0] = {TRY(translate_page(LinearAddr{first}, access, who)), in_first};
  parts.count = 1;
  if (in_first < size) {
    const std::uint64_t second = (first + in_first) & mask;
    parts.part[1] = {TRY(translate_page(LinearAddr{second}, access, who)), size - in_first};
    parts.count = 2;
  }
  return parts;
}

/// The trap comes after the instruction. SDM vol. 3B, 17.3.1.2.
void SoftMmu::note_data_access(std::uint64_t linear, std::size_t size, bool write) {
  x86::CpuState& state = cpu_.state;
  std::uint64_t hit = 0;
  bool any_enabled = false;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned kind = breakpoint_kind(state.dr7, i);
    if (kind == kOnExecution || kind == kOnIo || (kind == kOnWrite && !write)) continue;
    const std::uint64_t length = breakpoint_size(state.dr7, i);
    const std::uint64_t start = state.dr[i] & ~(length - 1);
    if (linear >= start + length || start >= linear + size) continue;
    hit |= 1u << i;
    any_enabled = any_enabled || breakpoint_enabled(state.dr7, i);
  }
  if (any_enabled) state.pending_debug |= hit;
}

void SoftMmu::note_io_access(std::uint16_t port, std::size_t size) {
  x86::CpuState& state = cpu_.state;
  if ((state.dr7 & 0xff) == 0 || !(state.cr4 & x86::cr4::kDe)) return;
  for (unsigned i = 0; i < 4; ++i) {
    if (breakpoint_kind(state.dr7, i) != kOnIo || !breakpoint_enabled(state.dr7, i)) continue;
    const std::uint64_t length = breakpoint_size(state.dr7, i);
    const std::uint64_t start = state.dr[i] & ~(length - 1);
    if (port < start + length && start < port + size) state.pending_debug |= 1u << i;
  }
}

OrFault<> SoftMmu::read(LinearAddr address, std::span<std::byte> data, TlbIndex who) {
  if (const std::byte* host = watching_ ? nullptr : hit(address, data.size(), false, who)) {
    copy(data.data(), host, data.size());
    return Unit{};
  }
  const Parts parts = TRY(translate(address, data.size(), Access::kRead, who));
  if (watching_) note_data_access(value(address), data.size(), false);
  std::size_t done = 0;
  for (unsigned i = 0; i < parts.count; ++i) {
    read_physical(parts.part[i].physical, data.subspan(done, parts.part[i].size));
    done += parts.part[i].size;
  }
  return Unit{};
}

OrFault<> SoftMmu::write(LinearAddr address, std::span<const std::byte> data, TlbIndex who) {
  if (std::byte* host = watching_ ? nullptr : hit(address, data.size(), true, who)) {
    copy(host, data.data(), data.size());
    return Unit{};
  }
  const Parts parts = TRY(translate(address, data.size(), Access::kWrite, who));
  if (watching_) note_data_access(value(address), data.size(), true);
  std::size_t done = 0;
  for (unsigned i = 0; i < parts.count; ++i) {
    write_physical(parts.part[i].physical, data.subspan(done, parts.part[i].size));
    done += parts.part[i].size;
  }
  return Unit{};
}

OrFault<> SoftMmu::check_write(LinearAddr address, std::size_t size, TlbIndex who) {
  if (size == 0) return Unit{};
  const bool aligned = size > 8 || !std::has_single_bit(size) || (value(address) & (size - 1)) == 0;
  if (who == TlbIndex::kAlignmentChecked && !aligned) return x86::fault(Vector::kAC, 0);
  const std::uint64_t mask = linear_mask(cpu_.state);
  std::uint64_t page = value(address) & ~kPageMask;
  TRY(translate_page(LinearAddr{value(address) & mask}, Access::kWrite, who));
  const std::uint64_t last = (value(address) + size - 1) & ~kPageMask;
  while (page != last) {
    page += kPageSize;
    TRY(translate_page(LinearAddr{page & mask}, Access::kWrite, who));
  }
  return Unit{};
}

OrFault<bool> SoftMmu::compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                        std::span<const std::byte> desired, TlbIndex who) {
  const Parts parts = TRY(translate(address, expected.size(), Access::kWrite, who));
  if (watching_) note_data_access(value(address), expected.size(), true);
  const PhysAddr physical = parts.part[0].physical;
  std::byte* host = memory_.host_page(physical);
  const bool aligned16 = expected.size() != 16 || (value(physical) & 15) == 0;
  if (parts.count == 1 && host != nullptr && aligned16) {
    if (!memory_.is_rom(physical)) {
      const bool done = host_exchange(host + (value(physical) & kPageMask), expected, desired);
      if (done && memory_.watched(physical)) memory_.note_write(physical, expected.size());
      return done;
    }
  }
  if (parts.count == 2 && expected.size() <= 8) {
    const PhysAddr next = parts.part[1].physical;
    std::byte* second = memory_.host_page(next);
    if (host != nullptr && second != nullptr && !memory_.is_rom(physical) &&
        !memory_.is_rom(next)) {
      const bool done =
          host_exchange_across(host + (value(physical) & kPageMask), second, expected, desired);
      for (unsigned i = 0; i < parts.count; ++i)
        if (done && memory_.watched(parts.part[i].physical))
          memory_.note_write(parts.part[i].physical, parts.part[i].size);
      return done;
    }
  }
  // MMIO or ROM: read, compare and write.
  std::array<std::byte, 16> current{};
  const auto now = std::span(current).first(expected.size());
  TRY(read(address, now, who));
  if (!std::equal(now.begin(), now.end(), expected.begin())) {
    std::copy(now.begin(), now.end(), expected.begin());
    return false;
  }
  TRY(write(address, desired, who));
  return true;
}

OrFault<PhysAddr> SoftMmu::translate_code(LinearAddr address) {
  const bool user = cpu_.state.cpl() == 3;
  const std::uint64_t linear = value(address), page = linear & ~kPageMask;
  Tlb& tlb = table(user ? TlbIndex::kUserCode : TlbIndex::kSupervisorCode);
  const TlbEntry& entry = tlb.entry(page);
  if (entry.read_tag != page) {
    const auto translation = TRY(walk_code(address));
    tlb.fill(page, {page, Tlb::no_tag(page), 0,
                    value(translation.page) | (translation.global ? TlbEntry::kGlobal : 0) |
                        size_bits(translation)});
  }
  jump_tags_.note(user, linear, entry.shift(), (entry.physical & TlbEntry::kGlobal) != 0);
  return PhysAddr{(entry.physical & ~kPageMask) + (linear & kPageMask)};
}

x86::OrFault<x86::Translation> SoftMmu::walk_code(LinearAddr address) {
  const x86::WalkRequest request{address, Access::kExecute, cpu_.state.cpl() == 3};
  return x86::walk_pages(mode_, *this, request);
}

x86::OrFault<x86::Translation> SoftMmu::walk_user(LinearAddr address, Access access) {
  return x86::walk_pages(mode_, *this, {address, access, true});
}

std::optional<x86::Translation> SoftMmu::look_up(LinearAddr address) const {
  x86::Translation translation;
  if (!walk_quickly(address, Access::kRead, translation)) return {};
  return translation;
}

bool SoftMmu::fill(LinearAddr address, bool write, TlbIndex who) {
  if (!x86::canonical(cpu_.state, value(address))) return false;
  return translate_page(address, write ? Access::kWrite : Access::kRead, who).has_value();
}

bool SoftMmu::is_device(LinearAddr address) {
  const auto physical = translate_page(address, Access::kRead, cpu_.current_tlb);
  return physical && memory_.host_page(*physical) == nullptr;
}

std::byte* SoftMmu::hit(LinearAddr address, std::size_t size, bool write, TlbIndex who) {
  const std::uint64_t linear = value(address);
  const TlbEntry& entry = table(who).entry(linear);
  const std::uint64_t tag = write ? entry.write_tag : entry.read_tag;
  if (size > kPageSize || linear - tag > kPageSize - size) return nullptr;
  // SAFETY: the tag vouches for `size` bytes at this host address.
  return reinterpret_cast<std::byte*>(linear + entry.delta);
}

std::byte* SoftMmu::direct(LinearAddr address, std::size_t size, bool write) {
  return watching_ ? nullptr : hit(address, size, write, cpu_.current_tlb);
}

namespace {

/// Devices take 1, 2, 4 or 8 bytes at a time.
std::size_t device_chunk(std::size_t left) {
  return std::bit_floor(std::min<std::size_t>(left, 8));
}

}  // namespace

void SoftMmu::read_physical(PhysAddr address, std::span<std::byte> data) {
  if (const std::byte* host = memory_.host_page(address)) {
    copy(data.data(), host + (value(address) & kPageMask), data.size());
    return;
  }
  ++cpu_.counters.mmio_accesses;
  HostStubs::sync(cpu_.state);
  while (!data.empty()) {
    const std::size_t chunk = device_chunk(data.size());
    port_.mmio_read(address, data.first(chunk));
    data = data.subspan(chunk);
    address = address + chunk;
  }
}

void SoftMmu::write_physical(PhysAddr address, std::span<const std::byte> data) {
  if (std::byte* host = memory_.host_page(address)) {
    // As a hit would: whoever begins to watch the page waits until this vCPU is between blocks.
    if (take_write_permission(address))
      copy(host + (value(address) & kPageMask), data.data(), data.size());
    else
      memory_.write(address, data);
    return;
  }
  ++cpu_.counters.mmio_accesses;
  HostStubs::sync(cpu_.state);
  while (!data.empty()) {
    const std::size_t chunk = device_chunk(data.size());
    port_.mmio_write(address, data.first(chunk));
    data = data.subspan(chunk);
    address = address + chunk;
  }
}

std::uint64_t SoftMmu::read(PhysAddr address, std::size_t size) {
  const std::byte* host = memory_.host_page(address);
  if (host == nullptr) return size == 8 ? ~0ull : 0xffffffff;
  host += value(address) & kPageMask;
  // SAFETY: naturally aligned, so inside the page; other CPUs may write it meanwhile.
  if (size == 8)
    return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(host), __ATOMIC_RELAXED);
  return __atomic_load_n(reinterpret_cast<const std::uint32_t*>(host), __ATOMIC_RELAXED);
}

bool SoftMmu::compare_exchange(PhysAddr address, std::size_t size, std::uint64_t expected,
                               std::uint64_t desired) {
  std::byte* host = memory_.host_page(address);
  if (host == nullptr || memory_.is_rom(address)) return true;
  const auto old = std::as_writable_bytes(std::span(&expected, 1)).first(size);
  const auto fresh = std::as_bytes(std::span(&desired, 1)).first(size);
  const bool done = host_exchange(host + (value(address) & kPageMask), old, fresh);
  if (done && memory_.watched(address)) memory_.note_write(address, size);
  return done;
}

namespace {

bool check_canonical(Cpu* cpu, std::uint64_t linear, std::size_t size, std::uint8_t segment) {
  const bool good = !cpu->state.long_mode() || (x86::canonical(cpu->state, linear) &&
                                                x86::canonical(cpu->state, linear + size - 1));
  if (!good) cpu->raise({segment == x86::kSs ? Vector::kSS : Vector::kGP});
  return good;
}

}  // namespace

bool load_slow(Cpu* cpu, std::uint64_t linear, void* data, std::size_t size, std::uint8_t segment) {
  if (!check_canonical(cpu, linear, size, segment)) return false;
  const auto bytes = std::span(static_cast<std::byte*>(data), size);
  const auto done = cpu->mmu->read(LinearAddr{linear}, bytes, cpu->mmu->current());
  if (!done) cpu->raise(done.error());
  return done.has_value();
}

bool load_for_update_slow(Cpu* cpu, std::uint64_t linear, void* data, std::size_t size,
                          std::uint8_t segment) {
  if (!check_canonical(cpu, linear, size, segment)) return false;
  const auto writable = cpu->mmu->check_write(LinearAddr{linear}, size, cpu->mmu->current());
  if (!writable) cpu->raise(writable.error());
  return writable && load_slow(cpu, linear, data, size, segment);
}

bool store_slow(Cpu* cpu, std::uint64_t linear, const void* data, std::size_t size,
                std::uint8_t segment) {
  if (!check_canonical(cpu, linear, size, segment)) return false;
  const auto bytes = std::span(static_cast<const std::byte*>(data), size);
  const auto done = cpu->mmu->write(LinearAddr{linear}, bytes, cpu->mmu->current());
  if (!done) cpu->raise(done.error());
  return done.has_value();
}

}  // namespace vireo::engine
