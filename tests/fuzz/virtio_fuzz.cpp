// Any driver for a virtio disk on PCI: registers, configuration space, rings and buffers as the
// input has it. Whatever it does, the disk stays within its bounds and guest memory within its own,
// and a reset brings the device back.
#include "base/assert.h"
#include "devices/virtio/fake_disk.h"
#include "devices/virtio/virtio_block.h"
#include "fuzz/pci_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

namespace descriptor = devices::virtio::descriptor;
using devices::virtio::VirtioPci;

constexpr std::uint64_t kData = PciDriver::kData;
constexpr std::uint32_t kModern = PciDriver::kModern;

class World : private VirtioFuzzWorld {
 public:
  explicit World(FuzzInput input) : VirtioFuzzWorld(input) { disk_.held = true; }
  ~World() { disk_.run(); }

  void run() {
    // Mostly a driver that knows the order of things, so that the input gets far.
    if ((take<std::uint8_t>() & 7) != 0) set_up();
    while (!input_.rest().empty()) step();
    finish();
    driver_.reset();
  }

 private:
  template <class T>
  void put(std::uint64_t address, T value) {
    driver_.put(address % kMemory, value);
  }

  void set_up() {
    const auto choice = take<std::uint8_t>();
    driver_.start((choice & 2) != 0 ? 0x30006244u : 0x10006244u, (choice & 1) != 0,
                  static_cast<std::uint16_t>(16 << (choice >> 2 & 3)));
  }

  /// After a mistake the driver begins anew, or the rest of the input would do nothing.
  void start_again() {
    disk_.run();
    driver_.reset();
    set_up();
  }

  void step() {
    if (driver_.needs_reset()) start_again();
    switch (take<std::uint8_t>() % 16) {
      case 0:
        return access(driver_.mmio(), kModern + take<std::uint16_t>() % VirtioPci::kModernSize);
      case 1:
        return access(driver_.mmio(), PciDriver::kMsix + take<std::uint16_t>() % 0x1000);
      case 2:
        return access(driver_.pio(),
                      PciDriver::kLegacy + take<std::uint8_t>() % VirtioPci::kLegacySize);
      case 3: {
        const auto offset = take<std::uint8_t>();
        // The windows stay: what is put elsewhere would only be out of reach.
        disk_.run();
        if (offset >= 0x40) driver_.config(offset, take<std::uint32_t>());
        return;
      }
      case 4:
        return access(driver_.mmio(), kModern + VirtioPci::kCommon + take<std::uint8_t>() % 64);
      case 5:
        return run_tasks();
      case 6:
        if (take<std::uint8_t>() % 4 == 0) disk_.error = 5;
        return disk_.run((take<std::uint8_t>() & 1) != 0);
      case 7:
        return put(take<std::uint32_t>(), take<std::uint64_t>());
      default:
        return offer();
    }
  }

  void access(bus::AddressMap& map, std::uint64_t address) {
    // A reset waits for the disk, which waits for us.
    driver_.access(map, address, input_, [this] { disk_.run(); });
  }

  /// A request whose parts may be anything, and mostly make sense.
  void offer() {
    const auto type = take<std::uint8_t>();
    const std::uint64_t header = kData + driver_.described(0) % 64 * 16;
    put(header, std::uint32_t{type} % 14);
    put(header + 8, std::uint64_t{take<std::uint16_t>()} % 256);
    driver_.describe(0, header, 16, false, true);
    const unsigned buffers = take<std::uint8_t>() % 4;
    bool ends = false;
    for (unsigned i = 0; i < buffers && !ends; ++i) {
      const auto flags = take<std::uint8_t>();
      std::uint64_t address = kData + 0x1000 + take<std::uint16_t>();
      std::uint32_t length = 512u * ((flags & 7) + 1);
      if ((flags & 0xfc) == 0xfc) address = take<std::uint64_t>();
      if ((flags & 0xfc) == 0xec) length = take<std::uint32_t>();
      ends = (flags & 0xfc) == 0xdc;  // in an indirect table of whatever is there
      const bool odd = (flags & 0xfc) == 0xcc;
      driver_.describe(0, odd ? kMemory - 4 : address, length, (type % 14 == 0) != odd, !ends,
                       ends ? descriptor::kIndirect : std::uint16_t{0});
    }
    if (!ends) driver_.describe(0, kData + 0x800, 1, true, false);
    driver_.make_available(0);
    const auto then = take<std::uint8_t>();
    if ((then & 0x1f) != 0) run_tasks();
    if ((then & 0x60) != 0) disk_.run((then & 0x80) != 0);
  }

  void finish() {
    run_tasks();
    disk_.run();
  }

  devices::virtio::FakeDisk disk_{128 * 512};
  devices::virtio::VirtioBlock model_{disk_, *memory_, {3, "fuzz"}};
  PciDriver driver_{model_, *memory_, post()};
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
