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
  const char* code;       ///< without what it remembers; null: it remembers nothing
  const char* variables;  ///< what it remembers at first
};
constexpr std::array<KnownFirmware, 2> kKnown{
    {{"seabios", "/usr/share/seabios/bios-256k.bin", nullptr, nullptr},
     {"ovmf", "/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE_4M.fd",
      "/usr/share/OVMF/OVMF_VARS_4M.fd"}}};

Result<> check_installed(const char* path, std::string_view package) {
  if (::access(path, F_OK) == 0) return {};
  return usage_error("there is no {}: install the package {} (apt-get install {})", path, package,
                     package);
}

}  // namespace

Result<FirmwareImage> read_firmware(const std::string& name, bool with_variables) {
  FirmwareImage image{name, {}};
  std::string path = name;
  const auto known = std::ranges::find(kKnown, name, &KnownFirmware::name);
  if (known != kKnown.end()) {
    path = with_variables && known->code != nullptr ? known->code : known->path;
    TRY(check_installed(path.c_str(), known->name));
  }
  image.bytes = TRY(read_file(path, "firmware"));
  const std::size_t size = image.bytes.size();
  if (size < kSmallest || size > kLargest || size % kPageSize != 0) {
    return usage_error(
        "{} is no PC firmware: it has {} bytes, not whole pages from 64 KiB to 16 MiB", path, size);
  }
  return image;
}

Result<std::string> variables_of_package(const std::string& name) {
  const auto known = std::ranges::find(kKnown, name, &KnownFirmware::name);
  if (known == kKnown.end() || known->variables == nullptr)
    return usage_error(
        "the file for --firmware-variables does not exist, and only for --firmware ovmf is it "
        "known what it begins with");
  TRY(check_installed(known->variables, known->name));
  return known->variables;
}

Result<std::vector<std::byte>> read_video_bios() {
  if (::access(kVideoBios, F_OK) != 0) return std::vector<std::byte>();
  return read_file(kVideoBios, "video BIOS");
}

memory::Region firmware_region(const FirmwareImage& image) {
  const std::uint64_t size = image.bytes.size();
  return {PhysAddr{kAboveHoleBase - size}, size, memory::RegionKind::kRom, "firmware"};
}

PhysAddr variables_base(const FirmwareImage& image, std::uint64_t bytes) {
  return PhysAddr{value(firmware_region(image).base) - bytes};
}

void put_firmware(memory::GuestMemory& memory, const FirmwareImage& image) {
  const auto bytes = std::span(image.bytes);
  memory.write_rom(firmware_region(image).base, bytes);
  const std::uint64_t size = std::min<std::uint64_t>(bytes.size(), kShadow);
  memory.write_rom(PhysAddr{kHighMemoryBase - size}, bytes.last(size));
}

}  // namespace vireo::machine
