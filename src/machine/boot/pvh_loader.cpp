#include <vector>

#include "machine/boot/elf_file.h"
#include "machine/boot/entry_state.h"
#include "machine/boot/loader.h"

namespace vireo::machine {
namespace {

// Xen's public headers, arch-x86/hvm/start_info.h, version 1.
struct StartInfo {
  std::uint32_t magic = 0x336ec578;
  std::uint32_t version = 1;
  std::uint32_t flags = 0;
  std::uint32_t module_count = 0;
  std::uint64_t modules = 0;
  std::uint64_t command_line = 0;
  std::uint64_t rsdp = 0;
  std::uint64_t memory_map = 0;
  std::uint32_t memory_map_entries = 0;
  std::uint32_t reserved = 0;
};
struct Module {
  std::uint64_t address = 0, size = 0, command_line = 0, reserved = 0;
};
struct MapEntry {
  std::uint64_t address = 0, size = 0;
  std::uint32_t type = 0, reserved = 0;
};
static_assert(sizeof(StartInfo) == 56 && sizeof(Module) == 32 && sizeof(MapEntry) == 24);

Result<> put_modules(const BootImage& image, const BootContext& context, FreeMemory& free,
                     std::uint64_t kernel_end, StartInfo& info) {
  if (image.modules.empty()) return {};
  const std::vector<std::byte>& bytes = image.modules[0].bytes;
  const auto place = free.take_highest(bytes.size(), kPageSize, kHighMemoryBase, kAboveHoleBase);
  if (!place) {
    return usage_error(
        "the initial RAM disk of {} MiB does not fit into memory; give at least --memory {}M",
        mib_needed(bytes.size()), mib_needed(kernel_end + bytes.size() + kPageSize));
  }
  context.memory.write(PhysAddr{*place}, bytes);
  info.modules = TRY(take_low(free, sizeof(Module)));
  info.module_count = 1;
  context.memory.write_value(PhysAddr{info.modules}, Module{*place, bytes.size(), 0, 0});
  return {};
}

Result<> put_memory_map(const BootContext& context, FreeMemory& free, StartInfo& info) {
  std::vector<MapEntry> entries;
  for (const MemoryRange& range : context.map) {
    entries.push_back({range.base, range.size, static_cast<std::uint32_t>(range.type), 0});
  }
  info.memory_map = TRY(take_low(free, entries.size() * sizeof(MapEntry)));
  info.memory_map_entries = static_cast<std::uint32_t>(entries.size());
  context.memory.write(PhysAddr{info.memory_map}, std::as_bytes(std::span(entries)));
  return {};
}

}  // namespace

Result<x86::CpuState> load_pvh(const BootImage& image, const BootContext& context) {
  const ElfFile elf = TRY(ElfFile::parse(image.kernel));
  if (!elf.pvh_entry()) return usage_error("{} has no PVH entry note", image.kernel_name);
  FreeMemory free(context.map);
  TRY(load_segments(elf, free, context.memory));

  StartInfo info;
  info.rsdp = context.rsdp;
  TRY(put_modules(image, context, free, elf.end(), info));
  TRY(put_memory_map(context, free, info));
  info.command_line = TRY(put_text(context, free, image.command_line));
  const std::uint64_t info_at = TRY(take_low(free, sizeof(info)));
  context.memory.write_value(PhysAddr{info_at}, info);

  x86::CpuState state = TRY(flat32_state(context, free, *elf.pvh_entry()));
  state.gpr[x86::kRbx] = info_at;
  state.tr = {0, x86::Segment::kPresent | 0xb, 0x67, 0};  // a busy 32-bit TSS
  return state;
}

}  // namespace vireo::machine
