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
#include "devices/virtio/virtio_vsock.h"
#include "fuzz/mmio_driver.h"
#include "fuzz/virtio_fuzz_world.h"

namespace vireo::test {
namespace {

using devices::virtio::VirtioVsock;
namespace vsock = devices::virtio::vsock;

constexpr std::uint64_t kData = MmioDriver::kData;
constexpr std::uint32_t kPort = 1000, kMessagesPort = kPort + 1;
constexpr int kKinds[] = {SOCK_STREAM, SOCK_SEQPACKET};

/// One for all inputs: what is left in it a reset has to end.
class Host {
 public:
  Host() {
    VIREO_ASSERT(::mkdtemp(path_.data()) != nullptr);
    for (std::uint32_t i = 0; i < listeners_.size(); ++i) {
      listeners_[i] = UniqueFd(::socket(AF_UNIX, kKinds[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const sockaddr_un at = address(std::to_string(kPort + i));
      // SAFETY: as the calls of sockets take addresses.
      const auto* generic = reinterpret_cast<const sockaddr*>(&at);
      VIREO_ASSERT(::bind(listeners_[i].get(), generic, sizeof(at)) == 0);
      VIREO_ASSERT(::listen(listeners_[i].get(), 600) == 0);
    }
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
    for (const UniqueFd& listener : listeners_) {
      UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) return fd;
    }
    return {};
  }
  UniqueFd connect(int kind) const {
    UniqueFd fd(::socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un at = address(kind == SOCK_STREAM ? "connect" : "connect-messages");
    // SAFETY: as above.
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) return {};
    return fd;
  }

 private:
  std::string path_ = "/tmp/vireo-fuzz-XXXXXX";
  std::array<UniqueFd, 2> listeners_;
};

class World : private VirtioFuzzWorld {
 public:
  World(FuzzInput input, const Host& host)
      : VirtioFuzzWorld(input),
        host_(host),
        loop_(std::move(*EventLoop::create(host.clock))),
        model_(std::move(*backends::SocketFolder::open(host.path())), 3, *memory_, *loop_),
        driver_(model_, *memory_,
                [this](std::function<void()> task) { loop_->post(std::move(task)); }) {}

  void run() {
    start();
    while (!input_.rest().empty()) step();
    settle();
    driver_.reset();
    VIREO_ASSERT(model_.streams() == 0);
    settle();
    while (host_.accept()) {
    }
  }

 private:
  void start() {
    driver_.start();
    settle();
  }
  void settle() {
    for (int i = 0; i < 2; ++i) {
      loop_->post([this] { loop_->stop(); });
      loop_->run();
    }
  }
  void packet() {
    const auto choice = take<std::uint8_t>();
    vsock::Header header;
    header.source_cid = choice % 32 == 31 ? take<std::uint64_t>() : 3;
    header.destination_cid = vsock::kHostCid;
    header.source_port = take<std::uint8_t>() % 8;
    header.destination_port = choice % 16 == 15
                                  ? VirtioVsock::kFirstHostPort + take<std::uint8_t>() % 4
                                  : (choice % 2 == 0 ? kPort : kMessagesPort);
    header.type = choice % 2 == 0 ? vsock::kStream : vsock::kMessages;
    header.operation = static_cast<vsock::Operation>(choice % 9);
    header.flags = take<std::uint8_t>() % 4;
    header.length = take<std::uint16_t>();
    header.buffer_bytes = take<std::uint16_t>();
    header.forwarded_bytes = take<std::uint16_t>();
    if (choice == 77) header.type = take<std::uint16_t>();
    const std::uint32_t length = choice == 78 ? take<std::uint16_t>() : header.length + 44;
    memory_->write(PhysAddr{kData}, std::as_bytes(std::span(&header, 1)));
    driver_.offer(1, choice == 79 ? take<std::uint32_t>() : kData, length, false);
  }
  void step() {
    driver_.start_again_if_needed();
    switch (take<std::uint8_t>() % 8) {
      case 0:
        driver_.offer(0, kData + 0x8000 + take<std::uint16_t>() % 0x4000,
                      1 + take<std::uint16_t>() % 5000, true);
        break;
      case 1:
        if (UniqueFd fd = host_.accept()) programs_.push_back(std::move(fd));
        break;
      case 2: {
        const auto choice = take<std::uint8_t>();
        UniqueFd fd = host_.connect(kKinds[choice / 8 % 2]);
        if (!fd) break;
        const std::string line = "CONNECT " + std::to_string(choice % 8) + "\n";
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

  const Host& host_;
  std::unique_ptr<EventLoop> loop_;
  VirtioVsock model_;
  MmioDriver driver_;
  std::vector<UniqueFd> programs_;
};

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vireo::test::Host host;
  vireo::test::World(vireo::test::FuzzInput({data, size}), host).run();
  return 0;
}
