// Any driver for a virtio disk on PCI: registers, configuration space, rings and buffers as the
// input has it. Whatever it does, the disk stays within its bounds and guest memory within its own,
// and a reset brings the device back.
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "base/assert.h"
#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "devices/virtio/fake_disk.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_pci.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using devices::virtio::VirtioPci;
namespace descriptor = devices::virtio::descriptor;

constexpr std::uint64_t kMemory = 0x40000, kRing = 0x1000, kData = 0x10000;
constexpr std::uint32_t kModern = 0xe0000000, kMsix = 0xe1000000;
constexpr std::uint16_t kLegacy = 0xc000;

struct Sink final : bus::MsiSink {
  void send_msi(std::uint64_t, std::uint32_t) override {}
};
struct Pirqs final : bus::PirqSink {
  void set_pirq(unsigned, bool) override {}
};

class World {
 public:
  explicit World(FuzzInput input)
      : input_(input),
        memory_(std::move(*memory::GuestMemory::create(
            {{PhysAddr{0}, kMemory, memory::RegionKind::kRam, "ram"}}))) {
    VIREO_ASSERT(pci_.add(3, 0, card_));
    config(0x10, kLegacy);
    config(0x14, kMsix);
    config(0x20, kModern);
    config(0x04, 0x7);
    disk_.held = true;
  }
  ~World() { disk_.run(); }

  void run() {
    // Mostly a driver that knows the order of things, so that the input gets far.
    if ((take<std::uint8_t>() & 7) != 0) set_up();
    while (!input_.rest().empty()) step();
    finish();
    poke<std::uint8_t>(kModern + 20, 0);
    VIREO_ASSERT(card_.device().status() == 0);
  }

 private:
  template <class T>
  T take() {
    return input_.take<T>();
  }
  template <class T>
  void poke(std::uint64_t address, T value) {
    std::array<std::byte, sizeof(T)> data{};
    bus::from_number(data, value);
    mmio_.write(address, data);
  }
  void config(std::uint32_t offset, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    pci_.config_write(3 << 11 | (offset & 0xfc), data);
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    memory_->write_value(PhysAddr{address % kMemory}, value);
  }

  void set_up() {
    const auto choice = take<std::uint8_t>();
    packed_ = (choice & 1) != 0;
    poke<std::uint8_t>(kModern + 20, 3);
    poke<std::uint32_t>(kModern + 8, 0);
    poke<std::uint32_t>(kModern + 12, (choice & 2) != 0 ? 0x30006244u : 0x10006244u);
    poke<std::uint32_t>(kModern + 8, 1);
    poke<std::uint32_t>(kModern + 12, packed_ ? 5 : 1);
    poke<std::uint8_t>(kModern + 20, 0xb);
    size_ = static_cast<std::uint16_t>(16 << (choice >> 2 & 3));
    poke<std::uint16_t>(kModern + 22, 0);
    poke<std::uint16_t>(kModern + 24, size_);
    poke<std::uint64_t>(kModern + 32, kRing);
    poke<std::uint64_t>(kModern + 40, kRing + 0x1000);
    poke<std::uint64_t>(kModern + 48, kRing + 0x2000);
    poke<std::uint16_t>(kModern + 28, 1);
    poke<std::uint8_t>(kModern + 20, 0xf);
  }

  /// After a mistake the driver begins anew, or the rest of the input would do nothing.
  void start_again() {
    disk_.run();
    poke<std::uint8_t>(kModern + 20, 0);
    for (std::uint64_t at = kRing; at < kRing + 0x3000; at += 8) put(at, std::uint64_t{0});
    at_ = 0;
    head_ = available_ = 0;
    set_up();
  }

