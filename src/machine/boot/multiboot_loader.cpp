#include <algorithm>
#include <array>
#include <vector>

#include "machine/boot/byte_reader.h"
#include "machine/boot/elf_file.h"
#include "machine/boot/entry_state.h"
#include "machine/boot/loader.h"
#include "machine/boot/multiboot.h"

namespace vireo::machine {
namespace {

constexpr std::uint32_t kBootMagic = 0x2badb002;

// The Multiboot information structure. Multiboot Specification 0.6.96, 3.3.
constexpr std::uint32_t kHasMemory = 1 << 0, kHasCommandLine = 1 << 2, kHasModules = 1 << 3,
                        kHasMap = 1 << 6, kHasLoaderName = 1 << 9;
struct Info {
  std::uint32_t flags = 0;
  std::uint32_t lower_kib = 0, upper_kib = 0;
  std::uint32_t boot_device = 0;
  std::uint32_t command_line = 0;
  std::uint32_t module_count = 0, modules = 0;
  std::array<std::uint32_t, 4> symbols{};
  std::uint32_t map_size = 0, map = 0;
  std::uint32_t drives_size = 0, drives = 0;
  std::uint32_t config_table = 0;
  std::uint32_t loader_name = 0;
  std::uint32_t apm_table = 0;
};
static_assert(sizeof(Info) == 72);
struct Module {
  std::uint32_t begin = 0, end = 0, command_line = 0, reserved = 0;
};
static_assert(sizeof(Module) == 16);

std::uint32_t narrow(std::uint64_t address) { return static_cast<std::uint32_t>(address); }

struct LoadedKernel {
  std::uint64_t entry;
  std::uint64_t end;
};

/// The header says itself where the image goes ("a.out kludge"). 3.1.3.
Result<LoadedKernel> load_by_header(const MultibootHeader& header, std::span<const std::byte> file,
                                    const BootContext& context, FreeMemory& free) {
  const std::uint64_t before = std::uint64_t{header.header_address} - header.load_address;
  if (header.header_address < header.load_address || before > header.offset) {
    return usage_error("the multiboot header places itself outside of the loaded image");
  }
  const std::uint64_t from = header.offset - before;
  const std::uint64_t rest = file.size() - from;
  const std::uint64_t size =
      header.load_end == 0 ? rest : std::uint64_t{header.load_end} - header.load_address;
  if (header.load_end != 0 && (header.load_end < header.load_address || size > rest)) {
    return usage_error("the multiboot header wants more to be loaded than the file has");
  }
  const std::uint64_t loaded_end = header.load_address + size;
  const std::uint64_t end = std::max<std::uint64_t>(loaded_end, header.bss_end);
  TRY(load_segment({file.subspan(from, size), header.load_address, header.load_address,
                    end - header.load_address},
                   free, context.memory));
  return LoadedKernel{header.entry, end};
}

Result<LoadedKernel> load_image(const MultibootHeader& header, const BootImage& image,
                                const BootContext& context, FreeMemory& free) {
  constexpr std::uint32_t kUnderstood =
      MultibootHeader::kPageAlign | MultibootHeader::kMemoryInfo | MultibootHeader::kVideo;
  if ((header.flags & 0xffff & ~kUnderstood) != 0) {
    return usage_error("the multiboot kernel requires features that are not known (flags {:#x})",
                       header.flags & 0xffff);
  }
  if ((header.flags & MultibootHeader::kAddresses) != 0) {
    return load_by_header(header, image.kernel, context, free);
  }
  const ElfFile elf = TRY(ElfFile::parse(image.kernel));
  TRY(load_segments(elf, free, context.memory));
  return LoadedKernel{elf.entry(), elf.end()};
}

Result<> put_modules(const BootImage& image, const BootContext& context, FreeMemory& free,
                     std::uint64_t kernel_end, Info& info) {
  if (image.modules.empty()) return {};
  std::vector<Module> modules;
  // In order right after the kernel, page aligned whether the kernel asks for that or not.
  std::uint64_t from = std::max(kernel_end, kHighMemoryBase);
  for (const BootModule& module : image.modules) {
    const auto place = free.take_lowest(module.bytes.size(), kPageSize, from, kDeviceHoleBase);
    if (!place) {
      return usage_error("the module {} does not fit into memory; give at least --memory {}M",
                         module.command_line, mib_needed(from + module.bytes.size() + kPageSize));
    }
    context.memory.write(PhysAddr{*place}, module.bytes);
    from = *place + module.bytes.size();
    const std::uint64_t text = TRY(put_text(context, free, module.command_line));
    modules.push_back({narrow(*place), narrow(from), narrow(text), 0});
  }
  const std::uint64_t list = TRY(take_low(free, modules.size() * sizeof(Module)));
  context.memory.write(PhysAddr{list}, std::as_bytes(std::span(modules)));
  info.flags |= kHasModules;
  info.module_count = narrow(modules.size());
  info.modules = narrow(list);
  return {};
}

Result<> put_memory_map(const BootContext& context, FreeMemory& free, Info& info) {
  constexpr std::uint64_t kEntrySize = 24;  // with the size field that does not count itself
  info.map_size = narrow(context.map.size() * kEntrySize);
  const std::uint64_t base = TRY(take_low(free, info.map_size));
  std::uint64_t at = base;
  for (const MemoryRange& range : context.map) {
    context.memory.write_value(PhysAddr{at}, narrow(kEntrySize - 4));
    context.memory.write_value(PhysAddr{at + 4}, range.base);
    context.memory.write_value(PhysAddr{at + 12}, range.size);
    context.memory.write_value(PhysAddr{at + 20}, static_cast<std::uint32_t>(range.type));
    at += kEntrySize;
  }
  info.map = narrow(base);
  info.lower_kib = narrow(kEbdaBase >> 10);
  info.upper_kib = narrow((free.ram_end(kDeviceHoleBase) - kHighMemoryBase) >> 10);
  info.flags |= kHasMap | kHasMemory;
  return {};
}

}  // namespace

Result<x86::CpuState> load_multiboot(const BootImage& image, const BootContext& context) {
  const auto header = find_multiboot_header(image.kernel);
  if (!header) return usage_error("{} has no multiboot header", image.kernel_name);
  if (context.port_write) put_bios_environment(context.memory, context.port_write);
  FreeMemory free(context.map);
  const LoadedKernel kernel = TRY(load_image(*header, image, context, free));

  Info info;
  TRY(put_modules(image, context, free, kernel.end, info));
  TRY(put_memory_map(context, free, info));
  const std::string command_line =
      image.command_line.empty() ? image.kernel_name : image.kernel_name + " " + image.command_line;
  info.command_line = narrow(TRY(put_text(context, free, command_line)));
  info.loader_name = narrow(TRY(put_text(context, free, "vireo")));
  info.flags |= kHasCommandLine | kHasLoaderName;
  const std::uint64_t info_at = TRY(take_low(free, sizeof(info)));
  context.memory.write_value(PhysAddr{info_at}, info);

  x86::CpuState state = TRY(flat32_state(context, free, kernel.entry & 0xffff'ffff));
  state.gpr[x86::kRax] = kBootMagic;
  state.gpr[x86::kRbx] = info_at;
  return state;
}

}  // namespace vireo::machine
