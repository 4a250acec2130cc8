#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "machine/boot/free_memory.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// A part of an ELF file that goes to memory. The bytes point into the file.
struct ElfSegment {
  std::span<const std::byte> bytes;
  std::uint64_t physical = 0;
  std::uint64_t virtual_address = 0;
  std::uint64_t memory_size = 0;  ///< what exceeds the bytes is zero
  bool executable = false;
};

/// An ELF executable for i386 or x86-64, little endian; of either class. The file
/// is hostile and outlives this.
class ElfFile {
 public:
  static constexpr std::uint16_t kMachine386 = 3, kMachineAmd64 = 62;

  static bool present(std::span<const std::byte> file);
  /// A usage error says what is wrong with it.
  static Result<ElfFile> parse(std::span<const std::byte> file);

  std::uint16_t machine() const { return machine_; }
  /// Where execution begins, as a physical address.
  std::uint64_t entry() const { return entry_; }
  const std::vector<ElfSegment>& segments() const { return segments_; }
  /// One past the last physical address that the file occupies.
  std::uint64_t end() const;
  /// The XEN_ELFNOTE_PHYS32_ENTRY note: a 32-bit physical entry address.
  std::optional<std::uint32_t> pvh_entry() const { return pvh_entry_; }
  /// It says for which system it is: it asks for an interpreter, or has the NT_GNU_ABI_TAG note
  /// that C libraries put into every program.
  bool names_system() const { return names_system_; }
  /// Linked to run at any address.
  bool position_independent() const { return position_independent_; }

 private:
  std::uint16_t machine_ = 0;
  std::uint64_t entry_ = 0;
  std::vector<ElfSegment> segments_;
  std::optional<std::uint32_t> pvh_entry_;
  bool names_system_ = false;
  bool position_independent_ = false;
};

/// Copies one segment to guest memory and takes its place. A usage error says how much memory the
/// machine would have to have, or that the place is none for a kernel.
Result<> load_segment(const ElfSegment& segment, FreeMemory& free, memory::GuestMemory& memory);
Result<> load_segments(const ElfFile& elf, FreeMemory& free, memory::GuestMemory& memory);

}  // namespace vireo::machine
