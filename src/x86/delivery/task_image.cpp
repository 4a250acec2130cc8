#include "x86/delivery/task_image.h"

#include <algorithm>
#include <cstring>

#include "x86/delivery/descriptor.h"

namespace vireo::x86 {
namespace {

using Bytes = std::array<std::byte, 0x68>;  // a 32-bit TSS without its bitmaps

template <class T>
T get(const Bytes& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, &bytes[offset], sizeof(T));
  return value;
}

template <class T>
void put(Bytes& bytes, std::size_t offset, std::uint64_t value) {
  const T narrow = static_cast<T>(value);
  std::memcpy(&bytes[offset], &narrow, sizeof(T));
}

/// Where things are; fields of a 16-bit TSS are 2 bytes wide, of a 32-bit one 4.
struct Layout {
  std::size_t eip, eflags, gpr, selectors, selector_count, step;
};
constexpr Layout kWide{0x20, 0x24, 0x28, 0x48, 6, 4};
constexpr Layout kNarrow{0x0e, 0x10, 0x12, 0x22, 4, 2};

template <class T>
void decode(const Bytes& bytes, const Layout& layout, TaskImage& task) {
  task.eip = get<T>(bytes, layout.eip);
  task.eflags = get<T>(bytes, layout.eflags);
  for (std::size_t i = 0; i < 8; ++i) task.gpr[i] = get<T>(bytes, layout.gpr + i * layout.step);
  for (std::size_t i = 0; i < layout.selector_count; ++i)
    task.selector[i] = get<std::uint16_t>(bytes, layout.selectors + i * layout.step);
}

template <class T>
void encode(const CpuState& state, std::uint64_t flags, const Layout& layout, Bytes& bytes) {
  put<T>(bytes, layout.eip, state.rip);
  put<T>(bytes, layout.eflags, flags);
  for (std::size_t i = 0; i < 8; ++i) put<T>(bytes, layout.gpr + i * layout.step, state.gpr[i]);
  for (std::size_t i = 0; i < layout.selector_count; ++i)
    put<T>(bytes, layout.selectors + i * layout.step, state.segment[i].selector);
}

}  // namespace

OrFault<TaskImage> read_task(const CpuState& state, CpuPort& port, std::uint64_t base, bool wide) {
  Bytes bytes{};
  const std::size_t size = minimum_tss_limit(wide) + 1;
  for (std::size_t at = 0; at < size; at += 64) {
    const auto part = std::span(bytes).subspan(at, std::min<std::size_t>(64, size - at));
    TRY(port.read(table_address(state, base, at), part, Privilege::kSupervisor));
  }
  TaskImage task;
  task.link = get<std::uint16_t>(bytes, 0);
  if (wide) {
    decode<std::uint32_t>(bytes, kWide, task);
    task.cr3 = get<std::uint32_t>(bytes, 0x1c);
    task.ldt = get<std::uint16_t>(bytes, 0x60);
    task.trap = (get<std::uint16_t>(bytes, 0x64) & 1) != 0;
  } else {
    decode<std::uint16_t>(bytes, kNarrow, task);
    task.ldt = get<std::uint16_t>(bytes, 0x2a);
  }
  return task;
}

OrFault<> save_task(const CpuState& state, CpuPort& port, std::uint64_t flags) {
  Bytes bytes{};
  const bool wide = (state.tr.type() & 8) != 0;
  if (wide)
    encode<std::uint32_t>(state, flags, kWide, bytes);
  else
    encode<std::uint16_t>(state, flags, kNarrow, bytes);
  const SavedRange range = saved_range(wide);
  return port.write(table_address(state, state.tr.base, range.offset),
                    std::span(bytes).subspan(range.offset, range.size), Privilege::kSupervisor);
}

}  // namespace vireo::x86
