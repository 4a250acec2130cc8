#pragma once
#include <cstdint>
#include <utility>

#include "devices/virtio/chain.h"
#include "devices/virtio/ring_memory.h"
#include "devices/virtio/virtio_bits.h"

namespace vireo::devices::virtio {

enum class Layout : std::uint8_t { kSplit, kPacked };

/// A descriptor, copied.
struct Descriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;  ///< packed: the buffer's id

  bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
  Buffer buffer() const { return {PhysAddr{address}, length}; }
};
static_assert(sizeof(Descriptor) == descriptor::kBytes);

/// The descriptor with this number in the table at `table`.
inline OrDriverError<Descriptor> read_descriptor(const RingMemory& memory, std::uint64_t table,
                                                 std::uint64_t number, Layout layout) {
  Descriptor result;  // as a split one lies in memory; a packed one ends with id, flags
  TRY(memory.read(table + number * descriptor::kBytes,
                  std::as_writable_bytes(std::span(&result, 1))));
  if (layout == Layout::kPacked) std::swap(result.flags, result.next);
  return result;
}

/// Adds what an indirect table describes. 2.7.5.3, 2.8.7.
OrDriverError<> add_indirect(const RingMemory& memory, const Descriptor& table, Layout layout,
                             Chain& chain);

}  // namespace vireo::devices::virtio
