#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "machine/boot/loader.h"

// Small kernels for tests of the boot loaders, built field by field.
namespace vireo::machine::test {

struct Bytes : std::vector<std::byte> {
  using std::vector<std::byte>::vector;
  template <class T>
  Bytes& put(std::size_t offset, T number) {
    if (size() < offset + sizeof(T)) resize(offset + sizeof(T));
    std::memcpy(data() + offset, &number, sizeof(T));
    return *this;
  }
  Bytes& text(std::size_t offset, std::string_view characters) {
    if (size() < offset + characters.size()) resize(offset + characters.size());
    std::memcpy(data() + offset, characters.data(), characters.size());
    return *this;
  }
};

inline std::vector<std::byte> filled(std::size_t size, unsigned value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

/// A bzImage of protocol 2.15 that wants 1 MiB at 2 MiB; its payload begins with "PAYLOAD".
inline Bytes bzimage() {
  Bytes file;
  file.put(0x1f1, std::uint8_t{1}).put(0x1fe, std::uint16_t{0xaa55});
  file.put(0x200, std::uint16_t{0x66eb}).text(0x202, "HdrS").put(0x206, std::uint16_t{0x20f});
  file.put(0x211, std::uint8_t{1}).put(0x22c, std::uint32_t{0x7fffffff});
  file.put(0x230, std::uint32_t{0x200000}).put(0x234, std::uint8_t{1});
  file.put(0x236, std::uint16_t{0x3}).put(0x238, std::uint32_t{64});
  file.put(0x258, std::uint64_t{0x200000}).put(0x260, std::uint32_t{0x100000});
  file.text(0x400, "PAYLOAD");
  return file;
}

struct Segment {
  std::uint32_t type = 1;
  std::uint64_t physical = 0, virtual_address = 0, memory_size = 0;
  std::string bytes;
  bool executable = false;
};

/// An ELF file of either class.
inline Bytes elf(bool wide, std::uint64_t entry, const std::vector<Segment>& segments) {
  Bytes file;
  const std::size_t header = wide ? 64 : 52, row = wide ? 56 : 32;
  file.text(0,
            "\x7f"
            "ELF")
      .put(4, static_cast<std::uint8_t>(wide ? 2 : 1))
      .put(5, std::uint8_t{1});
  file.put(16, std::uint16_t{2}).put(18, static_cast<std::uint16_t>(wide ? 62 : 3));
  file.put(wide ? 54 : 42, static_cast<std::uint16_t>(row));
  file.put(wide ? 56 : 44, static_cast<std::uint16_t>(segments.size()));
  const auto number = [&](std::size_t at, std::uint64_t value) {
    wide ? file.put(at, value) : file.put(at, static_cast<std::uint32_t>(value));
  };
  number(24, entry);
  number(wide ? 32 : 28, header);
  std::size_t data = header + row * segments.size(), at = header;
  for (const Segment& s : segments) {
    file.put(at, s.type).put(at + (wide ? 4 : 24), std::uint32_t{s.executable ? 5u : 4u});
    const std::uint64_t values[] = {data, s.virtual_address, s.physical, s.bytes.size(),
                                    std::max<std::uint64_t>(s.memory_size, s.bytes.size())};
    for (std::size_t i = 0; i < 5; ++i) number(wide ? at + 8 + i * 8 : at + 4 + i * 4, values[i]);
    file.text(data, s.bytes);
    data += s.bytes.size(), at += row;
  }
  return file;
}

/// A note segment: one of another type first, then the PVH entry.
inline Segment pvh_note(std::uint32_t entry) {
  Bytes note;
  note.put(0, 4u).put(4, 6u).put(8, 6u).text(12, std::string_view("Xen\0linux\0\0\0", 12));
  note.put(24, 4u).put(28, 4u).put(32, 18u).text(36, std::string_view("Xen\0", 4)).put(40, entry);
  std::string bytes(note.size(), '\0');
  std::memcpy(bytes.data(), note.data(), note.size());
  return {4, 0, 0, 0, bytes};
}

/// Guest memory as the loaders see it.
struct Host {
  explicit Host(std::uint64_t mib = 16)
      : memory(std::move(*memory::GuestMemory::create(ram_regions(mib << 20)))),
        map(memory_map(mib << 20)) {}
  BootContext context() { return {*memory, map, 0xe1234, {}}; }
  template <class T>
  T at(std::uint64_t address) {
    T result{};
    EXPECT_TRUE(memory->read_value(PhysAddr{address}, result)) << std::hex << address;
    return result;
  }
  std::string text(std::uint64_t address) {
    std::string result;
    for (char c = 0; (c = at<char>(address)) != 0; ++address) result += c;
    return result;
  }
  std::unique_ptr<memory::GuestMemory> memory;
  std::vector<MemoryRange> map;
};

inline BootImage image(Bytes file, std::string command_line = "",
                       std::vector<BootModule> modules = {}) {
  const auto kind = classify_kernel(file);
  EXPECT_TRUE(kind) << (kind ? "" : kind.error().message);
  return {kind.value_or(KernelKind::kBzImage), "vm", std::move(file), std::move(command_line),
          std::move(modules)};
}

}  // namespace vireo::machine::test
