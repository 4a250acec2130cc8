#include "devices/ide/cdrom_answers.h"

#include <string_view>

namespace vireo::devices::cdrom {
namespace {

constexpr std::uint8_t kLeadOut = 0xaa, kDataTrack = 0x14;

void put(Bytes& bytes, std::uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}
void put(Bytes& bytes, std::string_view text, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(i < text.size() ? text[i] : ' '));
}
/// The length of what follows it, at the front.
void put_length(Bytes& bytes, unsigned size) {
  const std::size_t length = bytes.size() - size;
  for (unsigned i = 0; i < size; ++i)
    bytes[i] = static_cast<std::uint8_t>(length >> (8 * (size - 1 - i)));
}

/// An address on the disc: a number of sectors, or minutes, seconds and frames behind the lead-in.
void put_address(Bytes& bytes, std::uint64_t sector, bool in_minutes) {
  if (!in_minutes) return put(bytes, sector, 4);
  constexpr std::uint64_t kFrames = 75, kSeconds = 60, kLeadIn = 150;
  const std::uint64_t at = sector + kLeadIn;
  put(bytes, 0, 1);
  put(bytes, at / (kFrames * kSeconds), 1);
  put(bytes, at / kFrames % kSeconds, 1);
  put(bytes, at % kFrames, 1);
}

void put_track(Bytes& bytes, std::uint8_t number, std::uint64_t sector, bool in_minutes) {
  put(bytes, 0, 1);
  put(bytes, kDataTrack, 1);
  put(bytes, number, 1);
  put(bytes, 0, 1);
  put_address(bytes, sector, in_minutes);
}

/// MMC-6, 6.25.3.4: points A0 to A2 and the track.
Bytes raw_table(std::uint64_t sectors) {
  Bytes bytes{0, 0, 1, 1};
  const auto entry = [&](std::uint8_t point, std::uint64_t sector, bool number, unsigned value) {
    bytes.insert(bytes.end(), {1, kDataTrack, 0, point, 0, 0, 0});
    if (number) {
      put(bytes, 0, 1);
      put(bytes, value, 1);
      put(bytes, 0, 2);
    } else {
      put_address(bytes, sector, true);
    }
  };
  entry(0xa0, 0, true, 1);
  entry(0xa1, 0, true, 1);
  entry(0xa2, sectors, false, 0);
  entry(1, 0, false, 0);
  put_length(bytes, 2);
  return bytes;
}

constexpr unsigned kProfileCdRom = 0x0008;

/// MMC-6, 5.3: a code, whether it is persistent and current, and data.
void put_feature(Bytes& bytes, unsigned code, unsigned flags, std::initializer_list<int> data) {
  put(bytes, code, 2);
  put(bytes, flags, 1);
  put(bytes, data.size(), 1);
  for (const int byte : data) put(bytes, static_cast<std::uint64_t>(byte), 1);
}

}  // namespace

Bytes inquiry() {
  Bytes bytes{0x05, 0x80, 0x05, 0x21, 31, 0, 0, 0};  // a removable CD-ROM; ATAPI
  put(bytes, "VIREO", 8);
  put(bytes, "CD-ROM", 16);
  put(bytes, "1.0", 4);
  return bytes;
}

Bytes request_sense(const IdeRegisters& registers) {
  Bytes bytes(18);
  bytes[0] = 0x70;
  bytes[2] = registers.sense_key;
  bytes[7] = 10;
  bytes[12] = registers.sense_code;
  bytes[13] = registers.sense_qualifier;
  return bytes;
}

Bytes capacity(std::uint64_t sectors) {
  Bytes bytes;
  put(bytes, sectors != 0 ? sectors - 1 : 0, 4);
  put(bytes, 2048, 4);
  return bytes;
}

std::optional<Bytes> table_of_contents(std::uint64_t sectors, bool in_minutes, unsigned format,
                                       unsigned first_track) {
  Bytes bytes{0, 0, 1, 1};  // the first and the last track, or session
  switch (format) {
    case 0:
      if (first_track > 1 && first_track != kLeadOut) return std::nullopt;
      if (first_track <= 1) put_track(bytes, 1, 0, in_minutes);
      put_track(bytes, kLeadOut, sectors, in_minutes);
      break;
    case 1:
      put_track(bytes, 1, 0, in_minutes);
      break;
    case 2:
      return raw_table(sectors);
    default:
      return std::nullopt;
  }
  put_length(bytes, 2);
  return bytes;
}

Bytes configuration(unsigned type, unsigned first) {
  constexpr unsigned kCurrent = 1, kPersistent = 3;
  Bytes bytes(8);
  bytes[7] = kProfileCdRom;
  const auto feature = [&](unsigned code, unsigned flags, std::initializer_list<int> data) {
    const bool wanted = type == 2 ? code == first : code >= first;
    if (wanted) put_feature(bytes, code, flags, data);
  };
  feature(0x0000, kPersistent, {0, kProfileCdRom, 1, 0});         // profiles
  feature(0x0001, kPersistent | 0x08, {0, 0, 0, 2, 1, 0, 0, 0});  // core: ATAPI
  feature(0x0003, kPersistent, {0x29, 0, 0, 0});                  // a tray that can be locked
  feature(0x0010, kCurrent, {0, 0, 8, 0, 0, 1, 0, 0});            // sectors of 2048 bytes
  feature(0x001e, kCurrent, {0, 0, 0, 0});                        // CDs
  put_length(bytes, 4);
  return bytes;
}

Bytes event_status(std::uint8_t classes) {
  constexpr std::uint8_t kMedia = 4, kSupported = 1 << kMedia, kNone = 0x80, kPresent = 0x02;
  if ((classes & kSupported) == 0) return {0, 2, kNone, kSupported};
  return {0, 6, kMedia, kSupported, 0, kPresent, 0, 0};
}

std::optional<Bytes> mode_pages(std::uint8_t page) {
  constexpr std::uint8_t kAll = 0x3f, kRecovery = 0x01, kAudio = 0x0e, kCapabilities = 0x2a;
  Bytes bytes(8);
  const std::size_t header = bytes.size();
  if (page == kAll || page == kRecovery)
    bytes.insert(bytes.end(), {kRecovery, 6, 0, 5, 0, 0, 0, 0});
  if (page == kAll || page == kAudio)
    bytes.insert(bytes.end(), {kAudio, 14, 4, 0, 0, 0, 0, 0, 1, 255, 2, 255, 0, 0, 0, 0});
  if (page == kAll || page == kCapabilities) {
    bytes.insert(bytes.end(), {kCapabilities, 20, 0x03, 0, 0x70, 0x60, 0x29, 0});
    for (const unsigned value : {706u, 2u, 512u, 706u, 0u, 0u, 0u}) put(bytes, value, 2);
  }
  if (bytes.size() == header) return std::nullopt;
  bytes[2] = 0x01;  // a data disc
  put_length(bytes, 2);
  return bytes;
}

Bytes disc_information() {
  Bytes bytes(34);
  bytes[2] = 0x0e;  // complete, as is its last session
  bytes[3] = bytes[4] = bytes[5] = bytes[6] = 1;
  bytes[7] = 0x20;
  put_length(bytes, 2);
  return bytes;
}

Bytes mechanism_status() { return {0, 0, 0, 0, 0, 1, 0, 0}; }

}  // namespace vireo::devices::cdrom
