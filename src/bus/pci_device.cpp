#include "bus/pci_device.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "bus/pci_bus.h"

namespace vireo::bus {
namespace {

// PCI Local Bus 3.0, figure 6-1.
constexpr unsigned kVendor = 0x00, kDevice = 0x02, kCommand = 0x04, kStatus = 0x06;
constexpr unsigned kRevision = 0x08, kCacheLine = 0x0c, kLatency = 0x0d, kBars = 0x10;
constexpr unsigned kSubsystemVendor = 0x2c, kSubsystem = 0x2e, kCapabilities = 0x34;
constexpr unsigned kInterruptLine = 0x3c, kInterruptPin = 0x3d;

constexpr std::uint8_t kCommandIo = 0x01, kCommandMemory = 0x02;
constexpr std::uint16_t kCommandWritable = 0x0547, kCommandNoIntx = 0x0400;
constexpr std::uint8_t kStatusInterrupt = 0x08, kStatusCapabilities = 0x10;
constexpr std::uint8_t kStatusClearByOne = 0xf9;  // of the upper byte

bool is_io(BarKind kind) { return kind == BarKind::kIo; }
bool is_64bit(BarKind kind) {
  return kind == BarKind::kMemory64 || kind == BarKind::kPrefetchable64;
}
std::uint32_t type_bits(BarKind kind) {
  switch (kind) {
    case BarKind::kIo:
      return 0x1;
    case BarKind::kMemory32:
      return 0x0;
    case BarKind::kMemory64:
      return 0x4;
    case BarKind::kPrefetchable64:
      return 0xc;
  }
  return 0;
}

}  // namespace

PciDevice::PciDevice(const PciIdentity& identity) {
  define16(kVendor, identity.vendor);
  define16(kDevice, identity.device);
  define16(kCommand, 0, kCommandWritable);
  clear_by_one_[kStatus + 1] = kStatusClearByOne;
  define32(kRevision, identity.class_code << 8 | identity.revision);
  define8(kCacheLine, 0, 0xff);
  define8(kLatency, 0, 0xff);
  define16(kSubsystemVendor, identity.subsystem_vendor);
  define16(kSubsystem, identity.subsystem);
  define8(kInterruptLine, 0, 0xff);
  define8(kInterruptPin, identity.interrupt_pin);
}

void PciDevice::define_bytes(unsigned offset, unsigned size, std::uint64_t value,
                             std::uint64_t writable) {
  VIREO_ASSERT(offset + size <= initial_.size());
  for (unsigned i = 0; i < size; ++i) {
    initial_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
    writable_[offset + i] = static_cast<std::uint8_t>(writable >> (8 * i));
    state_.bytes[offset + i] = initial_[offset + i];
  }
}
void PciDevice::define8(unsigned offset, std::uint8_t value, std::uint8_t writable) {
  define_bytes(offset, 1, value, writable);
}
void PciDevice::define16(unsigned offset, std::uint16_t value, std::uint16_t writable) {
  define_bytes(offset, 2, value, writable);
}
void PciDevice::define32(unsigned offset, std::uint32_t value, std::uint32_t writable) {
  define_bytes(offset, 4, value, writable);
}

void PciDevice::define_bar(unsigned index, BarKind kind, std::uint64_t size, BusDevice& window,
                           std::string name) {
  VIREO_ASSERT(std::has_single_bit(size) && size >= (is_io(kind) ? 4 : 16));
  VIREO_ASSERT(index + (is_64bit(kind) ? 1 : 0) < bars_.size() && !bars_[index]);
  const std::uint64_t mask = ~(size - 1);
  define32(kBars + 4 * index, type_bits(kind), static_cast<std::uint32_t>(mask));
  if (is_64bit(kind)) define32(kBars + 4 * index + 4, 0, static_cast<std::uint32_t>(mask >> 32));
  bars_[index] = Bar{kind, size, &window, std::move(name), std::nullopt};
}

unsigned PciDevice::define_capability(std::uint8_t id, unsigned size) {
  const unsigned offset = capabilities_end_;
  VIREO_ASSERT(size >= 2 && offset + size <= initial_.size());
  define8(last_capability_ ? last_capability_ + 1 : kCapabilities,
          static_cast<std::uint8_t>(offset));
  define8(offset, id);
  define8(kStatus, initial_[kStatus] | kStatusCapabilities);
  last_capability_ = offset;
  capabilities_end_ = (offset + size + 3) & ~3u;
  return offset;
}

void PciDevice::define_capability(PciCapability& capability) {
  capability.offset_ = define_capability(capability.id_, capability.size_);
  capability.function_ = this;
  capabilities_.push_back(&capability);
  capability.define();
}

template <class Body>
void PciDevice::for_each_capability(unsigned offset, unsigned size, Body body) {
  for (PciCapability* capability : capabilities_) {
    const unsigned begin = std::max(offset, capability->offset_);
    const unsigned end = std::min(offset + size, capability->offset_ + capability->size_);
    if (begin < end) body(*capability, begin - capability->offset_, end - begin);
  }
}

void PciDevice::config_read(unsigned offset, std::span<std::byte> data) {
  VIREO_ASSERT(offset + data.size() <= state_.bytes.size());
  for_each_capability(
      offset, static_cast<unsigned>(data.size()),
      [](PciCapability& part, unsigned first, unsigned size) { part.on_read(first, size); });
  std::lock_guard lock(mutex_);
  std::memcpy(data.data(), &state_.bytes[offset], data.size());
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (offset + i == kStatus && state_.intx) data[i] |= std::byte{kStatusInterrupt};
  }
}

