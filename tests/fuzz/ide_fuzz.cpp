// Any driver for an IDE channel with a disk and a CD-ROM: registers, packets, data, and tables of
// the bus master as the input has them. Whatever it does, the media stay within their bounds and
// guest memory within its own, and a reset brings the drives back.
#include <array>
#include <vector>

#include "base/assert.h"
#include "devices/ide/ide_world.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using devices::test::IdeWorld;

class World : IdeWorld {
 public:
  explicit World(FuzzInput input) : IdeWorld(false, 256 << 10), input_(input) {
    disk.held = disc.held = true;
  }

  void run() {
    while (!input_.rest().empty()) step();
    run_media();
    control(4);
    run_media();
    control(0);
    disk.error = 0;
    out(kDevice, 0);
    VIREO_ASSERT(in(kStatus) == kReady && in(kError) == 1);
    command(0x20, 1, 1);
    run_media();
    VIREO_ASSERT(take(512) == part(disk, 512, 512));
  }

 private:
  template <class T>
  T take_input() {
    return input_.take<T>();
  }
  void run_media() {
    // What one request sets off may be another.
    while (disk.waiting() + disc.waiting() != 0) disk.run(), disc.run();
  }

  void step() {
    switch (take_input<std::uint8_t>() % 16) {
      case 0:
        return out(1 + take_input<std::uint8_t>() % 7u, take_input<std::uint8_t>());
      case 1:
        return control(take_input<std::uint8_t>() % 8 == 0 ? take_input<std::uint8_t>() : 0);
      case 2:
        return set_master(take_input<std::uint8_t>() % 8, take_input<std::uint8_t>());
      case 3:
        return put_regions();
      case 4:
        return start_master((take_input<std::uint8_t>() & 1) != 0);
      case 5:
        return set_master(0, 0);
      case 6:
        if (take_input<std::uint8_t>() % 8 == 0) disk.error = disc.error = 5;
        return run_media();
      case 7:
      case 8:
        return transfer();
      case 9:
      case 10:
        return ask_packet();
      case 11:
        return static_cast<void>(in(take_input<std::uint8_t>() % 8));
      case 12:
        return wide_command(take_input<std::uint8_t>(), take_input<std::uint16_t>(),
                            take_input<std::uint8_t>());
      default:
        return ask_disk();
    }
  }

  void put_regions() {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> regions;
    const unsigned count = 1 + take_input<std::uint8_t>() % 4u;
    for (unsigned i = 0; i < count; ++i) {
      const auto how = take_input<std::uint8_t>();
      std::uint32_t address = static_cast<std::uint32_t>(kData) + take_input<std::uint16_t>();
      if (how % 16 == 0) address = take_input<std::uint32_t>();
      regions.emplace_back(address, take_input<std::uint16_t>());
    }
    put_table(regions);
    if (take_input<std::uint8_t>() % 16 == 0) set_master(4, take_input<std::uint32_t>(), 4);
  }

  /// Mostly commands that there are, with sectors near the disk.
  void ask_disk() {
    constexpr std::array<std::uint8_t, 16> kCommands{0x20, 0x30, 0xc8, 0xca, 0xc4, 0xc5,
                                                     0xc6, 0x24, 0x34, 0x25, 0x35, 0xe7,
                                                     0xec, 0xef, 0xb0, 0x91};
    const auto how = take_input<std::uint8_t>();
    const auto code = how < 0xf0 ? kCommands[how % 16u] : take_input<std::uint8_t>();
    command(code, take_input<std::uint16_t>() % 600u, take_input<std::uint8_t>());
  }

  void ask_packet() {
    constexpr std::array<std::uint8_t, 16> kPackets{0x28, 0xa8, 0xbe, 0x12, 0x43, 0x46, 0x4a, 0x5a,
                                                    0x25, 0x03, 0x51, 0xbd, 0x00, 0x28, 0xa8, 0x2b};
    std::vector<unsigned> bytes(12);
    for (unsigned& byte : bytes) byte = take_input<std::uint8_t>();
    const auto how = take_input<std::uint8_t>();
    if (how < 0xf0) bytes[0] = kPackets[how % 16u];
    if (how % 3 != 0) bytes[2] = bytes[3] = bytes[4] = bytes[6] = bytes[7] = 0;
    packet(bytes, take_input<std::uint16_t>(), (how & 0x40) != 0);
  }

  void transfer() {
    const auto how = take_input<std::uint8_t>();
    const unsigned count = take_input<std::uint8_t>() + 1u;
    for (unsigned i = 0; i < count; ++i) {
      std::array<std::byte, 4> data{};
      const auto part = std::span(data).first(std::size_t{1} << how % 3u);
      if ((how & 4) != 0) {
        channel.command_ports().read(0, part);
      } else {
        bus::from_number(part, i * 0x9e3779b9u);
        channel.command_ports().write(0, part);
      }
    }
  }

  FuzzInput input_;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::World(vireo::test::FuzzInput({data, size})).run();
  return 0;
}
