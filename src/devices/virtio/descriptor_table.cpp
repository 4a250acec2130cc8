#include "devices/virtio/descriptor_table.h"

namespace vireo::devices::virtio {

OrDriverError<> add_indirect(const RingMemory& memory, const Descriptor& table, Layout layout,
                             Chain& chain) {
  const std::uint64_t count = table.length / descriptor::kBytes;
  if (count == 0 || table.length % descriptor::kBytes != 0)
    return driver_error("an indirect table of no whole number of descriptors");
  // In a packed table the descriptors follow one another, in a split one they are linked; a loop
  // shows by more steps than there are descriptors, or by too many buffers.
  std::uint64_t at = 0;
  for (std::uint64_t steps = 0; steps < count; ++steps) {
    const Descriptor one = TRY(read_descriptor(memory, table.address, at, layout));
    if (one.has(descriptor::kIndirect)) return driver_error("an indirect table in another");
    TRY(chain.add(one.buffer(), one.has(descriptor::kWrite)));
    if (layout == Layout::kPacked) {
      ++at;
      continue;
    }
    if (!one.has(descriptor::kNext)) return {};
    if (one.next >= count) return driver_error("a link out of its indirect table");
    at = one.next;
  }
  if (layout == Layout::kSplit) return driver_error("a loop in an indirect table");
  return {};
}

}  // namespace vireo::devices::virtio
