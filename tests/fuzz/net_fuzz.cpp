// Any driver for a virtio network card on PCI, and any network behind it: registers, rings,
// buffers, headers and frames as the input has them. Whatever comes, what the network gets are
// sound frames, guest memory is written within its bounds, and a reset brings the card back.
#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "backends/network/offload.h"
#include "base/assert.h"
#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using backends::FrameHeader;
using devices::virtio::VirtioPci;
namespace descriptor = devices::virtio::descriptor;

constexpr std::uint64_t kMemory = 0x80000, kRings = 0x1000, kRingBytes = 0x3000, kData = 0x10000;
constexpr std::uint32_t kModern = 0xe0000000, kMsix = 0xe1000000;
constexpr std::uint16_t kLegacy = 0xc000;
constexpr unsigned kQueues = 5;

struct Sink final : bus::MsiSink {
  void send_msi(std::uint64_t, std::uint32_t) override {}
};
struct Pirqs final : bus::PirqSink {
  void set_pirq(unsigned, bool) override {}
};

/// Judges what it gets.
struct Network final : backends::NetworkBackend {
  std::string name() const override { return "fuzz"; }
  backends::TakenFrames takes() const override { return taken; }
  void start(backends::NetworkReader& with) override { reader = &with; }
  void stop() override {}
  bool send(const FrameHeader& header, std::span<const std::byte> frame) override {
    if (full) return false;
    VIREO_ASSERT(backends::sound(header, frame));
    if (taken != backends::TakenFrames::kUnfinished) {
      VIREO_ASSERT(header.segmentation == FrameHeader::kWhole);
      VIREO_ASSERT((header.flags & FrameHeader::kNeedsChecksum) == 0);
    }
    return true;
  }
  void resume() override { waiting.clear(); }

