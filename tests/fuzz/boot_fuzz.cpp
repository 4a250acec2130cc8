// Any file as a kernel: the loaders take it or say why not, and never write outside guest memory.
#include <algorithm>
#include <initializer_list>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "fuzz/fuzz_input.h"
#include "machine/boot/boot_image.h"
#include "machine/boot/loader.h"
#include "machine/memory_layout.h"

namespace vireo::test {
namespace {

using namespace vireo::machine;

constexpr std::uint64_t kMemory = 16u << 20;

memory::GuestMemory& guest_memory() {
  static const auto memory = memory::GuestMemory::create(ram_regions(kMemory));
  VIREO_ASSERT(memory);
  return **memory;
}

/// Plants what makes a file be taken for a kernel, so that the loaders see the rest.
std::vector<std::uint8_t> disguise(FuzzInput input) {
  const auto kind = input.take<std::uint8_t>();
  std::vector<std::uint8_t> file(input.rest().begin(), input.rest().end());
  const auto plant = [&file](std::size_t offset, std::initializer_list<std::uint8_t> bytes) {
    if (file.size() >= offset + bytes.size())
      std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  if (kind % 4 == 1) {
    plant(0x1fe, {0x55, 0xaa});
    plant(0x202, {'H', 'd', 'r', 'S', static_cast<std::uint8_t>(kind >> 4), 2});
  } else if (kind % 4 == 2) {
    const auto wide = static_cast<std::uint8_t>(1 + (kind >> 7));
    plant(0, {0x7f, 'E', 'L', 'F', wide, 1, 1});
    plant(16, {2, 0, static_cast<std::uint8_t>(wide == 2 ? 62 : 3), 0});
    plant(wide == 2 ? 54 : 42, {static_cast<std::uint8_t>(wide == 2 ? 56 : 32), 0, 3, 0});
    plant(wide == 2 ? 32 : 28, {64, 0, 0, 0});
  } else if (kind % 4 == 3) {
    const auto addresses = static_cast<std::uint8_t>(kind >> 7);  // flag 16: load by the header
    plant(0, {0x02, 0xb0, 0xad, 0x1b, 0, 0, addresses, 0});
    plant(8, {0xfe, 0x4f, static_cast<std::uint8_t>(0x52 - addresses), 0xe4});
  }
  return file;
}

void load(std::span<const std::uint8_t> bytes) {
  const std::vector<std::uint8_t> file = disguise(FuzzInput(bytes));
  const auto kernel = std::as_bytes(std::span(file));
  const auto kind = classify_kernel(kernel);
  if (!kind) {
    VIREO_ASSERT(!kind.error().message.empty());
    return;
  }
  BootImage image{*kind, "kernel", {kernel.begin(), kernel.end()}, "console=ttyS0", {}};
  image.modules.push_back({"initrd", std::vector<std::byte>(5000, std::byte{0x5a})});
  static const auto map = memory_map(kMemory);
  const auto state = load_kernel(image, {guest_memory(), map, 0xe0000, {}});
  if (!state) VIREO_ASSERT(!state.error().message.empty());
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::load({data, size});
  return 0;
}
