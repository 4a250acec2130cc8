#include "devices/irqchip/apic_bus.h"

#include "devices/irqchip/local_apic.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kMsiAddress = 0xfee00000, kMsiAddressMask = ~std::uint64_t{0xfffff};
constexpr std::uint64_t kMsiLogical = 1U << 2, kMsiRedirection = 1U << 3;
constexpr std::uint32_t kMsiAssert = 1U << 14, kMsiLevel = 1U << 15;

}  // namespace

/// All the CPUs addressed, or the one of them that is least busy.
template <class Addressed>
bool ApicBus::deliver_to(const InterruptMessage& message, Addressed addressed) {
  if (!message.lowest_priority) {
    bool accepted = false;
    for (LocalApic* apic : apics_)
      if (addressed(*apic)) accepted |= apic->accept(message);
    return accepted;
  }
  LocalApic* best = nullptr;
  const auto count = static_cast<unsigned>(apics_.size());
  const unsigned first = next_candidate_.fetch_add(1, std::memory_order_relaxed);
  for (unsigned i = 0; i < count; ++i) {
    LocalApic& apic = *apics_[(first + i) % count];
    if (!addressed(apic) || !apic.takes_vectors()) continue;
    if (!best || apic.processor_priority() < best->processor_priority()) best = &apic;
  }
  return best && best->accept(message);
}

bool ApicBus::deliver(const InterruptMessage& message) {
  return deliver_to(message, [&](const LocalApic& apic) { return apic.is_addressed_by(message); });
}

void ApicBus::send_msi(std::uint64_t address, std::uint32_t data) {
  if ((address & kMsiAddressMask) != kMsiAddress) return;
  if ((data & kMsiLevel) && !(data & kMsiAssert)) return;  // the end of a level: nothing to do
  const auto destination = static_cast<std::uint32_t>(address >> 12 & 0xff);
  const auto mode = static_cast<DeliveryMode>(data >> 8 & 7);
  const bool logical = address & kMsiLogical;
  deliver(
      {.destination = destination,
       .logical = logical,
       .broadcast = destination == 0xff,
       .mode = mode,
       .lowest_priority = mode == DeliveryMode::kLowestPriority ||
                          (mode == DeliveryMode::kFixed && logical && (address & kMsiRedirection)),
       .level_triggered = (data & kMsiLevel) != 0,
       .vector = static_cast<std::uint8_t>(data)});
}

void ApicBus::send_ipi(LocalApic& sender, const Ipi& ipi) {
  switch (ipi.shorthand) {
    case Ipi::Shorthand::kNone:
      deliver(ipi.message);
      break;
    case Ipi::Shorthand::kSelf:
      sender.accept(ipi.message);
      break;
    case Ipi::Shorthand::kAll:
      deliver_to(ipi.message, [](const LocalApic&) { return true; });
      break;
    case Ipi::Shorthand::kAllButSelf:
      deliver_to(ipi.message, [&](const LocalApic& apic) { return &apic != &sender; });
      break;
  }
}

void ApicBus::broadcast_eoi(std::uint8_t vector) {
  for (EoiListener* listener : eoi_listeners_) listener->eoi(vector);
}

std::optional<std::uint8_t> ApicBus::acknowledge_ext_int() {
  return ext_int_source_ ? ext_int_source_->acknowledge() : std::nullopt;
}

}  // namespace vireo::devices
