#pragma once
#include <atomic>
#include <cstdint>
#include <functional>

#include "backends/character/char_backend.h"
#include "bus/bus_device.h"

namespace vireo::devices {

/// Port 0xe9, or 0x402 for firmware: what is written appears on the host; reading it gives 0xe9, by
/// which guests find out that it is there. One byte wide. Thread safe.
class DebugConsole final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0xe9, kFirmwarePort = 0x402;
  explicit DebugConsole(backends::CharBackend& output) : output_(output) {}
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  backends::CharBackend& output_;
};

/// Port 0xf4: a write ends the machine. The exit status of the program is
/// `exit_status(value)`. Four bytes wide, so that guests may write any width. Thread safe.
class DebugExit final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0xf4;
  static constexpr std::uint64_t kSize = 4;
  /// `request` gets what was written. Called on the vCPU thread.
  explicit DebugExit(std::function<void(std::uint32_t value)> request)
      : request_(std::move(request)) {}
  static constexpr int exit_status(std::uint32_t value) {
    return static_cast<int>((value << 1 | 1) & 0xff);
  }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  std::function<void(std::uint32_t)> request_;
};

/// Port 0x80: firmware tells how far it is, and everybody else writes there to pass the time. Keeps
/// the last code. Thread safe.
class PostPort final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0x80;
  std::uint8_t last_code() const { return code_; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  std::atomic<std::uint8_t> code_ = 0;
};

}  // namespace vireo::devices
