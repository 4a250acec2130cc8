#include "machine/boot/elf_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "machine/boot/byte_reader.h"

namespace vireo::machine {
namespace {

// System V ABI, chapter 4 and 5; the offsets differ between the 32-bit and the 64-bit class.
constexpr std::array<std::uint8_t, 4> kMagic{0x7f, 'E', 'L', 'F'};
constexpr std::uint64_t kClass = 4, kData = 5, kType = 16, kMachine = 18, kEntry = 24;
constexpr std::uint16_t kTypeExecutable = 2, kTypeShared = 3;
constexpr std::uint32_t kPtLoad = 1, kPtInterpreter = 3, kPtNote = 4;
constexpr std::uint32_t kExecutableFlag = 1;
constexpr std::uint32_t kXenNotePhys32Entry = 18, kGnuNoteAbiTag = 1;
constexpr unsigned kMostSegments = 1024;

struct ProgramHeader {
  std::uint32_t type, flags;
  std::uint64_t offset, virtual_address, physical, file_size, memory_size, alignment;
};

std::optional<ProgramHeader> program_header(std::span<const std::byte> file, bool wide,
                                            std::uint64_t at) {
  const auto part = part_of(file, at, wide ? 56 : 32);
  if (!part) return std::nullopt;
  const auto word = [&](std::uint64_t offset) {
    return number_or_zero<std::uint32_t>(*part, offset);
  };
  const auto quad = [&](std::uint64_t offset) {
    return number_or_zero<std::uint64_t>(*part, offset);
  };
  if (wide)
    return ProgramHeader{word(0),  word(4),  quad(8),  quad(16),
                         quad(24), quad(32), quad(40), quad(48)};
  return ProgramHeader{word(0), word(24), word(4), word(8), word(12), word(16), word(20), word(28)};
}

/// The first word of the note of this type and owner. Notes are padded to 4 bytes, or to 8 if the
/// segment says so.
std::optional<std::uint32_t> find_note(std::span<const std::byte> notes, std::uint64_t alignment,
                                       const char (&owner)[4], std::uint32_t wanted) {
  const std::uint64_t pad = alignment == 8 ? 7 : 3;
  std::uint64_t at = 0;
  for (;;) {
    const auto name_size = number_at<std::uint32_t>(notes, at);
    const auto value_size = number_at<std::uint32_t>(notes, at + 4);
    const auto type = number_at<std::uint32_t>(notes, at + 8);
    if (!name_size || !value_size || !type) return std::nullopt;
    const std::uint64_t name_at = at + 12;
    const std::uint64_t value_at = (name_at + *name_size + pad) & ~pad;
    const auto name = part_of(notes, name_at, *name_size);
    if (!name || !part_of(notes, value_at, *value_size)) return std::nullopt;
    if (*type == wanted && *name_size == sizeof(owner) && *value_size >= 4 &&
        std::memcmp(name->data(), owner, sizeof(owner)) == 0) {
      return number_at<std::uint32_t>(notes, value_at);
    }
    at = (value_at + *value_size + pad) & ~pad;
  }
}

/// Kernels linked at a virtual address may give their entry as one; execution begins unpaged.
std::uint64_t physical_entry(std::uint64_t entry, const std::vector<ElfSegment>& segments) {
  const auto inside = [&](std::uint64_t base, std::uint64_t size) {
    return entry >= base && entry - base < size;
  };
  for (const ElfSegment& s : segments) {
    if (inside(s.physical, s.memory_size)) return entry;
  }
  for (const ElfSegment& s : segments) {
    if (inside(s.virtual_address, s.memory_size)) return entry - s.virtual_address + s.physical;
  }
  return entry;
}

constexpr std::uint64_t mib_up(std::uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

Result<> write_zeros(memory::GuestMemory& memory, std::uint64_t base, std::uint64_t size) {
  static constexpr std::array<std::byte, kPageSize> kZeros{};
  while (size != 0) {
    const std::size_t chunk = std::min<std::uint64_t>(size, kZeros.size());
    if (!memory.write(PhysAddr{base}, std::span(kZeros).first(chunk))) {
      return usage_error("the kernel wants to be loaded where the machine has no memory");
    }
    base += chunk, size -= chunk;
  }
  return {};
}

}  // namespace

bool ElfFile::present(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() &&
         std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

Result<ElfFile> ElfFile::parse(std::span<const std::byte> file) {
  const auto header = part_of(file, 0, 52);
  if (!present(file) || !header) return usage_error("its ELF header is cut off");
  const auto elf_class = number_or_zero<std::uint8_t>(file, kClass);
  const bool wide = elf_class == 2;
  if ((elf_class != 1 && !wide) || number_or_zero<std::uint8_t>(file, kData) != 1) {
    return usage_error("it is an ELF file, but not a little-endian one of 32 or 64 bits");
  }
  ElfFile elf;
  elf.machine_ = number_or_zero<std::uint16_t>(file, kMachine);
  if (elf.machine_ != kMachine386 && elf.machine_ != kMachineAmd64) {
    return usage_error("it is an ELF file for another processor (machine {})", elf.machine_);
  }
  const auto type = number_or_zero<std::uint16_t>(file, kType);
  if (type != kTypeExecutable && type != kTypeShared) {
    return usage_error("it is an ELF file, but not one that can be executed");
  }
  elf.position_independent_ = type == kTypeShared;
  const std::uint64_t table =
      wide ? number_or_zero<std::uint64_t>(file, 32) : number_or_zero<std::uint32_t>(file, 28);
  const auto entry_size = number_or_zero<std::uint16_t>(file, wide ? 54 : 42);
  const auto count = number_or_zero<std::uint16_t>(file, wide ? 56 : 44);
  if (count == 0 || count > kMostSegments || entry_size < (wide ? 56 : 32)) {
    return usage_error("it is an ELF file without a valid program header table");
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto found = table > file.size()
                           ? std::nullopt
                           : program_header(file, wide, table + std::uint64_t{i} * entry_size);
    if (!found) return usage_error("its ELF program header table is cut off");
    if (found->type == kPtInterpreter) elf.names_system_ = true;
    if (found->type != kPtLoad && found->type != kPtNote) continue;
    const auto bytes = part_of(file, found->offset, found->file_size);
    if (!bytes) return usage_error("it is an ELF file that is cut off");
    if (found->type == kPtNote) {
      if (!elf.pvh_entry_)
        elf.pvh_entry_ = find_note(*bytes, found->alignment, "Xen", kXenNotePhys32Entry);
      if (find_note(*bytes, found->alignment, "GNU", kGnuNoteAbiTag)) elf.names_system_ = true;
      continue;
    }
    if (found->memory_size < found->file_size || found->physical > ~found->memory_size) {
      return usage_error("it is an ELF file with a segment of impossible size");
    }
    if (found->memory_size == 0) continue;
    elf.segments_.push_back({*bytes, found->physical, found->virtual_address, found->memory_size,
                             (found->flags & kExecutableFlag) != 0});
  }
  if (elf.segments_.empty()) return usage_error("it is an ELF file with nothing to load");
  elf.entry_ = physical_entry(wide ? number_or_zero<std::uint64_t>(file, kEntry)
                                   : number_or_zero<std::uint32_t>(file, kEntry),
                              elf.segments_);
  return elf;
}

std::uint64_t ElfFile::end() const {
  std::uint64_t end = 0;
  for (const ElfSegment& s : segments_) end = std::max(end, s.physical + s.memory_size);
  return end;
}

Result<> load_segment(const ElfSegment& segment, FreeMemory& free, memory::GuestMemory& memory) {
  const std::uint64_t end = segment.physical + segment.memory_size;
  if (!free.take(segment.physical, segment.memory_size)) {
    if (end > free.ram_end(kDeviceHoleBase) && end <= kDeviceHoleBase) {
      return usage_error("the kernel needs at least {} MiB of memory; give it with --memory {}M",
                         mib_up(end), mib_up(end));
    }
    return usage_error("the kernel wants to be loaded at {:#x}-{:#x}, where no memory is free",
                       segment.physical, end);
  }
  if (!memory.write(PhysAddr{segment.physical}, segment.bytes)) {
    return usage_error("the kernel wants to be loaded where the machine has no memory");
  }
  return write_zeros(memory, segment.physical + segment.bytes.size(),
                     segment.memory_size - segment.bytes.size());
}

Result<> load_segments(const ElfFile& elf, FreeMemory& free, memory::GuestMemory& memory) {
  // The one that reaches highest first: its message says how much memory the whole kernel needs.
  std::vector<ElfSegment> segments = elf.segments();
  std::sort(segments.begin(), segments.end(), [](const ElfSegment& a, const ElfSegment& b) {
    return a.physical + a.memory_size > b.physical + b.memory_size;
  });
  for (const ElfSegment& segment : segments) TRY(load_segment(segment, free, memory));
  return {};
}

}  // namespace vireo::machine
