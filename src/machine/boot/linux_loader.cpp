#include <sys/random.h>

#include <algorithm>
#include <array>

#include "machine/boot/boot_params.h"
#include "machine/boot/elf_file.h"
#include "machine/boot/entry_state.h"
#include "machine/boot/linux_header.h"
#include "machine/boot/loader.h"

namespace vireo::machine {
namespace {

constexpr std::uint8_t kUndefinedLoader = 0xff, kLoadedHigh = 1;
constexpr std::uint16_t kVideoNormal = 0xffff;
constexpr std::uint32_t kHdrS = 0x53726448;

/// Where the RAM disk may go.
struct InitrdRule {
  std::uint64_t limit;       // one past the last byte below 4 GiB that it may occupy
  bool above_4g = false;     // it may also go above 4 GiB if it does not fit below
  std::uint64_t kernel_end;  // for the message
};

Result<> place_initrd(const BootImage& image, const BootContext& context, FreeMemory& free,
                      const InitrdRule& rule, BootParams& params) {
  if (image.modules.empty() || image.modules[0].bytes.empty()) return {};
  const std::vector<std::byte>& bytes = image.modules[0].bytes;
  auto place = free.take_highest(bytes.size(), kPageSize, kHighMemoryBase,
                                 std::min(rule.limit, kAboveHoleBase));
  if (!place && rule.above_4g) {
    place = free.take_highest(bytes.size(), kPageSize, kAboveHoleBase, ~std::uint64_t{0});
  }
  if (!place) {
    const std::uint64_t needed = mib_needed(rule.kernel_end + bytes.size() + kPageSize);
    if (needed << 20 > rule.limit) {
      return usage_error("the initial RAM disk of {} MiB is larger than this kernel can take",
                         mib_needed(bytes.size()));
    }
    return usage_error(
        "the initial RAM disk of {} MiB does not fit into memory; give at least --memory {}M",
        mib_needed(bytes.size()), needed);
  }
  context.memory.write(PhysAddr{*place}, bytes);
  params.set_initrd(*place, bytes.size());
  return {};
}

/// A setup_data node with a seed for the kernel's random number generator, which has nothing else
/// to start from this early.
Result<std::uint64_t> put_random_seed(const BootContext& context, FreeMemory& free) {
  struct Node {
    std::uint64_t next = 0;
    std::uint32_t type = 9;  // SETUP_RNG_SEED
    std::uint32_t length = 32;
    std::array<std::byte, 32> seed{};
  } node;
  if (::getrandom(node.seed.data(), node.seed.size(), 0) !=
      static_cast<ssize_t>(node.seed.size())) {
    return std::uint64_t{0};
  }
  const std::uint64_t place = TRY(take_low(free, sizeof(node)));
  context.memory.write_value(PhysAddr{place}, node);
  return place;
}

/// What both entries have in common. Answers with the address of the zero page.
Result<std::uint64_t> put_boot_params(const BootImage& image, const BootContext& context,
                                      FreeMemory& free, BootParams& params) {
  params.set(BootParams::kLoaderType, kUndefinedLoader);
  params.set(BootParams::kVideoMode, kVideoNormal);
  params.set(BootParams::kAcpiRsdp, context.rsdp);
  params.set_memory_map(context.map);
  const std::uint64_t command_line = TRY(put_text(context, free, image.command_line));
  params.set(BootParams::kCommandLine, static_cast<std::uint32_t>(command_line));
  const std::uint64_t place = TRY(take_low(free, params.bytes().size(), kPageSize));
  context.memory.write(PhysAddr{place}, params.bytes());
  return place;
}

Result<> check_command_line(const BootImage& image, const LinuxHeader& header) {
  if (image.command_line.size() <= header.command_line_size) return {};
  return usage_error("the kernel command line has {} characters, but this kernel takes at most {}",
                     image.command_line.size(), header.command_line_size);
}

Result<std::uint64_t> place_kernel(const LinuxHeader& header, const BootContext& context,
                                   FreeMemory& free) {
  const std::uint64_t base = header.preferred_address;
  const std::uint64_t size = std::max<std::uint64_t>(header.init_size, header.payload.size());
  if (base >= kDeviceHoleBase || size > kDeviceHoleBase - base || base < kHighMemoryBase) {
    return usage_error("the kernel's header asks for an impossible place in memory ({:#x})", base);
  }
  if (!free.take(base, size)) {
    return usage_error("the kernel needs at least {} MiB of memory; give it with --memory {}M",
                       mib_needed(base + size), mib_needed(base + size));
  }
  context.memory.write(PhysAddr{base}, header.payload);
  return base;
}

}  // namespace

Result<x86::CpuState> load_bzimage(const BootImage& image, const BootContext& context) {
  const LinuxHeader header = TRY(LinuxHeader::parse(image.kernel));
  TRY(check_command_line(image, header));
  FreeMemory free(context.map);
  const std::uint64_t base = TRY(place_kernel(header, context, free));
  const std::uint64_t end = base + std::max<std::uint64_t>(header.init_size, header.payload.size());

  BootParams params;
  params.set_header(header.raw);
  params.set(BootParams::kCode32Start, static_cast<std::uint32_t>(base));
  TRY(place_initrd(image, context, free,
                   {std::uint64_t{header.initrd_address_max} + 1, header.loadable_above_4g(), end},
                   params));
  if (header.protocol >= 0x209) {
    params.set(BootParams::kSetupData, TRY(put_random_seed(context, free)));
  }
  const std::uint64_t zero_page = TRY(put_boot_params(image, context, free, params));

  constexpr std::uint64_t kEntry64 = 0x200;
  x86::CpuState state = header.entry64() ? TRY(long64_state(context, free, base + kEntry64))
                                         : TRY(flat32_state(context, free, base));
  state.gpr[x86::kRsi] = zero_page;
  return state;
}

Result<x86::CpuState> load_linux_elf(const BootImage& image, const BootContext& context) {
  const ElfFile elf = TRY(ElfFile::parse(image.kernel));
  FreeMemory free(context.map);
  TRY(load_segments(elf, free, context.memory));

  // The file has no setup header; this is what one would say. 0x20f: boot protocol 2.15.
  BootParams params;
  params.set(BootParams::kBootFlag, std::uint16_t{0xaa55});
  params.set(BootParams::kMagic, kHdrS);
  params.set(BootParams::kProtocol, std::uint16_t{0x20f});
  params.set(BootParams::kLoadFlags, kLoadedHigh);
  params.set(BootParams::kAlignment, std::uint32_t{0x20'0000});
  // Its early mapping reaches as far as ours.
  TRY(place_initrd(image, context, free, {kAboveHoleBase, false, elf.end()}, params));
  params.set(BootParams::kSetupData, TRY(put_random_seed(context, free)));
  const std::uint64_t zero_page = TRY(put_boot_params(image, context, free, params));

  x86::CpuState state = TRY(long64_state(context, free, elf.entry()));
  state.gpr[x86::kRsi] = zero_page;
  return state;
}

}  // namespace vireo::machine
