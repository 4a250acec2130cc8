#include "devices/pci/msix.h"

#include <algorithm>

#include "base/assert.h"
#include "bus/access_split.h"

namespace vireo::devices {
namespace {

// PCI Local Bus 3.0, figures 6-10 and 6-11.
constexpr unsigned kControl = 2, kTable = 4, kPendingBits = 8;
constexpr std::uint16_t kEnable = 0x8000, kFunctionMask = 0x4000;
constexpr std::uint64_t kEntryBytes = 16, kPendingBase = Msix::kWindowSize / 2;
constexpr std::uint32_t kVectorMask = 1;
static_assert(MsixState::kMost * kEntryBytes <= kPendingBase);

}  // namespace

Msix::Msix(bus::MsiSink& sink, unsigned vectors, unsigned bar)
    : PciCapability(kId, kSize), sink_(sink), vectors_(vectors), bar_(bar) {
  VIREO_ASSERT(vectors >= 1 && vectors <= MsixState::kMost && bar < 6);
}

void Msix::define() {
  define16(kControl, static_cast<std::uint16_t>(vectors_ - 1), kEnable | kFunctionMask);
  define32(kTable, bar_, 0);
  define32(kPendingBits, static_cast<std::uint32_t>(kPendingBase) | bar_, 0);
}

bool Msix::enabled() const { return (config16(kControl) & kEnable) != 0; }

void Msix::send(unsigned vector) {
  const std::lock_guard lock(mutex_);
  if (vector < vectors_ && enabled()) send_locked(vector);
}

void Msix::send_locked(unsigned vector) {
  const MsixEntry& entry = state_.table[vector];
  const bool masked = entry.masked != 0 || (config16(kControl) & kFunctionMask) != 0;
  set_pending(vector, masked);
  if (!masked) sink_.send_msi(entry.address, entry.data);
}

void Msix::send_pending() {
  if (!enabled()) return;
  for (unsigned vector = 0; vector < vectors_; ++vector) {
    if (is_pending(vector)) send_locked(vector);
  }
}

void Msix::on_written(unsigned, unsigned) {
  const std::lock_guard lock(mutex_);
  send_pending();
}

void Msix::on_reset() {
  const std::lock_guard lock(mutex_);
  state_ = {};
}

bool Msix::is_pending(unsigned vector) const {
  return (state_.pending[vector / 64] >> (vector % 64) & 1) != 0;
}
void Msix::set_pending(unsigned vector, bool pending) {
  const std::uint64_t bit = std::uint64_t{1} << (vector % 64);
  std::uint64_t& word = state_.pending[vector / 64];
  word = pending ? word | bit : word & ~bit;
}

/// Software accesses whole double words or quad words; what else comes reads as zero.
void Msix::read(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset % 4 != 0 || data.size() % 4 != 0) return;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < data.size(); i += 4)
    bus::from_number(data.subspan(i, 4), read_word(offset + i));
}

void Msix::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset % 4 != 0 || data.size() % 4 != 0) return;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < data.size(); i += 4)
    write_word(offset + i, static_cast<std::uint32_t>(bus::to_number(data.subspan(i, 4))));
}

std::uint32_t Msix::read_word(std::uint64_t offset) const {
  if (offset >= kPendingBase) {
    const std::uint64_t word = (offset - kPendingBase) / 4;
    if (word >= state_.pending.size() * 2) return 0;
    return static_cast<std::uint32_t>(state_.pending[word / 2] >> (word % 2 * 32));
  }
  if (offset / kEntryBytes >= vectors_) return 0;
  const MsixEntry& entry = state_.table[offset / kEntryBytes];
  switch (offset % kEntryBytes) {
    case 0:
      return static_cast<std::uint32_t>(entry.address);
    case 4:
      return static_cast<std::uint32_t>(entry.address >> 32);
    case 8:
      return entry.data;
    default:
      return entry.masked;
  }
}

void Msix::write_word(std::uint64_t offset, std::uint32_t value) {
  if (offset / kEntryBytes >= vectors_) return;
  const auto vector = static_cast<unsigned>(offset / kEntryBytes);
  MsixEntry& entry = state_.table[vector];
  switch (offset % kEntryBytes) {
    case 0:
      entry.address = (entry.address & ~std::uint64_t{0xffffffff}) | (value & ~3u);
      break;
    case 4:
      entry.address = (entry.address & 0xffffffff) | std::uint64_t{value} << 32;
      break;
    case 8:
      entry.data = value;
      break;
    default:
      entry.masked = value & kVectorMask;
      if (is_pending(vector) && enabled()) send_locked(vector);
      break;
  }
}

MsixState Msix::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<> Msix::restore(const MsixState& state) {
  for (unsigned vector = 0; vector < MsixState::kMost; ++vector) {
    const MsixEntry& entry = state.table[vector];
    const bool pending = (state.pending[vector / 64] >> (vector % 64) & 1) != 0;
    const bool used = pending || entry != MsixEntry{};
    if (entry.masked > 1 || (entry.address & 3) != 0 || (used && vector >= vectors_))
      return usage_error("the saved MSI-X table has an impossible entry {}", vector);
  }
  const std::lock_guard lock(mutex_);
  state_ = state;
  return Unit{};
}

}  // namespace vireo::devices
