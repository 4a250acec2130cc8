// Any driver for a virtio console with channels, and whatever is typed: messages about ports,
// buffers and bytes as the input has them. The device survives it, and a reset ends it.
#include <array>
#include <string>

#include "backends/character/memory_backend.h"
#include "devices/virtio/virtio_console.h"
#include "fuzz/mmio_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

namespace console = devices::virtio::console;
using devices::virtio::VirtioConsole;

class World : private VirtioFuzzWorld {
 public:
  explicit World(FuzzInput input) : VirtioFuzzWorld(input) {}

  void run() {
    driver_.start();
    run_tasks();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    run_tasks();
  }

 private:
  void step() {
    driver_.start_again_if_needed();
    const auto choice = take<std::uint8_t>();
    std::uint64_t address = MmioDriver::kData + take<std::uint16_t>();
    std::uint32_t length = 1 + take<std::uint8_t>();
    if (choice >= 250) address = take<std::uint32_t>();
    if (choice >= 246) length = take<std::uint32_t>() % 0x20000;
    switch (choice % 4) {
      case 0: {
        const console::Control message{take<std::uint8_t>() % 4u,
                                       static_cast<console::Event>(take<std::uint8_t>() % 9),
                                       static_cast<std::uint16_t>(take<std::uint8_t>() % 2)};
        driver_.put(MmioDriver::kData, message);
        driver_.offer(console::kControlTransmit, MmioDriver::kData, sizeof(message), false);
        break;
      }
      case 1:
        driver_.offer(take<std::uint8_t>() % driver_.queues(), address, length, true);
        break;
      case 2:
        driver_.offer(take<std::uint8_t>() % driver_.queues(), address, length, false);
        break;
      default: {
        backends::MemoryBackend& port = ports_.at(take<std::uint8_t>() % ports_.size());
        if (port.undelivered() < 4096) port.send(std::string(length % 512, 'x'));
        break;
      }
    }
    if (take<std::uint8_t>() % 4 != 0) run_tasks();
    for (auto& port : ports_) port.on_readable();
  }

  std::array<backends::MemoryBackend, 3> ports_;
  VirtioConsole model_{&ports_[0], {{&ports_[1], "first"}, {&ports_[2], "second"}}, *memory_};
  MmioDriver driver_{model_, *memory_, post()};
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
