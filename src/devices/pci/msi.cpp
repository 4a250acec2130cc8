#include "devices/pci/msi.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace vireo::devices {
namespace {

// PCI Local Bus 3.0, figure 6-9: the 64-bit layout with per-vector masking.
constexpr unsigned kControl = 2, kAddressLow = 4, kAddressHigh = 8, kData = 12;
constexpr unsigned kMask = 16, kPending = 20;

constexpr std::uint16_t kEnable = 0x0001, kGranted = 0x0070, k64Bit = 0x0080, kMaskable = 0x0100;
constexpr unsigned kCapableShift = 1, kGrantedShift = 4;

}  // namespace

Msi::Msi(bus::MsiSink& sink, unsigned vectors)
    : PciCapability(kId, kSize), sink_(sink), vectors_(vectors) {
  VIREO_ASSERT(std::has_single_bit(vectors) && vectors <= 32);
}

void Msi::define() {
  const auto capable = static_cast<unsigned>(std::countr_zero(vectors_)) << kCapableShift;
  const auto all = static_cast<std::uint32_t>((std::uint64_t{1} << vectors_) - 1);
  define16(kControl, static_cast<std::uint16_t>(k64Bit | kMaskable | capable), kEnable | kGranted);
  define32(kAddressLow, 0, 0xfffffffc);
  define32(kAddressHigh, 0, 0xffffffff);
  define16(kData, 0, 0xffff);
  define32(kMask, 0, all);
}

bool Msi::enabled() const { return (config16(kControl) & kEnable) != 0; }

void Msi::send(unsigned vector) {
  const std::lock_guard lock(mutex_);
  if (vector < vectors_ && enabled()) send_locked(vector);
}

void Msi::send_locked(unsigned vector) {
  const unsigned granted = (config16(kControl) & kGranted) >> kGrantedShift;
  const std::uint32_t messages = std::min(1u << std::min(granted, 5u), vectors_);
  vector &= messages - 1;
  const std::uint32_t bit = 1u << vector;
  if ((config32(kMask) & bit) != 0) return store_config32(kPending, config32(kPending) | bit);
  store_config32(kPending, config32(kPending) & ~bit);
  const std::uint64_t address = std::uint64_t{config32(kAddressHigh)} << 32 | config32(kAddressLow);
  sink_.send_msi(address, (config16(kData) & ~(messages - 1)) | vector);
}

void Msi::on_written(unsigned, unsigned) {
  const std::lock_guard lock(mutex_);
  if (!enabled()) return;
  const std::uint32_t due = config32(kPending) & ~config32(kMask);
  for (unsigned vector = 0; vector < vectors_; ++vector) {
    if ((due >> vector & 1) != 0) send_locked(vector);
  }
}

}  // namespace vireo::devices
