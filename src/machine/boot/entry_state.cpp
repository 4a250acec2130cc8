#include "machine/boot/entry_state.h"

#include <array>
#include <vector>

namespace vireo::machine {
namespace {

using x86::Segment;

// Descriptors of flat segments, accessed. SDM vol. 3A, figure 3-8.
constexpr std::uint64_t kCode32 = 0x00cf'9b00'0000'ffff, kCode64 = 0x00af'9b00'0000'ffff,
                        kData = 0x00cf'9300'0000'ffff;

/// The hidden part as the CPU would load it from the descriptor of a flat segment.
Segment flat(std::uint16_t selector, std::uint64_t descriptor) {
  return {selector, static_cast<std::uint32_t>((descriptor >> 40) & 0xf0ff), 0xffff'ffff, 0};
}

Result<x86::CpuState> with_segments(const BootContext& context, FreeMemory& free,
                                    std::uint64_t code, std::uint64_t entry) {
  const std::array<std::uint64_t, 4> gdt{0, 0, code, kData};
  const std::uint64_t gdt_at = TRY(take_low(free, sizeof(gdt)));
  context.memory.write_value(PhysAddr{gdt_at}, gdt);
  x86::CpuState state;
  state.gdtr = {sizeof(gdt) - 1, gdt_at};
  state.idtr = {0, 0};
  state.segment.fill(flat(kBootDs, kData));
  state.segment[x86::kCs] = flat(kBootCs, code);
  state.cr0 = x86::cr0::kPe | x86::cr0::kEt;
  state.rip = entry;
  state.gpr.fill(0);
  return state;
}

/// A PML4, a PDPT and four page directories. SDM vol. 3A, 4.5.
Result<std::uint64_t> put_identity_map(const BootContext& context, FreeMemory& free) {
  constexpr std::uint64_t kPresentWritable = 3, kLargePage = 0x80, kEntries = 512;
  const std::uint64_t base = TRY(take_low(free, 6 * kPageSize, kPageSize));
  std::vector<std::uint64_t> tables(6 * kEntries);
  tables[0] = (base + kPageSize) | kPresentWritable;
  for (std::uint64_t i = 0; i < 4; ++i) {
    tables[kEntries + i] = (base + (2 + i) * kPageSize) | kPresentWritable;
  }
  for (std::uint64_t i = 0; i < 4 * kEntries; ++i) {
    tables[2 * kEntries + i] = (i << 21) | kPresentWritable | kLargePage;
  }
  context.memory.write(PhysAddr{base}, std::as_bytes(std::span(tables)));
  return base;
}

}  // namespace

Result<x86::CpuState> flat32_state(const BootContext& context, FreeMemory& free,
                                   std::uint64_t entry) {
  return with_segments(context, free, kCode32, entry);
}

Result<x86::CpuState> long64_state(const BootContext& context, FreeMemory& free,
                                   std::uint64_t entry) {
  x86::CpuState state = TRY(with_segments(context, free, kCode64, entry));
  state.cr3 = TRY(put_identity_map(context, free));
  state.cr0 |= x86::cr0::kPg;
  state.cr4 = x86::cr4::kPae;
  state.msr.efer = x86::efer::kLme | x86::efer::kLma;
  return state;
}

}  // namespace vireo::machine
