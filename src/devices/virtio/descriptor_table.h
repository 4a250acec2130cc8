#pragma once
#include <cstdint>

#include "devices/virtio/chain.h"
#include "devices/virtio/ring_memory.h"
#include "devices/virtio/virtio_bits.h"

namespace vireo::devices::virtio {

/// A descriptor, copied. The last two members of a split one; of a packed one they change places.
struct Descriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;  ///< packed: the buffer's id

  bool has(std::uint16_t flag) const { return (flags & flag) != 0; }
  Buffer buffer() const { return {PhysAddr{address}, length}; }
};

enum class Layout : std::uint8_t { kSplit, kPacked };

/// The descriptor with this number in the table at `table`, each word read once.
inline OrDriverError<Descriptor> read_descriptor(const RingMemory& memory, std::uint64_t table,
                                                 std::uint64_t number, Layout layout) {
  const std::uint64_t at = table + number * descriptor::kBytes;
  const unsigned swapped = layout == Layout::kPacked ? 2 : 0;
  Descriptor result;
  result.flags = TRY(memory.load<std::uint16_t>(at + 12 + swapped));
  result.next = TRY(memory.load<std::uint16_t>(at + 14 - swapped));
  result.address = TRY(memory.load<std::uint64_t>(at));
  result.length = TRY(memory.load<std::uint32_t>(at + 8));
  return result;
}

/// Adds what an indirect table describes. 2.7.5.3, 2.8.7.
OrDriverError<> add_indirect(const RingMemory& memory, const Descriptor& table, Layout layout,
                             Chain& chain);

}  // namespace vireo::devices::virtio
