#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <system_error>
#include <vector>

#include "bus/bus_device.h"

namespace vireo::devices {

struct FlashState {
  std::uint8_t command = 0xff;  ///< what reads are answered by, and what the next write completes
  std::uint8_t status = 0;

  bool operator==(const FlashState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [command, status] = self;
    visit("command", command), visit("status", status);
  }
};

/// A flash memory in which firmware keeps what it shall remember: 8 bits wide, blocks of 4 KiB,
/// with the commands of Intel's 28F series to read, to program and to erase. Intel Common Flash
/// Interface and Command Sets, 4. Neither buffers nor locks. Thread safe.
class Flash final : public bus::BusDevice {
 public:
  static constexpr std::uint64_t kBlockBytes = 4096;

  /// Is told of every change, before the guest goes on; an error becomes the guest's.
  using Keep = std::function<std::error_code(std::uint64_t offset, std::span<const std::byte>)>;

  /// `content`: whole blocks.
  Flash(std::vector<std::byte> content, Keep keep);

  std::uint64_t size() const { return content_.size(); }
  void reset();
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

 private:
  void begin(std::uint8_t command);
  void program(std::uint64_t offset, std::span<const std::byte> data);
  void erase(std::uint64_t offset);
  void finish(std::uint64_t offset, std::size_t length, std::uint8_t failure);

  const Keep keep_;

  std::mutex mutex_;  ///< guards what follows
  std::vector<std::byte> content_;
  FlashState state_;
};

}  // namespace vireo::devices
