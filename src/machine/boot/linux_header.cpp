#include "machine/boot/linux_header.h"

#include <algorithm>

#include "machine/boot/byte_reader.h"

namespace vireo::machine {
namespace {

constexpr std::uint32_t kHdrS = 0x53726448;
constexpr std::uint8_t kLoadedHigh = 1;
constexpr std::uint64_t kEndOfHeader = 0x268;

}  // namespace

bool LinuxHeader::present(std::span<const std::byte> file) {
  return number_or_zero<std::uint16_t>(file, 0x1fe) == 0xaa55 &&
         number_or_zero<std::uint32_t>(file, 0x202) == kHdrS;
}

Result<LinuxHeader> LinuxHeader::parse(std::span<const std::byte> file) {
  const auto u8 = [&](std::uint64_t at) { return number_or_zero<std::uint8_t>(file, at); };
  const auto u16 = [&](std::uint64_t at) { return number_or_zero<std::uint16_t>(file, at); };
  const auto u32 = [&](std::uint64_t at) { return number_or_zero<std::uint32_t>(file, at); };
  LinuxHeader header;
  header.protocol = u16(0x206);
  header.load_flags = u8(0x211);
  if (!present(file) || header.protocol < 0x202 || (header.load_flags & kLoadedHigh) == 0) {
    return usage_error("the kernel is a Linux too old for direct boot (boot protocol {}.{:02})",
                       header.protocol >> 8, header.protocol & 0xff);
  }
  header.setup_sectors = u8(0x1f1) != 0 ? u8(0x1f1) : 4;
  const std::uint64_t payload_at = (std::uint64_t{header.setup_sectors} + 1) * 512;
  // The jump at 0x200 spans the header: its displacement says where it ends.
  const std::uint64_t end = std::clamp<std::uint64_t>(0x202 + u8(0x201), 0x230, kEndOfHeader);
  const std::uint64_t payload_size = std::uint64_t{u32(0x1f4)} * 16;  // rounded up
  if (payload_at >= file.size() || end > file.size() ||
      payload_size > file.size() - payload_at + 15) {
    return usage_error("the kernel file is cut off");
  }
  header.raw = file.subspan(kOffset, end - kOffset);
  header.payload = file.subspan(payload_at);
  const bool v203 = header.protocol >= 0x203, v205 = header.protocol >= 0x205,
             v206 = header.protocol >= 0x206, v20a = header.protocol >= 0x20a,
             v20c = header.protocol >= 0x20c;
  header.initrd_address_max = v203 ? u32(0x22c) : 0x37ffffff;
  header.alignment = v205 ? u32(0x230) : 0;
  header.relocatable = v205 && u8(0x234) != 0;
  header.extended_flags = v20c ? u16(0x236) : std::uint16_t{0};
  header.command_line_size = v206 ? u32(0x238) : 255;
  header.preferred_address = v20a ? u32(0x258) | std::uint64_t{u32(0x25c)} << 32 : 0x10'0000;
  // Older kernels do not say: unpacked they are at most about four times as large.
  const std::uint64_t guess = std::min<std::uint64_t>(header.payload.size() * 4, 0x4000'0000);
  header.init_size = v20a ? u32(0x260) : static_cast<std::uint32_t>(guess);
  return header;
}

}  // namespace vireo::machine
