#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "backends/network/mac_table.h"
#include "backends/network/wake_event.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// An Ethernet switch that learns: a thread that takes frames from sockets which keep messages
/// apart, a FrameHeader before each, and passes them on as they are. Only processes of the same
/// user are let in. A port that does not read loses frames, and holds nobody up.
class SwitchHub {
 public:
  static constexpr std::size_t kMostPorts = 256;
  static constexpr std::size_t kMostWaitingBytes = 4 << 20;  ///< for a port that does not read

  /// A listening socket (SOCK_SEQPACKET) that does not block.
  static Result<std::unique_ptr<SwitchHub>> create(UniqueFd listener);
  ~SwitchHub();
  SwitchHub(const SwitchHub&) = delete;

 private:
  using Message = std::shared_ptr<const std::vector<std::byte>>;
  struct Port {
    UniqueFd fd;
    std::deque<Message> waiting;
    std::size_t waiting_bytes = 0;
    bool gone = false;
  };

  SwitchHub(UniqueFd listener, WakeEvent wake);
  void run();
  void accept_ports();
  void read_port(std::uint64_t id);
  void pass_on(std::uint64_t from, std::span<const std::byte> message);
  void put(Port& port, std::span<const std::byte> bytes, Message& shared);
  static void write_waiting(Port& port);
  static bool write(Port& port, std::span<const std::byte> bytes);
  void remove_gone();

  const UniqueFd listener_;
  const WakeEvent wake_;
  std::atomic<bool> stopping_ = false;

  // The thread's.
  std::map<std::uint64_t, Port> ports_;
  std::uint64_t next_port_ = 1;
  MacTable addresses_;
  std::vector<std::byte> buffer_;
  std::thread thread_;
};

}  // namespace vireo::backends
