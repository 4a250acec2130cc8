#include "machine/boot/boot_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"
#include "machine/boot/elf_file.h"
#include "machine/boot/linux_header.h"
#include "machine/boot/multiboot.h"
#include "machine/boot/user_program.h"

namespace vireo::machine {
namespace {

// More than any kernel or RAM disk; a guard against reading a disk image by mistake.
constexpr std::uint64_t kLargestFile = std::uint64_t{8} << 30;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

Result<std::vector<BootModule>> read_modules(KernelKind kind, const std::string& initrd) {
  std::vector<BootModule> modules;
  if (initrd.empty()) return modules;
  if (kind != KernelKind::kMultiboot) {
    modules.push_back({"", TRY(read_file(initrd, "initial RAM disk"))});
    return modules;
  }
  for (const std::string& part : split(initrd, ',')) {
    const std::string path = part.substr(0, part.find(' '));
    modules.push_back({part, TRY(read_file(path, "multiboot module"))});
  }
  return modules;
}

}  // namespace

const char* kernel_kind_name(KernelKind kind) {
  switch (kind) {
    case KernelKind::kBzImage:
      return "Linux bzImage";
    case KernelKind::kLinuxElf:
      return "Linux vmlinux";
    case KernelKind::kPvh:
      return "PVH ELF";
    case KernelKind::kMultiboot:
      return "multiboot 1";
  }
  return "?";
}

Result<KernelKind> classify_kernel(std::span<const std::byte> file) {
  if (find_multiboot_header(file)) return KernelKind::kMultiboot;
  if (LinuxHeader::present(file)) return KernelKind::kBzImage;
  if (!ElfFile::present(file)) {
    return usage_error("it is neither a Linux bzImage, an ELF file nor a multiboot kernel");
  }
  const ElfFile elf = TRY(ElfFile::parse(file));
  if (elf.pvh_entry()) return KernelKind::kPvh;
  if (is_user_program(elf)) return usage_error("it is a program for an operating system");
  if (elf.machine() == ElfFile::kMachineAmd64) return KernelKind::kLinuxElf;
  return usage_error("it is a 32-bit ELF file with neither a PVH note nor a multiboot header");
}

Result<std::vector<std::byte>> read_file(const std::string& path, std::string_view what) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    return usage_error("cannot read the {} {}: {}", what, path,
                       std::generic_category().message(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return usage_error("cannot read the {} {}: it is not a regular file", what, path);
  }
  if (static_cast<std::uint64_t>(status.st_size) > kLargestFile) {
    return usage_error("cannot use the {} {}: it is larger than 8 GiB", what, path);
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return usage_error("cannot read the {} {}: {}", what, path,
                         std::generic_category().message(errno));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

Result<BootImage> read_boot_image(const std::string& kernel, const std::string& initrd,
                                  const std::string& command_line) {
  BootImage image{KernelKind::kBzImage, kernel, TRY(read_file(kernel, "kernel")), command_line, {}};
  const auto kind = classify_kernel(image.kernel);
  if (!kind) {
    return usage_error("{} is not a kernel that can be booted: {}", kernel, kind.error().message);
  }
  image.kind = *kind;
  image.modules = TRY(read_modules(*kind, initrd));
  return image;
}

}  // namespace vireo::machine
