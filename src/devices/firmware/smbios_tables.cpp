#include "devices/firmware/smbios_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>

#include "devices/firmware/byte_writer.h"

namespace vireo::devices {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::string_view kMaker = "Vireo", kProduct = "Vireo PC";
constexpr std::uint16_t kMemoryArray = 0x1000, kNoHandle = 0xffff, kNoErrors = 0xfffe;

/// Structures one after the other; each is a formatted part and the strings that it numbers.
class Structures {
 public:
  void add(std::uint8_t type, std::uint16_t handle, ByteWriter body,
           std::initializer_list<std::string_view> strings = {}) {
    const Bytes formatted = body.take();
    const std::size_t before = writer_.size();
    writer_.u8(type).u8(formatted.size() + 4).u16(handle).bytes(formatted);
    for (const auto text : strings) writer_.text(text, text.size() + 1);
    writer_.zeros(strings.size() == 0 ? 2 : 1);
    longest_ = std::max(longest_, writer_.size() - before);
    ++count_;
  }
  std::size_t longest() const { return longest_; }
  std::size_t count() const { return count_; }
  Bytes take() { return writer_.take(); }

 private:
  ByteWriter writer_;
  std::size_t longest_ = 0, count_ = 0;
};

void add_firmware(Structures& structures, const SmbiosDescription& description) {
  ByteWriter body;
  constexpr std::uint64_t kNoCharacteristics = 0x08;
  constexpr std::uint8_t kVirtualMachine = 0x10;
  body.u8(1).u8(2).u16(0xe800).u8(3).u8(0).u64(kNoCharacteristics).u8(0).u8(kVirtualMachine);
  body.u8(0xff).u8(0xff).u8(0xff).u8(0xff);
  structures.add(0, 0x0000, body, {kMaker, description.version, "01/01/2024"});
}

void add_system(Structures& structures, const SmbiosDescription& description) {
  ByteWriter body;
  constexpr std::uint8_t kPowerSwitch = 6;
  body.u8(1).u8(2).u8(3).u8(0).bytes(description.uuid).u8(kPowerSwitch).u8(0).u8(4);
  structures.add(1, 0x0100, body, {kMaker, kProduct, description.version, kMaker});
}

void add_chassis(Structures& structures, const SmbiosDescription& description) {
  ByteWriter body;
  constexpr std::uint8_t kOther = 1, kSafe = 3, kUnknown = 2;
  body.u8(1).u8(kOther).u8(2).u8(0).u8(0).u8(kSafe).u8(kSafe).u8(kSafe).u8(kUnknown);
  body.u32(0).u8(0).u8(0).u8(0).u8(0).u8(0);
  structures.add(3, 0x0300, body, {kMaker, description.version});
}

void add_processors(Structures& structures, const SmbiosDescription& description) {
  constexpr std::uint8_t kCentral = 3, kOther = 1, kPopulatedEnabled = 0x41, kUpgradeOther = 1;
  for (unsigned i = 0; i < description.cpus; ++i) {
    ByteWriter body;
    body.u8(1).u8(kCentral).u8(kOther).u8(2).u64(0).u8(3).u8(0).u16(0).u16(2000).u16(2000);
    body.u8(kPopulatedEnabled).u8(kUpgradeOther).u16(kNoHandle).u16(kNoHandle).u16(kNoHandle);
    body.u8(0).u8(0).u8(0).u8(1).u8(1).u8(1).u16(0x0004).u16(kOther);
    structures.add(4, static_cast<std::uint16_t>(0x0400 + i), body,
                   {fmt::format("CPU {}", i), kMaker, description.version});
  }
}

void add_memory(Structures& structures, const SmbiosDescription& description) {
  const std::uint64_t kilobytes = description.memory_bytes >> 10;
  const std::uint64_t megabytes = description.memory_bytes >> 20;
  ByteWriter array;
  constexpr std::uint8_t kOther = 1, kSystemMemory = 3, kNoCorrection = 3;
  array.u8(kOther).u8(kSystemMemory).u8(kNoCorrection);
  array.u32(std::min<std::uint64_t>(kilobytes, 0x80000000)).u16(kNoErrors).u16(1);
  array.u64(kilobytes >= 0x80000000 ? description.memory_bytes : 0);
  structures.add(16, kMemoryArray, array);

  ByteWriter module;
  constexpr std::uint8_t kDimm = 9, kRam = 7;
  constexpr std::uint16_t kUnknownWidth = 0xffff, kDetailOther = 2;
  module.u16(kMemoryArray).u16(kNoErrors).u16(kUnknownWidth).u16(kUnknownWidth);
  module.u16(std::min<std::uint64_t>(megabytes, 0x7fff)).u8(kDimm).u8(0).u8(1).u8(0).u8(kRam);
  module.u16(kDetailOther).u16(0).u8(2).u8(0).u8(0).u8(0).u8(0);
  module.u32(megabytes >= 0x7fff ? megabytes : 0).u16(0).u16(0).u16(0).u16(0);
  structures.add(17, 0x1100, module, {"DIMM 0", kMaker});

  const auto map = [&](std::uint16_t handle, std::uint64_t begin, std::uint64_t size) {
    ByteWriter body;
    body.u32(begin >> 10).u32((begin + size - 1) >> 10).u16(kMemoryArray).u8(1).u64(0).u64(0);
    structures.add(19, handle, body);
  };
  const std::uint64_t low = std::min(description.memory_below_4g, description.memory_bytes);
  if (low) map(0x1300, 0, low);
  if (description.memory_bytes > low)
    map(0x1301, std::uint64_t{1} << 32, description.memory_bytes - low);
}

std::uint8_t checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint8_t>(0u - std::accumulate(bytes.begin(), bytes.end(), 0u));
}

/// DSP0134, 5.2.1.
Bytes anchor(const Bytes& structures, std::size_t count, std::size_t longest, PhysAddr at) {
  ByteWriter writer;
  writer.text("_SM_", 4).u8(0).u8(0x1f).u8(2).u8(8).u16(longest).u8(0).zeros(5);
  writer.text("_DMI_", 5).u8(0).u16(structures.size()).u32(value(at)).u16(count).u8(0x28);
  Bytes bytes = writer.take();
  bytes[0x15] = checksum(std::span(bytes).subspan(0x10));
  bytes[0x04] = checksum(bytes);
  return bytes;
}

}  // namespace

SmbiosTables build_smbios_tables(const SmbiosDescription& description, PhysAddr structures_at) {
  Structures structures;
  add_firmware(structures, description);
  add_system(structures, description);
  add_chassis(structures, description);
  add_processors(structures, description);
  add_memory(structures, description);
  structures.add(32, 0x2000, ByteWriter().zeros(6).u8(0));
  structures.add(127, 0x7f00, ByteWriter());
  const std::size_t count = structures.count(), longest = structures.longest();
  SmbiosTables tables;
  tables.structures = structures.take();
  tables.anchor = anchor(tables.structures, count, longest, structures_at);
  return tables;
}

}  // namespace vireo::devices
