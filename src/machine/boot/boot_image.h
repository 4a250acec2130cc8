#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace vireo::machine {

/// What a kernel file is, told by its content and never by its name.
enum class KernelKind : std::uint8_t {
  kBzImage,    ///< Linux with its real-mode header. Documentation/arch/x86/boot.rst
  kLinuxElf,   ///< `vmlinux`: an ELF file entered by the Linux boot protocol
  kPvh,        ///< an ELF file with a XEN_ELFNOTE_PHYS32_ENTRY note
  kMultiboot,  ///< has a Multiboot 1 header in its first 8 KiB
};
const char* kernel_kind_name(KernelKind kind);

/// A usage error says what the file is not. The file is hostile.
Result<KernelKind> classify_kernel(std::span<const std::byte> file);

/// An initial RAM disk or a Multiboot module.
struct BootModule {
  std::string command_line;
  std::vector<std::byte> bytes;
};

/// Everything that direct boot needs, read from the host's files once, so that a guest can be
/// started again after a reset whatever has become of the files.
struct BootImage {
  KernelKind kind;
  std::string kernel_name;
  std::vector<std::byte> kernel;
  std::string command_line;
  std::vector<BootModule> modules;  ///< Linux and PVH: at most one, the RAM disk
};

/// `initrd` is a file name or empty; for Multiboot a comma separated list of "file arguments". A
/// usage error names the file that cannot be read or is not a kernel.
Result<BootImage> read_boot_image(const std::string& kernel, const std::string& initrd,
                                  const std::string& command_line);

/// The whole of a regular file. `what` names its role in the message.
Result<std::vector<std::byte>> read_file(const std::string& path, std::string_view what);

}  // namespace vireo::machine
