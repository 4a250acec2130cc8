// Any driver for a virtio console with channels, and whatever is typed: messages about ports,
// buffers and bytes as the input has them. The device survives it, and a reset ends it.
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "backends/character/memory_backend.h"
#include "devices/virtio/virtio_console.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/mmio_driver.h"

namespace vireo::test {
namespace {

namespace console = devices::virtio::console;
using devices::virtio::VirtioConsole;

class World {
 public:
  explicit World(FuzzInput input) : input_(input) {}

  void run() {
    driver_.start();
    run_tasks();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    run_tasks();
  }

 private:
  template <class T>
  T take() {
    return input_.take<T>();
  }
  void run_tasks() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
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

  FuzzInput input_;
  std::unique_ptr<memory::GuestMemory> memory_ = MmioDriver::make_memory();
  std::array<backends::MemoryBackend, 3> ports_;
  VirtioConsole model_{&ports_[0], {{&ports_[1], "first"}, {&ports_[2], "second"}}, *memory_};
  std::deque<std::function<void()>> tasks_;
  MmioDriver driver_{model_, *memory_,
                     [this](std::function<void()> task) { tasks_.push_back(std::move(task)); }};
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
