#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "devices/ide/ide_drive.h"

namespace vireo::devices {

/// What a drive tells of itself: 256 words. ATA/ATAPI-7 volume 1, 6.16 and 6.17.
class IdentifyData {
 public:
  void put_disk(std::uint64_t sectors, std::uint32_t physical_sectors, unsigned most_multiple);
  void put_cdrom();
  /// What the guest has set.
  void put_current(const IdeRegisters& registers);
  void put_names(std::string_view serial, std::string_view model);
  /// With the checksum, to the front of the buffer.
  void copy_to(IdeDrive::Buffer& buffer) const;

 private:
  void put_transfer_modes();
  void put_text(unsigned first, unsigned words, std::string_view text);
  std::array<std::uint16_t, 256> words_{};
};

}  // namespace vireo::devices
