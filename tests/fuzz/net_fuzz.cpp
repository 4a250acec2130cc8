// Any driver for a virtio network card on PCI, and any network behind it: registers, rings,
// buffers, headers and frames as the input has them. Whatever comes, what the network gets are
// sound frames, guest memory is written within its bounds, and a reset brings the card back.
#include <algorithm>
#include <array>
#include <vector>

#include "backends/network/offload.h"
#include "base/assert.h"
#include "devices/virtio/virtio_net.h"
#include "fuzz/pci_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

using backends::FrameHeader;
using devices::virtio::VirtioPci;
namespace descriptor = devices::virtio::descriptor;

constexpr std::uint64_t kData = PciDriver::kData;

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

class World : private VirtioFuzzWorld {
 public:
  explicit World(FuzzInput input) : VirtioFuzzWorld(input) {}

  void run() {
    network_.taken = static_cast<backends::TakenFrames>(take<std::uint8_t>() % 3);
    // Mostly a driver that knows the order of things, so that the input gets far.
    if ((take<std::uint8_t>() & 7) != 0) set_up();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    VIREO_ASSERT(receive({}, std::vector<std::byte>(60)));
  }

 private:
  template <class T>
  void put(std::uint64_t address, T value) {
    driver_.put(address % kMemory, value);
  }

  void set_up() {
    const auto choice = take<std::uint8_t>();
    // All there is, less what the input does not want.
    const std::uint32_t offered = 0x30000000u | static_cast<std::uint32_t>(model_.features());
    const std::uint32_t unwanted = take<std::uint32_t>() & take<std::uint32_t>();
    control_ = (offered & ~unwanted & devices::virtio::net::kMultiQueue) != 0 ? 4 : 2;
    driver_.start(offered & ~unwanted, (choice & 1) != 0,
                  static_cast<std::uint16_t>(16 << (choice >> 2 & 3)));
    run_tasks();
  }

  void step() {
    if (driver_.needs_reset()) {
      // The driver begins anew, or the rest of the input would do nothing.
      driver_.reset();
      set_up();
    }
    switch (take<std::uint8_t>() % 16) {
      case 0:
        return driver_.access(driver_.mmio(),
                              PciDriver::kModern + take<std::uint16_t>() % VirtioPci::kModernSize,
                              input_);
      case 1:
        return driver_.access(driver_.pio(),
                              PciDriver::kLegacy + take<std::uint8_t>() % VirtioPci::kLegacySize,
                              input_);
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
    driver_.describe(control_, kData, 2 + take<std::uint8_t>() % 23, false, true);
    driver_.describe(control_, kData + 0x100, 1, true, false);
    make_available(control_);
  }

  /// A request in up to four parts, one of which may be anything.
  void offer(unsigned queue, std::uint64_t address, std::uint32_t length, bool write) {
    const auto cut = take<std::uint8_t>();
    for (unsigned i = 0; i < (cut & 3u) && length > 1; ++i) {
      const std::uint32_t part = 1 + take<std::uint8_t>() % (length - 1);
      driver_.describe(queue, address, part, write, true);
      address += part, length -= part;
    }
    if ((cut & 0xfc) == 0xfc) address = take<std::uint64_t>();
    if ((cut & 0xfc) == 0xf8) length = take<std::uint32_t>();
    if ((cut & 0xfc) == 0xf4) write = !write;
    const bool indirect = (cut & 0xfc) == 0xf0;
    driver_.describe(queue, address, length, write, false,
                     indirect ? descriptor::kIndirect : std::uint16_t{0});
    make_available(queue);
  }
  void make_available(unsigned queue) {
    driver_.make_available(queue);
    if ((take<std::uint8_t>() & 3) != 0) run_tasks();
  }

  Network network_;
  devices::virtio::VirtioNet model_{network_, *memory_, {2, 0, 0, 0, 0, 1}, 2};
  PciDriver driver_{model_, *memory_, post()};
  FrameHeader waiting_header_;
  unsigned control_ = 2;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
