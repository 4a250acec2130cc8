#include "x86/delivery/descriptor.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kTypeByte = 5;  // of a descriptor: type, S, DPL, P
constexpr unsigned kTypeShift = kTypeByte * 8;

struct Table {
  std::uint64_t base = 0;
  std::uint32_t limit = 0;
  bool usable = true;
};

Table table_of(const CpuState& state, std::uint16_t selector) {
  if (selector & 4) return {state.ldtr.base, state.ldtr.limit, state.ldtr.usable()};
  return {state.gdtr.base, state.gdtr.limit, true};
}

OrFault<bool> exchange_type(CpuPort& port, LinearAddr descriptor, std::uint8_t& expected,
                            std::uint8_t desired) {
  return port.compare_exchange(descriptor + kTypeByte,
                               std::as_writable_bytes(std::span(&expected, 1)),
                               std::as_bytes(std::span(&desired, 1)), Privilege::kSupervisor);
}

}  // namespace

std::uint32_t Descriptor::limit() const {
  const std::uint32_t raw = static_cast<std::uint32_t>((low & 0xffff) | (low >> 32 & 0xf0000));
  return (low >> 55 & 1) ? raw << 12 | 0xfff : raw;
}

Segment Descriptor::segment(std::uint16_t selector) const {
  Segment result;
  result.selector = selector;
  result.access = static_cast<std::uint32_t>(low >> 40) & 0xf0ff;
  result.limit = limit();
  result.base = (low >> 16 & 0xffffff) | (low >> 32 & 0xff000000);
  if (system()) result.base |= high << 32;
  return result;
}

std::uint64_t encode_segment(const Segment& segment) {
  const bool granular = (segment.access & Segment::kGranular) != 0;
  const std::uint64_t limit = granular ? segment.limit >> 12 : segment.limit;
  return (limit & 0xffff) | (segment.base & 0xffffff) << 16 |
         (std::uint64_t{segment.access} & 0xf0ff) << 40 | (limit & 0xf0000) << 32 |
         (segment.base & 0xff000000) << 32;
}

OrFault<Descriptor> read_descriptor(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                    Raise raise) {
  const Table table = table_of(state, selector);
  const std::uint32_t offset = selector & 0xfff8u;
  if (!table.usable || offset + 7 > table.limit) return raise.at(selector);
  Descriptor descriptor;
  descriptor.address = table_address(state, table.base, offset);
  descriptor.low =
      TRY(port.template read<std::uint64_t>(descriptor.address, Privilege::kSupervisor));
  return descriptor;
}

OrFault<Descriptor> read_wide_descriptor(const CpuState& state, CpuPort& port,
                                         std::uint16_t selector, Raise raise) {
  Descriptor descriptor = TRY(read_descriptor(state, port, selector, raise));
  if (!state.long_mode() || !descriptor.system()) return descriptor;
  if ((selector & 0xfff8u) + 15 > table_of(state, selector).limit) return raise.at(selector);
  descriptor.high =
      TRY(port.template read<std::uint64_t>(descriptor.address + 8, Privilege::kSupervisor));
  if (descriptor.high >> 40 & 0x1f) return raise.at(selector);
  return descriptor;
}

OrFault<> mark_accessed(CpuPort& port, Descriptor& descriptor) {
  auto type = static_cast<std::uint8_t>(descriptor.low >> kTypeShift);
  while ((type & Segment::kAccessed) == 0) {
    const auto desired = static_cast<std::uint8_t>(type | Segment::kAccessed);
    if (TRY(exchange_type(port, descriptor.address, type, desired))) break;
  }
  descriptor.low |= std::uint64_t{Segment::kAccessed} << kTypeShift;
  return Unit{};
}

OrFault<bool> mark_busy(CpuPort& port, Descriptor& descriptor) {
  auto expected = static_cast<std::uint8_t>(descriptor.low >> kTypeShift);
  const auto busy = static_cast<std::uint8_t>(expected | kBusy);
  if (!TRY(exchange_type(port, descriptor.address, expected, busy))) return false;
  descriptor.low |= std::uint64_t{kBusy} << kTypeShift;
  return true;
}

OrFault<> clear_busy(CpuPort& port, LinearAddr address) {
  auto type = TRY(port.template read<std::uint8_t>(address + kTypeByte, Privilege::kSupervisor));
  while (type & kBusy) {
    const auto desired = static_cast<std::uint8_t>(type & ~kBusy);
    if (TRY(exchange_type(port, address, type, desired))) break;
  }
  return Unit{};
}

LinearAddr gdt_address(const CpuState& state, std::uint16_t selector) {
  return table_address(state, state.gdtr.base, selector & 0xfff8u);
}

}  // namespace vireo::x86