  backends::TakenFrames taken = backends::TakenFrames::kUnfinished;
  backends::NetworkReader* reader = nullptr;
  bool full = false;
  std::vector<std::byte> waiting;
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
  }

  void run() {
    network_.taken = static_cast<backends::TakenFrames>(take<std::uint8_t>() % 3);
    // Mostly a driver that knows the order of things, so that the input gets far.
    if ((take<std::uint8_t>() & 7) != 0) set_up();
    while (!input_.rest().empty()) step();
    run_tasks();
    poke<std::uint8_t>(kModern + 20, 0);
    VIREO_ASSERT(card_.device().status() == 0);
    VIREO_ASSERT(receive({}, std::vector<std::byte>(60)));
  }

 private:
  struct Queue {
    std::uint64_t at = 0;
    std::uint16_t head = 0, available = 0;
  };
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
  static std::uint64_t ring(unsigned queue) { return kRings + queue * kRingBytes; }

  void set_up() {
    const auto choice = take<std::uint8_t>();
    packed_ = (choice & 1) != 0;
    // All there is, less what the input does not want.
    const std::uint32_t offered = 0x30000000u | static_cast<std::uint32_t>(model_.features());
    const std::uint32_t unwanted = take<std::uint32_t>() & take<std::uint32_t>();
    poke<std::uint8_t>(kModern + 20, 3);
    poke<std::uint32_t>(kModern + 8, 0);
    poke<std::uint32_t>(kModern + 12, offered & ~unwanted);
    control_ = (offered & ~unwanted & devices::virtio::net::kMultiQueue) != 0 ? 4 : 2;
    poke<std::uint32_t>(kModern + 8, 1);
    poke<std::uint32_t>(kModern + 12, packed_ ? 5 : 1);
    poke<std::uint8_t>(kModern + 20, 0xb);
    size_ = static_cast<std::uint16_t>(16 << (choice >> 2 & 3));
    for (unsigned i = 0; i < kQueues; ++i) {
      poke(kModern + 22, static_cast<std::uint16_t>(i));
      poke<std::uint16_t>(kModern + 24, size_);
      poke<std::uint64_t>(kModern + 32, ring(i));
      poke<std::uint64_t>(kModern + 40, ring(i) + 0x1000);
      poke<std::uint64_t>(kModern + 48, ring(i) + 0x2000);
      poke<std::uint16_t>(kModern + 28, 1);
    }
    poke<std::uint8_t>(kModern + 20, 0xf);
    run_tasks();
  }

  /// After a mistake the driver begins anew, or the rest of the input would do nothing.
  void start_again() {
    poke<std::uint8_t>(kModern + 20, 0);
    for (std::uint64_t at = kRings; at < ring(kQueues); at += 8) put(at, std::uint64_t{0});
    queues_ = {};
    set_up();
  }

  void step() {
    if ((card_.device().status() & devices::virtio::status::kNeedsReset) != 0) start_again();
    switch (take<std::uint8_t>() % 16) {
      case 0:
        return access(mmio_, kModern + take<std::uint16_t>() % VirtioPci::kModernSize);
      case 1:
        return access(pio_, kLegacy + take<std::uint8_t>() % VirtioPci::kLegacySize);
      case 2:
        network_.full = !network_.full;
        if (!network_.full) network_.reader->on_writable();
        return;
      case 3:
        return put(take<std::uint32_t>(), take<std::uint64_t>());
      case 4:
        return run_tasks();
      case 5:
        return offer_command();
      case 6:
      case 7:
      case 8:
        return offer_frame();
      case 9:
      case 10:
      case 11:
        return arrive();
      default:
        return offer_buffers();
    }
  }

  void access(bus::AddressMap& map, std::uint64_t address) {
    const auto how = take<std::uint8_t>();
    std::array<std::byte, 8> data{};
    const auto part = std::span(data).first(std::size_t{1} << (how & 3));
    if ((how & 4) != 0) return map.read(address, part);
    bus::from_number(data, take<std::uint64_t>());
    map.write(address, part);
  }

  FrameHeader any_header() {
    auto header = take<FrameHeader>();
    if ((header.buffers & 3) == 0) return {};
    // What could be true, or nearly so.
    if ((header.buffers & 4) != 0) header.flags = 1;
    if ((header.buffers & 8) != 0) header.segmentation = (header.buffers & 16) != 0 ? 1 : 4;
    if ((header.buffers & 32) != 0) header.checksum_offset = 16;
    if ((header.buffers & 64) != 0) header.checksum_start = (header.buffers & 128) != 0 ? 34 : 54;
    return header;
  }
  std::vector<std::byte> any_frame() {
    const auto kind = take<std::uint8_t>();
    std::size_t size = take<std::uint16_t>() % 4096;
    if (kind % 16 == 0) size = 65000 + size % 1024;
    std::vector<std::byte> frame(size);
    const std::size_t head = std::min<std::size_t>(size, kind & 0x40 ? 80 : 20);
    for (std::size_t i = 0; i < head; ++i) frame[i] = take<std::byte>();
    if (size < 80 || (kind & 0x20) != 0) return frame;
    const bool six = (kind & 0x80) != 0;
    frame[12] = std::byte(six ? 0x86 : 0x08);
    frame[13] = std::byte(six ? 0xdd : 0x00);
    frame[14] = std::byte(six ? 0x60 : 0x45);
    frame[six ? 20 : 23] = std::byte{6};
    if (!six) frame[20] = frame[21] = std::byte{0};
    frame[six ? 66 : 46] = std::byte{0x50};
    return frame;
  }

  bool receive(const FrameHeader& header, const std::vector<std::byte>& frame) {
    return network_.reader->receive(header, frame);
  }
  void arrive() {
    if (!network_.waiting.empty()) {  // the same again, as the contract has it
      if (receive(waiting_header_, network_.waiting)) network_.waiting.clear();
      return;
    }
    waiting_header_ = any_header();
    auto frame = any_frame();
    if (!receive(waiting_header_, frame)) network_.waiting = std::move(frame);
  }

  void offer_frame() {
    const FrameHeader header = any_header();
    const auto frame = any_frame();
    const std::uint64_t at = kData + take<std::uint16_t>();
    put(at, header);
    memory_->write(PhysAddr{at + sizeof(header)}, frame);
    offer(header.buffers % 5 == 0 ? 3 : 1, at,
          static_cast<std::uint32_t>(sizeof(header) + frame.size()), false);
  }
  void offer_buffers() {
    const auto more = take<std::uint8_t>();
    for (unsigned i = 0; i <= more % 8; ++i)
      offer(more < 64 ? 2 : 0, 0x40000 + take<std::uint16_t>(), 1u << (take<std::uint8_t>() % 17),
            true);
  }
  void offer_command() {
    const auto kind = take<std::uint8_t>();
    std::array<std::uint8_t, 24> bytes{static_cast<std::uint8_t>(kind & 1),
                                       static_cast<std::uint8_t>(kind >> 1 & 7)};
    for (std::size_t i = 2; i < bytes.size(); ++i) bytes[i] = take<std::uint8_t>();
    if (kind >= 192) bytes[0] = devices::virtio::net::kQueuesClass, bytes[1] = 0, bytes[3] = 0;
    put(kData, bytes);
    describe(control_, kData, 2 + take<std::uint8_t>() % 23, false, true, 0);
    describe(control_, kData + 0x100, 1, true, false, 0);
    make_available(control_);
  }

  /// A request in up to four parts, one of which may be anything.
  void offer(unsigned queue, std::uint64_t address, std::uint32_t length, bool write) {
    const auto cut = take<std::uint8_t>();
    for (unsigned i = 0; i < (cut & 3u) && length > 1; ++i) {
      const std::uint32_t part = 1 + take<std::uint8_t>() % (length - 1);
      describe(queue, address, part, write, true, 0);
      address += part, length -= part;
    }
    if ((cut & 0xfc) == 0xfc) address = take<std::uint64_t>();
    if ((cut & 0xfc) == 0xf8) length = take<std::uint32_t>();
    if ((cut & 0xfc) == 0xf4) write = !write;
    const bool indirect = (cut & 0xfc) == 0xf0;
    describe(queue, address, length, write, false,
             indirect ? descriptor::kIndirect : std::uint16_t{0});
    make_available(queue);
  }
  void make_available(unsigned queue) {
    Queue& q = queues_[queue];
    if (!packed_) {
      put(ring(queue) + 0x1004 + 2 * (q.available % size_), q.head);
      put(ring(queue) + 0x1002, ++q.available);
    }
    q.head = static_cast<std::uint16_t>(q.at % size_);
    poke(kModern + VirtioPci::kNotify + 4 * queue, static_cast<std::uint16_t>(queue));
    if ((take<std::uint8_t>() & 3) != 0) run_tasks();
  }
  void describe(unsigned queue, std::uint64_t address, std::uint32_t length, bool write, bool next,
                std::uint16_t more) {
    Queue& q = queues_[queue];
    const std::uint64_t slot = ring(queue) + 16 * (q.at % size_);
    const bool wrap = q.at / size_ % 2 == 0;
    ++q.at;
    unsigned flags = (write ? descriptor::kWrite : 0u) | (next ? descriptor::kNext : 0u) | more;
    put(slot, address);
    put(slot + 8, length);
    if (packed_) {
      flags |= wrap ? descriptor::kAvailable : descriptor::kUsed;
      put(slot + 12, static_cast<std::uint16_t>(q.at));
      put(slot + 14, static_cast<std::uint16_t>(flags));
    } else {
      put(slot + 12, static_cast<std::uint16_t>(flags));
      put(slot + 14, static_cast<std::uint16_t>(q.at % size_));
    }
  }

  void run_tasks() {
    std::vector<std::function<void()>> tasks;
    tasks.swap(tasks_);
    for (const auto& task : tasks) task();
  }

  FuzzInput input_;
  std::unique_ptr<memory::GuestMemory> memory_;
  bus::AddressMap mmio_, pio_;
  Sink sink_;
  Pirqs pirqs_;
  bus::PciBus pci_{mmio_, pio_, pirqs_};
  Network network_;
  devices::virtio::VirtioNet model_{network_, *memory_, {2, 0, 0, 0, 0, 1}, 2};
  std::vector<std::function<void()>> tasks_;
  VirtioPci card_{model_, *memory_, sink_,
                  [this](std::function<void()> task) { tasks_.push_back(std::move(task)); }};
  FrameHeader waiting_header_;
  bool packed_ = false;
  std::uint16_t size_ = 16;
  std::array<Queue, kQueues> queues_{};
  unsigned control_ = 2;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
