#pragma once
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_vsock.h"
#include "support/fake_clock.h"

namespace vireo::devices::virtio {

/// A packet as the driver got it.
struct GuestPacket {
  vsock::Header header;
  std::string data;
};

/// A guest's driver with a virtio socket device, and the folder of its sockets on the host. All on
/// one thread: settle() lets the device do what it can.
struct VsockWorld {
  static constexpr std::uint32_t kCid = 7;
  static constexpr std::uint64_t kBuffers = 0x20000, kBufferBytes = 0x400, kPackets = 0x50000;
  static constexpr unsigned kBufferCount = 16;

  VsockWorld() {
    std::string pattern = ::testing::TempDir() + "/vireo-vsock-XXXXXX";
    folder = ::mkdtemp(pattern.data());
    loop = std::move(*EventLoop::create(clock));
    model = std::make_unique<VirtioVsock>(std::move(*backends::SocketFolder::open(folder)), kCid,
                                          *world.memory, *loop);
    driver = std::make_unique<PciDriver>(*model, *world.memory);
  }
  ~VsockWorld() {
    driver.reset();
    model.reset();
    std::filesystem::remove_all(folder);
  }

  void start(unsigned buffers = kBufferCount, std::uint64_t features = vsock::kMessagesFeature) {
    for (std::uint64_t at = 0x8000; at < 0xe000; at += 8) world.put(at, std::uint64_t{0});
    receive = std::make_unique<SplitDriver>(world, std::uint16_t{32}, 0x8000);
    transmit = std::make_unique<SplitDriver>(world, std::uint16_t{32}, 0xb000);
    EXPECT_TRUE(driver->negotiate(feature::kVersion1 | features));
    driver->set_up_queue(VirtioVsock::kReceive, receive->set_up(), 0);
    driver->set_up_queue(VirtioVsock::kTransmit, transmit->set_up(), 0);
    driver->go();
    for (unsigned i = 0; i < buffers; ++i) offer_buffer();
    settle();
  }
  void offer_buffer() {
    const std::uint64_t at = kBuffers + next_buffer_++ % kBufferCount * kBufferBytes;
    receive->offer({{at, static_cast<std::uint32_t>(kBufferBytes), true}});
    driver->notify(VirtioVsock::kReceive);
  }
  void settle() {
    for (int i = 0; i < 4; ++i) {
      driver->run_posted();
      loop->post([this] { loop->stop(); });
      loop->run();
    }
    driver->run_posted();
  }

  vsock::Header header(vsock::Operation operation, std::uint32_t host, std::uint32_t guest) const {
    vsock::Header result;
    result.source_cid = kCid;
    result.destination_cid = vsock::kHostCid;
    result.source_port = guest;
    result.destination_port = host;
    result.operation = operation;
    result.buffer_bytes = 0x10000;
    return result;
  }
  void send(vsock::Header header, const std::string& data = "") {
    header.length = static_cast<std::uint32_t>(data.size());
    offer_packet(header, data);
    settle();
  }
  void offer_packet(const vsock::Header& header, const std::string& data = "") {
    EXPECT_TRUE(world.memory->write(
        PhysAddr{kPackets}, std::as_bytes(std::span(&header, 1)).first(vsock::kHeaderBytes)));
    EXPECT_TRUE(world.memory->write(PhysAddr{kPackets + vsock::kHeaderBytes},
                                    std::as_bytes(std::span(data))));
    transmit->offer({{kPackets, static_cast<std::uint32_t>(vsock::kHeaderBytes + data.size())}});
    driver->notify(VirtioVsock::kTransmit);
  }
  /// The next packet that the guest got; its buffer is given to the device again.
  std::optional<GuestPacket> take(bool offer_again = true) {
    const auto used = receive->take_used();
    if (!used) return std::nullopt;
    GuestPacket packet;
    const std::uint64_t at = kBuffers + taken_++ % kBufferCount * kBufferBytes;
    EXPECT_TRUE(world.memory->read(
        PhysAddr{at},
        std::as_writable_bytes(std::span(&packet.header, 1)).first(vsock::kHeaderBytes)));
    packet.data.resize(packet.header.length);
    EXPECT_EQ(used->length, vsock::kHeaderBytes + packet.data.size());
    EXPECT_TRUE(world.memory->read(PhysAddr{at + vsock::kHeaderBytes},
                                   std::as_writable_bytes(std::span(packet.data))));
    if (offer_again) offer_buffer();
    settle();
    return packet;
  }
  /// The operation of the next packet; nothing came: 0.
  unsigned take_operation() {
    const auto packet = take();
    return packet ? static_cast<unsigned>(packet->header.operation) : 0;
  }

  sockaddr_un address(const std::string& name) const {
    sockaddr_un result{};
    result.sun_family = AF_UNIX;
    (folder + "/" + name).copy(result.sun_path, sizeof(result.sun_path) - 1);
    return result;
  }
  UniqueFd listen(const std::string& name, int type = SOCK_STREAM) const {
    const sockaddr_un at = address(name);
    UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(::listen(fd.get(), 600), 0);
    return fd;
  }
  static UniqueFd accept(const UniqueFd& listener) {
    return UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  UniqueFd connect(int type = SOCK_STREAM) const {
    const sockaddr_un at = address(type == SOCK_STREAM ? "connect" : "connect-messages");
    UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    return fd;
  }
  /// What has arrived, at once; "end" once the other end has closed, "none" if there is nothing.
  static std::string receive_from(const UniqueFd& fd) {
    std::string data(1 << 20, 0);
    const ssize_t count = ::recv(fd.get(), data.data(), data.size(), MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN ? "none" : "broken";
    data.resize(static_cast<std::size_t>(count));
    return count == 0 ? "end" : data;
  }
  static void say(const UniqueFd& fd, const std::string& data) {
    EXPECT_EQ(::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(data.size()));
  }

  std::string folder;
  test::FakeClock clock;
  std::unique_ptr<EventLoop> loop;
  DriverMemory world;
  std::unique_ptr<VirtioVsock> model;
  std::unique_ptr<PciDriver> driver;
  std::unique_ptr<SplitDriver> receive, transmit;

 private:
  unsigned next_buffer_ = 0, taken_ = 0;
};

}  // namespace vireo::devices::virtio
