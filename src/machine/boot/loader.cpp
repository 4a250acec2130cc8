#include "machine/boot/loader.h"

namespace vireo::machine {

Result<x86::CpuState> load_kernel(const BootImage& image, const BootContext& context) {
  switch (image.kind) {
    case KernelKind::kBzImage:
      return load_bzimage(image, context);
    case KernelKind::kLinuxElf:
      return load_linux_elf(image, context);
    case KernelKind::kPvh:
      return load_pvh(image, context);
    case KernelKind::kMultiboot:
      return load_multiboot(image, context);
  }
  return usage_error("{} is not a kernel", image.kernel_name);
}

Result<std::uint64_t> take_low(FreeMemory& free, std::uint64_t size, std::uint64_t alignment) {
  const auto place = free.take_lowest(size, alignment, kPageSize, kLowMemoryEnd);
  if (!place) return usage_error("the kernel leaves no memory below 640 KiB for its boot data");
  return *place;
}

Result<std::uint64_t> put_text(const BootContext& context, FreeMemory& free,
                               const std::string& text) {
  const std::uint64_t place = TRY(take_low(free, text.size() + 1));
  context.memory.write(PhysAddr{place}, std::as_bytes(std::span(text.c_str(), text.size() + 1)));
  return place;
}

std::uint64_t mib_needed(std::uint64_t end) { return (end + (1 << 20) - 1) >> 20; }

}  // namespace vireo::machine
