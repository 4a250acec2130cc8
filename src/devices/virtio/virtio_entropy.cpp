#include "devices/virtio/virtio_entropy.h"

#include <algorithm>
#include <array>

namespace vireo::devices::virtio {

void VirtioEntropy::read_config(std::uint64_t, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0});
}

void VirtioEntropy::serve(Virtqueue& queue) {
  std::array<std::byte, kMostBytes> bytes{};
  queue.serve([&](Chain& chain) {
    const auto size = std::min<std::uint64_t>(chain.writable_bytes(), bytes.size());
    if (size == 0) return queue.refuse({"a request for no random bytes"});
    const auto random = std::span(bytes).first(size);
    source_(random);
    if (!copy_to(memory_, chain.writable(), 0, random))
      return queue.refuse({"a buffer for random bytes outside memory"});
    queue.give_back(chain, static_cast<std::uint32_t>(size));
  });
}

}  // namespace vireo::devices::virtio
