#pragma once
#include <cstdint>
#include <string>

#include "devices/ide/ide_drive.h"

namespace vireo::devices {

/// A CD-ROM drive with a disc in it, of one data track: ATA/ATAPI-7 volume 2, 8.24, and the
/// commands of MMC-6 that drivers of data discs use. By PIO and DMA.
class AtapiCdrom final : public IdeDrive {
 public:
  static constexpr std::uint32_t kSector = 2048;

  AtapiCdrom(backends::BlockBackend& medium, std::string serial);

  Next execute(std::uint8_t command, IdeTask& task, Buffer& buffer) override;
  Next execute_packet(IdeTask& task, Buffer& buffer) override;
  void begin_block(const IdeTask& task, std::uint32_t bytes) override;
  bool end_pio_in(const IdeTask& task) override;
  void finish(const IdeTask& task, bool failed) override;
  void reset() override;

 private:
  struct Packet;
  Next begin_packet(IdeTask& task);
  Next good();
  /// Ends the packet command with sense data. SPC-4, 4.5.
  Next check(std::uint8_t key, std::uint8_t code, std::uint8_t qualifier = 0);
  Next refuse_field();
  Next read(IdeTask& task, std::uint64_t first, std::uint64_t count);
  Next read_raw(const Packet& packet, IdeTask& task);
  /// What has been put into the buffer, as much of it as the host has room for.
  Next answer(IdeTask& task, std::uint32_t bytes, std::uint32_t room);
  std::uint32_t block_limit() const;

  const std::string serial_;
  const std::uint64_t sectors_;
};

}  // namespace vireo::devices
