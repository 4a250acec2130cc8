// Any driver for a virtio source of random numbers: buffers and registers as the input has them. No
// byte outside the buffers is written.
#include <algorithm>

#include "base/assert.h"
#include "devices/virtio/virtio_entropy.h"
#include "fuzz/pci_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

class World : private VirtioFuzzWorld {
 public:
  explicit World(FuzzInput input) : VirtioFuzzWorld(input) {}

  void run() {
    start();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    std::array<std::byte, 4096> page{};
    for (std::uint64_t at = kBufferEnd; at < kMemory; at += page.size()) {
      VIREO_ASSERT(memory_->read(PhysAddr{at}, page));
      VIREO_ASSERT(std::ranges::count(page, std::byte{0xab}) == 0);
    }
  }

 private:
  static constexpr std::uint64_t kBufferEnd = PciDriver::kData + 0x20000;

  void start() {
    const auto choice = take<std::uint8_t>();
    driver_.start(0x30000000, (choice & 1) != 0,
                  static_cast<std::uint16_t>(16 << (choice >> 2 & 3)));
  }
  void step() {
    if (driver_.needs_reset()) {
      driver_.reset();
      start();
    }
    const auto choice = take<std::uint8_t>();
    if (choice % 8 == 0)
      return driver_.access(driver_.mmio(),
                            PciDriver::kModern + 64 * 64 + take<std::uint16_t>() % 0x3000, input_);
    const unsigned parts = 1 + choice % 3;
    for (unsigned i = 0; i < parts; ++i) {
      const std::uint64_t address = PciDriver::kData + take<std::uint16_t>();
      const auto length = take<std::uint16_t>();
      const bool outside = choice == 255;
      driver_.describe(0, outside ? take<std::uint64_t>() | kMemory : address, length,
                       choice != 254, i + 1 < parts);
    }
    driver_.make_available(0);
    if (take<std::uint8_t>() % 4 != 0) run_tasks();
  }

  devices::virtio::VirtioEntropy model_{
      *memory_, [](std::span<std::byte> bytes) { std::ranges::fill(bytes, std::byte{0xab}); }};
  PciDriver driver_{model_, *memory_, post()};
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
