// Any driver for a virtio socket device, and any programs on the host: packets, buffers and bytes
// as the input has them. Whatever comes, no stream outlives a reset.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/host_clock.h"
#include "bus/access_split.h"
#include "bus/irq_line.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_mmio.h"
#include "devices/virtio/virtio_vsock.h"
#include "fuzz/fuzz_input.h"

namespace vireo::test {
namespace {

using devices::virtio::VirtioMmio;
using devices::virtio::VirtioVsock;
namespace vsock = devices::virtio::vsock;
namespace descriptor = devices::virtio::descriptor;

constexpr std::uint64_t kMemory = 0x40000, kRings = 0x1000, kRingBytes = 0x3000, kData = 0x10000;
constexpr std::uint16_t kSize = 64;
constexpr std::uint32_t kPort = 1000;

struct Line final : bus::IrqLine {
  void set_level(bool) override {}
};

/// One for all inputs: what is left in it a reset has to end.
class Host {
 public:
  Host() {
    VIREO_ASSERT(::mkdtemp(path_.data()) != nullptr);
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un at = address(std::to_string(kPort));
    // SAFETY: as the calls of sockets take addresses.
    const auto* generic = reinterpret_cast<const sockaddr*>(&at);
    VIREO_ASSERT(::bind(listener_.get(), generic, sizeof(at)) == 0);
    VIREO_ASSERT(::listen(listener_.get(), 600) == 0);
  }
  ~Host() { std::filesystem::remove_all(path_); }
  HostClock clock;  // it takes long to make
  const std::string& path() const { return path_; }
  sockaddr_un address(const std::string& name) const {
    sockaddr_un result{};
    result.sun_family = AF_UNIX;
    (path_ + "/" + name).copy(result.sun_path, sizeof(result.sun_path) - 1);
    return result;
  }
  UniqueFd accept() const {
    return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  }
  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un at = address("connect");
    // SAFETY: as above.
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) return {};
    return fd;
  }

 private:
  std::string path_ = "/tmp/vireo-fuzz-XXXXXX";
  UniqueFd listener_;
};

class World {
 public:
  World(FuzzInput input, const Host& host)
      : input_(input),
        host_(host),
        memory_(std::move(*memory::GuestMemory::create(
            {{PhysAddr{0}, kMemory, memory::RegionKind::kRam, "ram"}}))),
        loop_(std::move(*EventLoop::create(host.clock))),
        model_(std::move(*backends::SocketFolder::open(host.path())), 3, *memory_, *loop_),
        card_(model_, *memory_, line_,
              [this](std::function<void()> task) { loop_->post(std::move(task)); }) {}

  void run() {
    start();
    while (!input_.rest().empty()) step();
    settle();
    card_.reset();
    VIREO_ASSERT(model_.streams() == 0);
    settle();
    while (host_.accept()) {
    }
  }

 private:
  template <class T>
  T take() {
    return input_.take<T>();
  }
  void poke(std::uint64_t offset, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    card_.write(offset, data);
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    memory_->write_value(PhysAddr{address}, value);
  }

