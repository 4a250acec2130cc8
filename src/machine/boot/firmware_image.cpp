#include "machine/boot/firmware_image.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "machine/boot/boot_image.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

constexpr std::uint64_t kSmallest = 64 << 10, kLargest = 16 << 20, kShadow = 128 << 10;
constexpr const char* kVideoBios = "/usr/share/seabios/vgabios-stdvga.bin";

/// Firmware that a package of the distribution installs.
struct KnownFirmware {
  std::string_view name;
  const char* path;
};
constexpr std::array<KnownFirmware, 2> kKnown{
    {{"seabios", "/usr/share/seabios/bios-256k.bin"}, {"ovmf", "/usr/share/ovmf/OVMF.fd"}}};

Result<> check_installed(const char* path, std::string_view package) {
  if (::access(path, F_OK) == 0) return {};
  return usage_error("there is no {}: install the package {} (apt-get install {})", path, package,
                     package);
}

}  // namespace

Result<FirmwareImage> read_firmware(const std::string& name) {
  FirmwareImage image{name, {}};
  std::string path = name;
  const auto known = std::ranges::find(kKnown, name, &KnownFirmware::name);
  if (known != kKnown.end()) {
    TRY(check_installed(known->path, known->name));
    path = known->path;
  }
  image.bytes = TRY(read_file(path, "firmware"));
  const std::size_t size = image.bytes.size();
  if (size < kSmallest || size > kLargest || size % kPageSize != 0) {
    return usage_error(
        "{} is no PC firmware: it has {} bytes, not whole pages from 64 KiB to 16 MiB", path, size);
  }
  return image;
}

Result<std::vector<std::byte>> read_video_bios() {
  if (::access(kVideoBios, F_OK) != 0) return std::vector<std::byte>();
  return read_file(kVideoBios, "video BIOS");
}

memory::Region firmware_region(const FirmwareImage& image) {
  const std::uint64_t size = image.bytes.size();
  return {PhysAddr{kAboveHoleBase - size}, size, memory::RegionKind::kRom, "firmware"};
}

void put_firmware(memory::GuestMemory& memory, const FirmwareImage& image) {
  const auto bytes = std::span(image.bytes);
  memory.write_rom(firmware_region(image).base, bytes);
  const std::uint64_t size = std::min<std::uint64_t>(bytes.size(), kShadow);
  memory.write_rom(PhysAddr{kHighMemoryBase - size}, bytes.last(size));
}

}  // namespace vireo::machine
