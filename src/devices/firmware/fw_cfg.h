#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bus/bus_device.h"
#include "memory/guest_memory.h"

namespace vireo::devices {

struct FwCfgState {
  std::uint16_t selected = 0;
  std::uint32_t offset = 0;  ///< of the next byte in the selected item
  std::uint32_t dma_address_high = 0;

  bool operator==(const FwCfgState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [selected, offset, dma_address_high] = self;
    visit("selected", selected), visit("offset", offset);
    visit("dma_address_high", dma_address_high);
  }
};

/// The interface by which PC firmware asks a virtual machine about itself: numbered items of bytes,
/// some of them files with a name, at ports 0x510-0x51b, with DMA. QEMU, docs/specs/fw_cfg.
/// Items are added while the machine is built; the rest is thread safe.
class FwCfg final : public bus::BusDevice {
 public:
  static constexpr std::uint16_t kPort = 0x510;
  static constexpr std::uint64_t kSize = 12;

  // Keys of items that firmware looks for.
  static constexpr std::uint16_t kSignature = 0x00, kIdentity = 0x01, kUuid = 0x02,
                                 kMemorySize = 0x03, kNoGraphic = 0x04, kCpuCount = 0x05,
                                 kBootMenu = 0x0e, kMaxCpus = 0x0f, kInitrdAddress = 0x0a,
                                 kKernelAddress = 0x07, kKernelSize = 0x08, kInitrdSize = 0x0b,
                                 kKernelEntry = 0x10, kKernelData = 0x11, kInitrdData = 0x12,
                                 kCommandLineAddress = 0x13, kCommandLineSize = 0x14,
                                 kCommandLineData = 0x15, kSetupAddress = 0x16, kSetupSize = 0x17,
                                 kSetupData = 0x18, kDirectory = 0x19;

  struct Machine {
    std::uint64_t memory_bytes = 0;
    std::uint16_t cpus = 0;
    bool graphics = false;
  };
  FwCfg(memory::GuestMemory& memory, const Machine& machine);

  /// Replaces an item with the same key.
  void add_item(std::uint16_t key, std::vector<std::uint8_t> bytes);
  /// A usage error if the name is longer than 55 characters or taken.
  Result<> add_file(std::string_view name, std::vector<std::uint8_t> bytes);
  /// One whose bytes are made anew, always as many, each time it is selected. `make` is called on
  /// the guest's thread and accesses nothing of this.
  using Maker = std::function<std::vector<std::uint8_t>()>;
  Result<> add_made_file(std::string_view name, Maker make);

  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void reset();

  FwCfgState state() const;
  Result<> restore(const FwCfgState& state);

 private:
  void build_directory();
  void select(std::uint16_t key);
  std::uint8_t next_byte();
  void run_dma(std::uint64_t address);
  bool copy_to_guest(std::uint64_t address, std::uint32_t length);
  std::span<const std::uint8_t> rest_of_item() const;
  void skip(std::uint32_t bytes);

  memory::GuestMemory& memory_;
  std::map<std::uint16_t, std::vector<std::uint8_t>> items_;
  std::map<std::uint16_t, Maker> makers_;
  std::map<std::string, std::uint16_t, std::less<>> files_;

  mutable std::mutex mutex_;
  FwCfgState state_;
};

}  // namespace vireo::devices
