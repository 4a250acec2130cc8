// Any driver for a virtio balloon: lists of pages, reports, statistics and registers as the input
// has them. Memory stays memory, and nothing else is given away.
#include "base/assert.h"
#include "devices/virtio/virtio_balloon.h"
#include "fuzz/mmio_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

using devices::virtio::VirtioBalloon;

class World : private VirtioFuzzWorld {
 public:
  explicit World(FuzzInput input) : VirtioFuzzWorld(input) {}

  void run() {
    driver_.start();
    run_tasks();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    model_.request_statistics();
    VIREO_ASSERT(model_.actual_bytes() == 0);
    VIREO_ASSERT(memory_->resident_bytes() <= kMemory);
    std::uint64_t word = 0;
    for (std::uint64_t at = 0; at < kMemory; at += 4096) {
      driver_.put(at, at + 1);
      VIREO_ASSERT(memory_->read_value(PhysAddr{at}, word) && word == at + 1);
    }
  }

 private:
  void step() {
    driver_.start_again_if_needed();
    const auto choice = take<std::uint8_t>();
    std::uint64_t address = MmioDriver::kData + take<std::uint16_t>();
    std::uint32_t length = 4u * take<std::uint8_t>();
    if (choice >= 250) address = take<std::uint64_t>();
    if (choice >= 246) length = take<std::uint32_t>();
    switch (choice % 6) {
      case 0:
        for (unsigned i = 0; i < 4; ++i)
          driver_.put(MmioDriver::kData + 4 * i,
                      take<std::uint32_t>() % (choice < 128 ? 256 : ~0u));
        driver_.offer(0, MmioDriver::kData, 16, false);
        break;
      case 1:
        driver_.offer(take<std::uint8_t>() % driver_.queues(), address, length, false);
        break;
      case 2:
        driver_.offer(3, address & ~0xfffull, length << 8, true);
        break;
      case 3:
        driver_.offer(take<std::uint8_t>() % driver_.queues(), address, length, true);
        break;
      case 4:
        driver_.poke(0x100 + take<std::uint8_t>() % 12, take<std::uint32_t>());
        break;
      default:
        model_.request_statistics();
        model_.set_wanted(take<std::uint32_t>());
        break;
    }
    if (take<std::uint8_t>() % 4 != 0) run_tasks();
  }

  VirtioBalloon model_{*memory_, 0};
  MmioDriver driver_{model_, *memory_, post()};
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
