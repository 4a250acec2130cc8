#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "devices/firmware/byte_writer.h"

namespace vireo::devices {

/// The script by which firmware loads tables from fw_cfg files, places them, and mends pointers and
/// checksums: entries of 128 bytes, little endian. Understood by SeaBIOS and OVMF.
class TableLoader {
 public:
  enum class Zone : std::uint8_t { kHigh = 1, kBelow1MiB = 2 };
  static constexpr std::size_t kEntrySize = 128, kNameSize = 56;

  void allocate(std::string_view file, std::uint32_t alignment, Zone zone) {
    writer_.u32(1).text(file, kNameSize).u32(alignment).u8(static_cast<std::uint8_t>(zone));
    fill();
  }
  /// Adds the address of `target` to `size` bytes at `offset` in `file`.
  void add_pointer(std::string_view file, std::string_view target, std::uint32_t offset,
                   std::uint8_t size) {
    writer_.u32(2).text(file, kNameSize).text(target, kNameSize).u32(offset).u8(size);
    fill();
  }
  /// Makes the bytes of a range, of which the one at `offset` is part, add up to zero.
  void add_checksum(std::string_view file, std::uint32_t offset, std::uint32_t start,
                    std::uint32_t length) {
    writer_.u32(3).text(file, kNameSize).u32(offset).u32(start).u32(length);
    fill();
  }
  std::vector<std::uint8_t> take() { return writer_.take(); }

 private:
  void fill() { writer_.zeros((kEntrySize - writer_.size() % kEntrySize) % kEntrySize); }
  ByteWriter writer_;
};

}  // namespace vireo::devices
