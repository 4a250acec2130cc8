#include "devices/irqchip/io_apic.h"

#include "base/assert.h"
#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kSelect = 0x00, kWindow = 0x10, kEoi = 0x40;
constexpr std::uint8_t kIdRegister = 0, kVersionRegister = 1, kArbitrationRegister = 2;
constexpr std::uint8_t kFirstRedirection = 0x10;
constexpr std::uint32_t kVersion = 0x20 | (IoApicState::kInputs - 1) << 16;
constexpr std::uint32_t kIdMask = 0x0f000000;

// Redirection entries.
constexpr std::uint64_t kLogical = 1U << 11, kRemoteIrr = 1U << 14, kLevel = 1U << 15;
constexpr std::uint64_t kMasked = 1U << 16;
constexpr std::uint64_t kWritableLow = 0x1afff, kWritableHigh = 0xff00000000000000;

constexpr DeliveryMode delivery_mode(std::uint64_t entry) {
  return static_cast<DeliveryMode>(entry >> 8 & 7);
}
/// Whether the entry waits for an EOI: NMI, SMI, INIT and ExtINT are edges whatever bit 15 says.
constexpr bool level_triggered(std::uint64_t entry) {
  return (entry & kLevel) && (delivery_mode(entry) == DeliveryMode::kFixed ||
                              delivery_mode(entry) == DeliveryMode::kLowestPriority);
}

}  // namespace

IoApic::IoApic(InterruptSink& sink) : sink_(sink) {
  for (unsigned pin = 0; pin < kInputs; ++pin) {
    inputs_[pin].owner = this;
    inputs_[pin].pin = pin;
  }
}

bus::IrqLine& IoApic::input(unsigned pin) {
  VIREO_ASSERT(pin < kInputs);
  return inputs_[pin];
}

void IoApic::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  std::uint32_t value = 0;
  if (offset == kSelect)
    value = state_.selected;
  else if (offset == kWindow && data.size() == 4)
    value = read_register();
  bus::from_number(data, value);
}

void IoApic::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const auto value = static_cast<std::uint32_t>(bus::to_number(data));
  if (offset == kSelect)
    state_.selected = static_cast<std::uint8_t>(value);
  else if (offset == kWindow && data.size() == 4)
    write_register(value);
  else if (offset == kEoi && data.size() == 4)
    finish(static_cast<std::uint8_t>(value));
}

void IoApic::eoi(std::uint8_t vector) {
  const std::lock_guard lock(mutex_);
  finish(vector);
}

IoApicState IoApic::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<> IoApic::restore(const IoApicState& state) {
  bool sane = (state.id & ~kIdMask) == 0 && state.levels >> kInputs == 0;
  for (const auto entry : state.redirection)
    sane = sane && (entry & ~(kWritableLow | kWritableHigh | kRemoteIrr)) == 0 &&
           (!(entry & kRemoteIrr) || (entry & kLevel));
  if (!sane) return host_error("ioapic: the saved state could not have been this chip's");
  const std::lock_guard lock(mutex_);
  state_ = state;
  return Unit{};
}

void IoApic::reset() {
  const std::lock_guard lock(mutex_);
  const auto levels = state_.levels;
  state_ = {};
  state_.levels = levels;
}

void IoApic::set_input(unsigned pin, bool high) {
  const std::lock_guard lock(mutex_);
  const std::uint32_t bit = 1U << pin;
  const bool was_high = state_.levels & bit;
  state_.levels = high ? state_.levels | bit : state_.levels & ~bit;
  const auto entry = state_.redirection[pin];
  if (level_triggered(entry)) {
    send_level(pin);
  } else if (high && !was_high && !(entry & kMasked)) {
    send(pin);  // an edge that comes while masked is lost
  }
}

std::uint32_t IoApic::read_register() const {
  switch (state_.selected) {
    case kIdRegister:
    case kArbitrationRegister:
      return state_.id;
    case kVersionRegister:
      return kVersion;
    default:
      break;
  }
  const unsigned pin = (state_.selected - unsigned{kFirstRedirection}) / 2;
  if (state_.selected < kFirstRedirection || pin >= kInputs) return 0;
  const auto entry = state_.redirection[pin];
  return static_cast<std::uint32_t>(state_.selected & 1 ? entry >> 32 : entry);
}

void IoApic::write_register(std::uint32_t value) {
  if (state_.selected == kIdRegister) state_.id = value & kIdMask;
  if (state_.selected < kFirstRedirection) return;
  const unsigned pin = (state_.selected - unsigned{kFirstRedirection}) / 2;
  if (pin < kInputs) write_redirection(pin, state_.selected & 1, value);
}

void IoApic::write_redirection(unsigned pin, bool high_half, std::uint32_t value) {
  auto& entry = state_.redirection[pin];
  if (high_half) {
    entry = (entry & 0xffffffff) | (std::uint64_t{value} << 32 & kWritableHigh);
  } else {
    const auto kept = entry & (kWritableHigh | kRemoteIrr);
    entry = kept | (value & kWritableLow);
    // An edge-triggered input has nothing to wait for; drivers clear a stuck one this way.
    if (!level_triggered(entry)) entry &= ~kRemoteIrr;
  }
  send_level(pin);
}

void IoApic::finish(std::uint8_t vector) {
  for (unsigned pin = 0; pin < kInputs; ++pin) {
    auto& entry = state_.redirection[pin];
    if (!(entry & kRemoteIrr) || static_cast<std::uint8_t>(entry) != vector) continue;
    entry &= ~kRemoteIrr;
    send_level(pin);
  }
}

void IoApic::send_level(unsigned pin) {
  auto& entry = state_.redirection[pin];
  if (!level_triggered(entry) || !(state_.levels >> pin & 1)) return;
  if (entry & (kMasked | kRemoteIrr)) return;
  // Refused by every CPU (none such, or its APIC is off), it stays pending on the pin.
  if (send(pin)) entry |= kRemoteIrr;
}

bool IoApic::send(unsigned pin) {
  const auto entry = state_.redirection[pin];
  const auto destination = static_cast<std::uint32_t>(entry >> 56);
  return sink_.deliver({.destination = destination,
                        .logical = (entry & kLogical) != 0,
                        .broadcast = destination == 0xff,
                        .mode = delivery_mode(entry),
                        .lowest_priority = delivery_mode(entry) == DeliveryMode::kLowestPriority,
                        .level_triggered = level_triggered(entry),
                        .vector = static_cast<std::uint8_t>(entry)});
}

}  // namespace vireo::devices