  void step() {
    if ((card_.device().status() & devices::virtio::status::kNeedsReset) != 0) start_again();
    switch (take<std::uint8_t>() % 16) {
      case 0:
        return access(mmio_, kModern + take<std::uint16_t>() % VirtioPci::kModernSize);
      case 1:
        return access(mmio_, kMsix + take<std::uint16_t>() % 0x1000);
      case 2:
        return access(pio_, kLegacy + take<std::uint8_t>() % VirtioPci::kLegacySize);
      case 3: {
        const auto offset = take<std::uint8_t>();
        // The windows stay: what is put elsewhere would only be out of reach.
        disk_.run();
        if (offset >= 0x40) config(offset, take<std::uint32_t>());
        return;
      }
      case 4:
        return access(mmio_, kModern + VirtioPci::kCommon + take<std::uint8_t>() % 64);
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
    const auto how = take<std::uint8_t>();
    std::array<std::byte, 8> data{};
    const auto part = std::span(data).first(std::size_t{1} << (how & 3));
    if ((how & 4) != 0) return map.read(address, part);
    bus::from_number(data, take<std::uint64_t>());
    // A reset waits for the disk, which waits for us.
    disk_.run();
    map.write(address, part);
  }

  /// A request whose parts may be anything, and mostly make sense.
  void offer() {
    const auto type = take<std::uint8_t>();
    const std::uint64_t header = kData + (at_ % 64) * 16;
    put(header, std::uint32_t{type} % 14);
    put(header + 8, std::uint64_t{take<std::uint16_t>()} % 256);
    describe(header, 16, false, true);
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
      describe(odd ? kMemory - 4 : address, length, (type % 14 == 0) != odd, !ends,
               ends ? descriptor::kIndirect : std::uint16_t{0});
    }
    if (!ends) describe(kData + 0x800, 1, true, false);
    if (!packed_) {
      put(kRing + 0x1004 + 2 * (available_ % size_), head_);
      put(kRing + 0x1002, ++available_);
    }
    head_ = static_cast<std::uint16_t>(at_ % size_);
    poke<std::uint16_t>(kModern + VirtioPci::kNotify, 0);
    const auto then = take<std::uint8_t>();
    if ((then & 0x1f) != 0) run_tasks();
    if ((then & 0x60) != 0) disk_.run((then & 0x80) != 0);
  }

  void describe(std::uint64_t address, std::uint32_t length, bool write, bool next,
                std::uint16_t more = 0) {
    const std::uint64_t slot = kRing + 16 * (at_ % size_);
    const bool wrap = at_ / size_ % 2 == 0;
    ++at_;
    unsigned flags = (write ? descriptor::kWrite : 0u) | (next ? descriptor::kNext : 0u) | more;
    put(slot, address);
    put(slot + 8, length);
    if (packed_) {
      flags |= wrap ? descriptor::kAvailable : descriptor::kUsed;
      put(slot + 12, static_cast<std::uint16_t>(at_));
      put(slot + 14, static_cast<std::uint16_t>(flags));
    } else {
      put(slot + 12, static_cast<std::uint16_t>(flags));
      put(slot + 14, static_cast<std::uint16_t>(at_ % size_));
    }
  }

  void run_tasks() {
    std::vector<std::function<void()>> tasks;
    tasks.swap(tasks_);
    for (const auto& task : tasks) task();
  }
  void finish() {
    run_tasks();
    disk_.run();
  }

  FuzzInput input_;
  std::unique_ptr<memory::GuestMemory> memory_;
  bus::AddressMap mmio_, pio_;
  Sink sink_;
  Pirqs pirqs_;
  bus::PciBus pci_{mmio_, pio_, pirqs_};
  devices::virtio::FakeDisk disk_{128 * 512};
  devices::virtio::VirtioBlock model_{disk_, *memory_, {3, "fuzz"}};
  std::vector<std::function<void()>> tasks_;
  VirtioPci card_{model_, *memory_, sink_,
                  [this](std::function<void()> task) { tasks_.push_back(std::move(task)); }};
  bool packed_ = false;
  std::uint16_t size_ = 16, head_ = 0, available_ = 0;
  std::uint64_t at_ = 0;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
