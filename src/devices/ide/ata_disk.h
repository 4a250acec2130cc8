#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "devices/ide/ide_drive.h"

namespace vireo::devices {

/// An ATA disk with sectors of 512 bytes: PIO, blocks of several sectors, DMA, 48-bit addresses.
/// ATA/ATAPI-7 volume 1, 6.
class AtaDisk final : public IdeDrive {
 public:
  static constexpr unsigned kMostMultiple = 16;

  /// `serial` has at most 20 characters.
  AtaDisk(backends::BlockBackend& medium, std::string serial);

  Next execute(std::uint8_t command, IdeTask& task, Buffer& buffer) override;
  Next execute_packet(IdeTask&, Buffer&) override { return abort(); }
  void begin_block(const IdeTask&, std::uint32_t) override {}
  bool end_pio_in(const IdeTask& task) override;
  void finish(const IdeTask& task, bool failed) override;
  void reset() override;

 private:
  struct Access;
  static std::optional<Access> access_of(std::uint8_t command);
  Next transfer(const Access& access, IdeTask& task);
  std::optional<std::uint64_t> sector(bool wide) const;
  std::uint64_t sector_count(bool wide) const;
  void put_address(std::uint64_t sector, bool wide);
  Next set_features();
  Next smart(IdeTask& task, Buffer& buffer);
  Next identify(IdeTask& task, Buffer& buffer);
  Next done();

  const std::string serial_;
  const std::uint64_t sectors_;
};

}  // namespace vireo::devices
