// Any driver for a shared folder's device: requests, of which some are messages of 9P, several at a
// time, flushed and reset at any moment. What a client can do with messages is share_fuzz's matter;
// here every request comes back or is refused, and a reset ends them all.
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/assert.h"
#include "devices/virtio/virtio_9p.h"
#include "fuzz/pci_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

using backends::ninep::Kind;
using devices::virtio::Virtio9p;
using devices::virtio::VirtioPci;

/// One for all inputs, which only read it.
class Folder {
 public:
  Folder() {
    VIREO_ASSERT(::mkdtemp(path_.data()) != nullptr);
    std::filesystem::create_directory(path_ + "/d");
    std::ofstream(path_ + "/a") << std::string(3000, 'a');
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::unique_ptr<backends::SharedFolder> open() const {
    return std::move(*backends::SharedFolder::open(path_, true));
  }

 private:
  std::string path_ = "/tmp/vireo-fuzz-XXXXXX";
};

class World : private VirtioFuzzWorld {
 public:
  World(FuzzInput input, const Folder& folder)
      : VirtioFuzzWorld(input), model_(folder.open(), "fuzz", *memory_) {}

  void run() {
    start();
    while (!input_.rest().empty()) step();
    run_tasks();
    driver_.reset();
    VIREO_ASSERT(model_.server().fids() == 0);
  }

 private:
  static constexpr std::uint64_t kSlot = 0x1000, kSlots = 32;

  void start() {
    const auto choice = take<std::uint8_t>();
    driver_.start(0x30000001, (choice & 1) != 0,
                  static_cast<std::uint16_t>(16 << (choice >> 2 & 3)));
    message(Kind::kVersion, 8192, std::string("\x08\0", 2) + "9P2000.L");
    run_tasks();
    model_.drain();
    message(Kind::kAttach, 0, std::string(4, '\xff') + std::string(8, '\0'));
  }
  void step() {
    if (driver_.needs_reset()) {
      driver_.reset();
      start();
    }
    const auto choice = take<std::uint8_t>();
    switch (choice % 8) {
      case 0:
        driver_.access(driver_.mmio(), PciDriver::kModern + take<std::uint16_t>() % 0x1000, input_);
        break;
      case 1:
        model_.drain();
        break;
      case 2:
        message(Kind::kFlush, take<std::uint8_t>() % 8, "");
        break;
      default:
        any_message();
        break;
    }
    if (take<std::uint8_t>() % 4 != 0) run_tasks();
  }
  void any_message() {
    constexpr std::array kKinds{Kind::kWalk,       Kind::kOpen,        Kind::kRead,
                                Kind::kReadFolder, Kind::kLock,        Kind::kGetAttributes,
                                Kind::kClunk,      Kind::kFindExtended};
    const auto kind = take<std::uint8_t>();
    if (kind >= 160 && kind < 200) return walk(kind);
    std::string body(take<std::uint8_t>() % 40, '\0');
    for (char& byte : body) byte = take<char>();
    message(kind < 240 ? kKinds.at(kind % kKinds.size()) : static_cast<Kind>(kind),
            take<std::uint8_t>() % 4, body);
  }
  /// A new fid for the file or the folder.
  void walk(std::uint8_t choice) {
    std::string body{static_cast<char>(1 + choice % 4), 0, 0, 0, 1, 0, 1, 0};
    message(Kind::kWalk, 0, body + (choice % 3 == 0 ? 'd' : 'a'));
  }
  /// A number and what follows it; the head may lie about its size, and the buffers about theirs.
  void message(Kind kind, std::uint32_t number, const std::string& rest) {
    const std::uint64_t at = PciDriver::kData + next_++ % kSlots * kSlot;
    const auto lie = take<std::uint8_t>();
    const auto size = static_cast<std::uint32_t>(11 + rest.size());
    driver_.put(at, lie == 1 ? take<std::uint32_t>() : size);
    driver_.put(at + 4, kind);
    driver_.put(at + 5, std::uint16_t{take<std::uint8_t>()});
    driver_.put(at + 7, number);
    memory_->write(PhysAddr{at + 11}, std::as_bytes(std::span(rest)));
    const bool cut = lie % 8 == 2;
    if (cut) driver_.describe(0, at, 5, false, true);
    driver_.describe(0, cut ? at + 5 : at, lie == 3 ? take<std::uint32_t>() : size - (cut ? 5 : 0),
                     false, lie != 4);
    if (lie != 4)
      driver_.describe(0, lie == 5 ? take<std::uint64_t>() : at + kSlot / 2,
                       lie == 6 ? take<std::uint8_t>() : kSlot / 2, true, false);
    driver_.make_available(0);
  }

  Virtio9p model_;
  PciDriver driver_{model_, *memory_, post()};
  std::uint64_t next_ = 0;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vireo::test::Folder folder;
  vireo::test::World(vireo::test::FuzzInput({data, size}), folder).run();
  return 0;
}
