#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "memory/guest_memory.h"
#include "x86/cpu_state.h"

namespace vireo::machine {

/// The firmware of a PC as it stands in a ROM that ends at 4 GiB.
struct FirmwareImage {
  std::string name;
  std::vector<std::byte> bytes;  ///< whole pages, 64 KiB to 16 MiB
};

/// `name` is a file, or `seabios` or `ovmf` for what the packages of that name install; of ovmf
/// `with_variables` only the code. A usage error says what cannot be read or cannot be firmware,
/// and which package would bring it.
Result<FirmwareImage> read_firmware(const std::string& name, bool with_variables = false);

/// The file with the variables that the package begins with, for `ovmf`; a usage error for others.
Result<std::string> variables_of_package(const std::string& name);

/// The video BIOS that the package seabios installs; empty where it is not: some firmware has a
/// driver of its own.
Result<std::vector<std::byte>> read_video_bios();

/// Where the image is to be in guest memory.
memory::Region firmware_region(const FirmwareImage& image);

/// Where so many bytes of its variables are: in front of it.
PhysAddr variables_base(const FirmwareImage& image, std::uint64_t bytes);

/// Puts the image there, and its last 128 KiB below 1 MiB, where shadow RAM stands for the ROM.
void put_firmware(memory::GuestMemory& memory, const FirmwareImage& image);

}  // namespace vireo::machine