void PciDevice::config_write(unsigned offset, std::span<const std::byte> data) {
  VIREO_ASSERT(offset + data.size() <= state_.bytes.size());
  {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < data.size(); ++i) {
      const auto value = std::to_integer<unsigned>(data[i]);
      const unsigned writable = writable_[offset + i], clears = clear_by_one_[offset + i];
      unsigned old = state_.bytes[offset + i];
      old = (old & ~writable) | (value & writable);
      state_.bytes[offset + i] = static_cast<std::uint8_t>(old & ~(value & clears));
    }
  }
  announce(offset, static_cast<unsigned>(data.size()));
  tell_written(offset, static_cast<unsigned>(data.size()));
}

void PciDevice::tell_written(unsigned offset, unsigned size) {
  for_each_capability(offset, size, [](PciCapability& part, unsigned first, unsigned count) {
    part.on_written(first, count);
  });
  on_config_written(offset, size);
}

/// Windows and interrupt pin follow what the bytes say now.
void PciDevice::announce(unsigned offset, unsigned size) {
  if (offset > kBars + 23 || offset + size <= kCommand) return;
  if (bus_) bus_->update_windows();
  std::lock_guard lock(mutex_);
  update_intx();
}

void PciDevice::reset() {
  {
    std::lock_guard lock(mutex_);
    state_.bytes = initial_;
    state_.intx = 0;
  }
  announce(0, 256);
  for (PciCapability* capability : capabilities_) {
    capability->on_reset();
    capability->on_written(0, capability->size_);
  }
  on_reset();
}

PciConfigState PciDevice::config_state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

Result<> PciDevice::restore_config(const PciConfigState& state) {
  for (unsigned offset : {kVendor, kVendor + 1, kDevice, kDevice + 1}) {
    if (state.bytes[offset] != initial_[offset])
      return usage_error("the saved PCI function is not {:02x}{:02x}:{:02x}{:02x}",
                         initial_[kVendor + 1], initial_[kVendor], initial_[kDevice + 1],
                         initial_[kDevice]);
  }
  if (state.intx > 1) return usage_error("the saved PCI function has an impossible interrupt");
  {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < kBars + 24; ++i) {  // the header's fixed bits stay fixed
      const unsigned changes = writable_[i] | clear_by_one_[i];
      if ((state.bytes[i] ^ initial_[i]) & ~changes)
        return usage_error("the saved PCI function has an impossible byte at {:#x}", i);
    }
    state_ = state;
  }
  announce(0, 256);
  tell_written(0, 256);
  return Unit{};
}

std::uint32_t PciDevice::config32(unsigned offset) const {
  std::lock_guard lock(mutex_);
  std::uint32_t value = 0;
  VIREO_ASSERT(offset + sizeof(value) <= state_.bytes.size());
  std::memcpy(&value, &state_.bytes[offset], sizeof(value));
  return value;
}
std::uint16_t PciDevice::config16(unsigned offset) const {
  std::lock_guard lock(mutex_);
  std::uint16_t value = 0;
  VIREO_ASSERT(offset + sizeof(value) <= state_.bytes.size());
  std::memcpy(&value, &state_.bytes[offset], sizeof(value));
  return value;
}
std::uint8_t PciDevice::config8(unsigned offset) const {
  std::lock_guard lock(mutex_);
  return state_.bytes.at(offset);
}
void PciDevice::store_config8(unsigned offset, std::uint8_t value) {
  std::lock_guard lock(mutex_);
  state_.bytes.at(offset) = value;
}
void PciDevice::store_config32(unsigned offset, std::uint32_t value) {
  std::lock_guard lock(mutex_);
  VIREO_ASSERT(offset + sizeof(value) <= state_.bytes.size());
  std::memcpy(&state_.bytes[offset], &value, sizeof(value));
}

void PciDevice::assign_interrupt_line(const std::array<std::uint8_t, 4>& interrupts) {
  const unsigned pin = initial_[kInterruptPin];
  if (pin == 0 || initial_[kInterruptLine] != 0) return;
  store_config8(kInterruptLine, interrupts[PciBus::pirq_of(devfn_ / PciBus::kFunctions, pin)]);
}

void PciDevice::set_intx(bool high) {
  std::lock_guard lock(mutex_);
  state_.intx = high;
  update_intx();
}

void PciDevice::update_intx() {
  const unsigned pin = initial_[kInterruptPin];
  if (!bus_ || pin == 0) return;
  const unsigned command = state_.bytes[kCommand] | unsigned{state_.bytes[kCommand + 1]} << 8;
  bus_->set_intx(devfn_, pin, state_.intx && !(command & kCommandNoIntx));
}

/// Where the window of a base address register is to be; nothing if the guest has not enabled it or
/// put it nowhere sensible.
std::optional<std::uint64_t> PciDevice::decoded_address(unsigned index) const {
  const Bar& bar = *bars_[index];
  const std::uint8_t enabled = config8(kCommand);
  if (!(enabled & (is_io(bar.kind) ? kCommandIo : kCommandMemory))) return std::nullopt;
  std::uint64_t address = config32(kBars + 4 * index);
  if (is_64bit(bar.kind)) address |= std::uint64_t{config32(kBars + 4 * index + 4)} << 32;
  address &= ~(bar.size - 1);
  const std::uint64_t limit = is_io(bar.kind)      ? 0xffff
                              : is_64bit(bar.kind) ? (std::uint64_t{1} << 52) - 1
                                                   : 0xffffffff;
  // All ones is what sizing leaves behind for a moment.
  if (address == 0 || address > limit - (bar.size - 1)) return std::nullopt;
  if (!is_io(bar.kind) && address == (std::uint64_t{0xffffffff} & ~(bar.size - 1)))
    return std::nullopt;
  return address;
}

}  // namespace vireo::bus
