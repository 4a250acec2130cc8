#include "x86/delivery/task_state_segment.h"

#include "x86/delivery/descriptor.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kIoMapBase = 102;  // offset of the field
constexpr std::uint32_t kRsp0 = 4, kIst1 = 36;
constexpr std::uint32_t kRedirectionBytes = 32;

template <class T>
OrFault<T> read_field(const CpuState& state, CpuPort& port, std::uint32_t offset) {
  return port.read<T>(table_address(state, state.tr.base, offset), Privilege::kSupervisor);
}

bool inside(const CpuState& state, std::uint32_t offset, std::uint32_t size) {
  return std::uint64_t{offset} + size - 1 <= state.tr.limit;
}

OrFault<std::uint64_t> read_stack64(const CpuState& state, CpuPort& port, std::uint32_t offset,
                                    bool external) {
  if (!inside(state, offset, 8))
    return fault(Vector::kTS, selector_error(state.tr.selector, external));
  return read_field<std::uint64_t>(state, port, offset);
}

bool has_io_map(const CpuState& state) {
  return state.tr.usable() && (state.tr.type() & 8) != 0 && inside(state, kIoMapBase, 2);
}

}  // namespace

OrFault<StackPointer> read_inner_stack(const CpuState& state, CpuPort& port, unsigned cpl,
                                       bool external) {
  const bool wide = (state.tr.type() & 8) != 0;
  const std::uint32_t offset = wide ? cpl * 8 + 4 : cpl * 4 + 2;
  if (!inside(state, offset, wide ? 6 : 4))
    return fault(Vector::kTS, selector_error(state.tr.selector, external));
  if (wide)
    return StackPointer{TRY(read_field<std::uint16_t>(state, port, offset + 4)),
                        TRY(read_field<std::uint32_t>(state, port, offset))};
  return StackPointer{TRY(read_field<std::uint16_t>(state, port, offset + 2)),
                      TRY(read_field<std::uint16_t>(state, port, offset))};
}

OrFault<std::uint64_t> read_inner_stack64(const CpuState& state, CpuPort& port, unsigned cpl,
                                          bool external) {
  return read_stack64(state, port, kRsp0 + cpl * 8, external);
}

OrFault<std::uint64_t> read_interrupt_stack(const CpuState& state, CpuPort& port, unsigned ist,
                                            bool external) {
  return read_stack64(state, port, kIst1 + (ist - 1) * 8, external);
}

OrFault<bool> read_redirection_bit(const CpuState& state, CpuPort& port, std::uint8_t vector) {
  if (!has_io_map(state)) return general_protection();
  const std::uint32_t map = TRY(read_field<std::uint16_t>(state, port, kIoMapBase));
  if (map < kRedirectionBytes) return general_protection();
  const std::uint32_t offset = map - kRedirectionBytes + vector / 8u;
  if (!inside(state, offset, 1)) return general_protection();
  const auto byte = TRY(read_field<std::uint8_t>(state, port, offset));
  return (byte >> (vector & 7) & 1) != 0;
}

OrFault<bool> io_bitmap_allows(const CpuState& state, CpuPort& port, std::uint16_t io_port,
                               unsigned width) {
  if (!has_io_map(state)) return false;
  const std::uint32_t map = TRY(read_field<std::uint16_t>(state, port, kIoMapBase));
  // Two bytes are read even if the bits are in one: hence the byte of ones behind the bitmap.
  const std::uint32_t offset = map + io_port / 8u;
  if (!inside(state, offset, 2)) return false;
  const unsigned bits = TRY(read_field<std::uint16_t>(state, port, offset));
  return (bits >> (io_port & 7) & ((1u << width) - 1)) == 0;
}

}  // namespace vireo::x86