  void start() {
    poke(0x70, 0);
    for (std::uint64_t at = kRings; at < kRings + 2 * kRingBytes; at += 8)
      put(at, std::uint64_t{0});
    heads_ = {};
    poke(0x70, 3);
    poke(0x24, 1);
    poke(0x20, 1);
    poke(0x70, 0xb);
    for (std::uint32_t queue = 0; queue < 2; ++queue) {
      const std::uint64_t base = kRings + queue * kRingBytes;
      poke(0x30, queue);
      poke(0x38, kSize);
      poke(0x80, static_cast<std::uint32_t>(base));
      poke(0x90, static_cast<std::uint32_t>(base + 0x1000));
      poke(0xa0, static_cast<std::uint32_t>(base + 0x2000));
      poke(0x44, 1);
    }
    poke(0x70, 0xf);
    settle();
  }
  void settle() {
    for (int i = 0; i < 2; ++i) {
      loop_->post([this] { loop_->stop(); });
      loop_->run();
    }
  }
  void offer(std::uint32_t queue, std::uint64_t address, std::uint32_t length) {
    const std::uint64_t base = kRings + queue * kRingBytes;
    const std::uint16_t head = heads_.at(queue) % kSize;
    put(base + 16u * head, address);
    put(base + 16u * head + 8, length);
    put(base + 16u * head + 12, queue == 0 ? descriptor::kWrite : std::uint16_t{0});
    put(base + 0x1004 + 2u * head, head);
    put(base + 0x1002, ++heads_.at(queue));
    poke(0x50, queue);
  }
  void packet() {
    const auto choice = take<std::uint8_t>();
    vsock::Header header;
    header.source_cid = choice % 32 == 31 ? take<std::uint64_t>() : 3;
    header.destination_cid = vsock::kHostCid;
    header.source_port = take<std::uint8_t>() % 8;
    header.destination_port =
        choice % 16 == 15 ? VirtioVsock::kFirstHostPort + take<std::uint8_t>() % 4 : kPort;
    header.operation = static_cast<vsock::Operation>(choice % 9);
    header.flags = take<std::uint8_t>() % 4;
    header.length = take<std::uint16_t>();
    header.buffer_bytes = take<std::uint16_t>();
    header.forwarded_bytes = take<std::uint16_t>();
    if (choice == 77) header.type = take<std::uint16_t>();
    const std::uint32_t length = choice == 78 ? take<std::uint16_t>() : header.length + 44;
    memory_->write(PhysAddr{kData}, std::as_bytes(std::span(&header, 1)));
    offer(1, choice == 79 ? take<std::uint32_t>() : kData, length);
  }
  void step() {
    constexpr std::uint32_t kStatus = 0x70, kNeedsReset = 0x40;
    std::array<std::byte, 4> status{};
    card_.read(kStatus, status);
    if ((bus::to_number(status) & kNeedsReset) != 0) start();
    switch (take<std::uint8_t>() % 8) {
      case 0:
        offer(0, kData + 0x8000 + take<std::uint16_t>() % 0x4000, 1 + take<std::uint16_t>() % 5000);
        break;
      case 1:
        if (UniqueFd fd = host_.accept()) programs_.push_back(std::move(fd));
        break;
      case 2: {
        UniqueFd fd = host_.connect();
        if (!fd) break;
        const std::string line = "CONNECT " + std::to_string(take<std::uint8_t>() % 8) + "\n";
        [[maybe_unused]] const auto ignored =
            ::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
        programs_.push_back(std::move(fd));
        break;
      }
      case 3:
        program();
        break;
      default:
        packet();
        break;
    }
    if (take<std::uint8_t>() % 4 != 0) settle();
  }
  void program() {
    if (programs_.empty()) return;
    const std::size_t index = take<std::uint8_t>() % programs_.size();
    const int fd = programs_[index].get();
    std::vector<char> bytes(take<std::uint16_t>());
    [[maybe_unused]] ssize_t ignored = 0;
    switch (take<std::uint8_t>() % 4) {
      case 0:
        ignored = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        return;
      case 1:
        ignored = ::recv(fd, bytes.data(), bytes.size(), 0);
        return;
      case 2:
        ::shutdown(fd, take<std::uint8_t>() % 3);
        return;
      default:
        programs_.erase(programs_.begin() + static_cast<std::ptrdiff_t>(index));
        return;
    }
  }

  FuzzInput input_;
  const Host& host_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::unique_ptr<EventLoop> loop_;
  Line line_;
  VirtioVsock model_;
  VirtioMmio card_;
  std::array<std::uint16_t, 2> heads_{};
  std::vector<UniqueFd> programs_;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vireo::test::Host host;
  vireo::test::World(vireo::test::FuzzInput({data, size}), host).run();
  return 0;
}
