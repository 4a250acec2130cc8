#include "devices/ide/identify_data.h"

#include <algorithm>
#include <bit>

#include "base/version.h"

namespace vireo::devices {
namespace {

std::uint16_t low_word(std::uint64_t value) { return static_cast<std::uint16_t>(value); }
std::uint16_t high_word(std::uint64_t value) { return static_cast<std::uint16_t>(value >> 16); }

// Words 82 to 84, repeated in 85 to 87 as what is enabled.
constexpr std::uint16_t kSmart = 0x0001, kPacket = 0x0010, kWriteCache = 0x0020,
                        kLookAhead = 0x0040, kDeviceReset = 0x0200, kNop = 0x4000;
constexpr std::uint16_t kWords83 = 0x4000, kWide = 0x0400, kFlush = 0x1000, kFlushExt = 0x2000;
constexpr std::uint16_t kWords84 = 0x4000, kForceUnitAccess = 0x0040;

}  // namespace

void IdentifyData::put_disk(std::uint64_t sectors, std::uint32_t physical_sectors,
                            unsigned most_multiple) {
  constexpr std::uint64_t kHeads = 16, kPerTrack = 63, kMostCylinders = 16383;
  constexpr std::uint64_t kMostNarrow = 0x0fffffff;
  const std::uint64_t cylinders = std::min(sectors / (kHeads * kPerTrack), kMostCylinders);
  words_[0] = 0x0040;  // a fixed disk
  words_[1] = low_word(cylinders);
  words_[3] = kHeads;
  words_[6] = kPerTrack;
  words_[47] = static_cast<std::uint16_t>(0x8000 | most_multiple);
  words_[49] = 0x0f00;  // DMA, LBA, IORDY
  words_[50] = 0x4000;
  words_[54] = words_[1];
  words_[55] = words_[3];
  words_[56] = words_[6];
  const std::uint64_t reachable = cylinders * kHeads * kPerTrack;
  words_[57] = low_word(reachable);
  words_[58] = high_word(reachable);
  const std::uint64_t narrow = std::min(sectors, kMostNarrow);
  words_[60] = low_word(narrow);
  words_[61] = high_word(narrow);
  put_transfer_modes();
  words_[80] = 0x00f0;  // ATA/ATAPI-4 to 7
  words_[82] = words_[85] = kSmart | kWriteCache | kLookAhead;
  words_[83] = words_[86] = kWords83 | kWide | kFlush | kFlushExt;
  words_[84] = words_[87] = kWords84 | kForceUnitAccess;
  for (unsigned i = 0; i < 4; ++i) words_[100 + i] = low_word(sectors >> (16 * i));
  words_[106] = static_cast<std::uint16_t>(0x4000 | (physical_sectors > 1 ? 0x2000 : 0) |
                                           (std::bit_width(physical_sectors) - 1));
  words_[217] = 1;  // not a rotating medium
}

void IdentifyData::put_cdrom() {
  words_[0] = 0x85c0;  // a removable CD-ROM, packets of 12 bytes, quick to ask for them
  words_[49] = 0x0f00;
  put_transfer_modes();
  words_[80] = 0x0030;
  words_[82] = words_[85] = kPacket | kDeviceReset | kNop;
  words_[83] = words_[86] = kWords83;
  words_[84] = words_[87] = kWords84;
}

void IdentifyData::put_transfer_modes() {
  words_[53] = 0x0007;
  words_[63] = 0x0007;                                      // multiword DMA 0 to 2
  words_[64] = 0x0003;                                      // PIO 3 and 4
  words_[65] = words_[66] = words_[67] = words_[68] = 120;  // nanoseconds
  words_[88] = 0x003f;                                      // Ultra DMA 0 to 5
  words_[93] = 0x6001;                                      // the cable is good for it
}

void IdentifyData::put_current(const IdeRegisters& registers) {
  constexpr unsigned kMultiwordMode = 0x20, kUltraMode = 0x40;
  if (registers.multiple != 0) words_[59] = static_cast<std::uint16_t>(0x100 | registers.multiple);
  const auto selected = static_cast<std::uint16_t>(0x100u << (registers.transfer_mode & 7));
  if ((registers.transfer_mode & 0xf8) == kMultiwordMode) words_[63] |= selected;
  if ((registers.transfer_mode & 0xf8) == kUltraMode) words_[88] |= selected;
  if (registers.write_through != 0)
    words_[85] = static_cast<std::uint16_t>(words_[85] & ~kWriteCache);
}

void IdentifyData::put_names(std::string_view serial, std::string_view model) {
  put_text(10, 10, serial);
  put_text(23, 4, kVersion);
  put_text(27, 20, model);
}

/// Two characters a word, the first in the upper half, filled up with spaces.
void IdentifyData::put_text(unsigned first, unsigned words, std::string_view text) {
  for (unsigned i = 0; i < 2 * words; ++i) {
    const auto byte = static_cast<std::uint8_t>(i < text.size() ? text[i] : ' ');
    std::uint16_t& word = words_[first + i / 2];
    word = static_cast<std::uint16_t>(word << 8 | byte);
  }
}

void IdentifyData::copy_to(IdeDrive::Buffer& buffer) const {
  constexpr std::uint8_t kSignature = 0xa5;
  std::uint8_t sum = 0;
  for (unsigned i = 0; i < 2 * words_.size(); ++i) {
    buffer[i] = static_cast<std::uint8_t>(words_[i / 2] >> (8 * (i % 2)));
    if (i < 510) sum = static_cast<std::uint8_t>(sum + buffer[i]);
  }
  buffer[510] = kSignature;
  buffer[511] = static_cast<std::uint8_t>(0u - sum - kSignature);
}

}  // namespace vireo::devices
