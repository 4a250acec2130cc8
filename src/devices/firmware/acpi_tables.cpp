#include "devices/firmware/acpi_tables.h"

#include <numeric>
#include <span>
#include <string_view>

#include "base/assert.h"
#include "devices/firmware/acpi_dsdt.h"
#include "devices/firmware/byte_writer.h"
#include "devices/firmware/table_loader.h"

namespace vireo::devices {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kHeaderSize = 36, kChecksumOffset = 9;
constexpr std::uint16_t kResetPort = 0xcf9;
constexpr std::uint8_t kResetValue = 6;

/// Tables in one piece, with what has to be mended once it is known where they are.
struct Tables {
  Bytes bytes;
  Bytes root;
  struct Pointer {
    bool in_root;
    std::uint32_t offset;
    std::uint8_t size;
  };
  struct Checksum {
    bool in_root;
    std::uint32_t offset, start, length;
  };
  std::vector<Pointer> pointers;    // they hold offsets into `bytes`
  std::vector<Checksum> checksums;  // they hold zero

  std::uint32_t align(std::size_t alignment) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return static_cast<std::uint32_t>(bytes.size());
  }
  /// Pointers are offsets inside the table, in bytes 4 or 8.
  std::uint32_t add(const Bytes& table, std::initializer_list<std::pair<unsigned, unsigned>> at) {
    const std::uint32_t base = align(16);
    bytes.insert(bytes.end(), table.begin(), table.end());
    for (const auto& [offset, size] : at)
      pointers.push_back({false, base + offset, static_cast<std::uint8_t>(size)});
    checksums.push_back({false, base + static_cast<std::uint32_t>(kChecksumOffset), base,
                         static_cast<std::uint32_t>(table.size())});
    return base;
  }
};

/// ACPI 6.4, table 5.4.
Bytes with_header(std::string_view signature, std::uint8_t revision, const Bytes& body) {
  ByteWriter writer;
  writer.text(signature, 4).u32(kHeaderSize + body.size()).u8(revision).u8(0);
  writer.text("VIREO ", 6).text("VIREOPC ", 8).u32(1).text("VIRE", 4).u32(1).bytes(body);
  return writer.take();
}

/// A generic address in I/O space. Access size 1: byte, 2: word, 3: double word.
Bytes io_register(std::uint16_t port, std::uint8_t bits, std::uint8_t access) {
  ByteWriter writer;
  writer.u8(1).u8(bits).u8(0).u8(access).u64(port);
  return writer.take();
}
Bytes no_register() { return Bytes(12, 0); }

/// ACPI 6.4, 5.2.10.
Bytes facs() {
  ByteWriter writer;
  writer.text("FACS", 4).u32(64).zeros(24).u8(2).zeros(31);
  return writer.take();
}

/// ACPI 6.4, 5.2.9.
Bytes fadt(const AcpiDescription& description, std::uint32_t facs_at, std::uint32_t dsdt_at) {
  const std::uint16_t pm = description.pm_base;
  constexpr std::uint16_t kLegacyDevices = 0x01, kHas8042 = 0x02, kNoVga = 0x04;
  // WBINVD works, C1 on all CPUs, no sleep button, RTC wake not in fixed registers, reset register.
  constexpr std::uint32_t kFlags = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10;
  constexpr std::uint32_t kTimerHas32Bits = 1 << 8;
  const std::uint32_t flags = kFlags | (description.pm_timer_has_32_bits ? kTimerHas32Bits : 0);
  const auto boot = static_cast<std::uint16_t>(
      kLegacyDevices | (description.has_keyboard_controller ? kHas8042 : 0) |
      (description.has_vga ? 0 : kNoVga));
  ByteWriter writer;
  writer.u32(facs_at).u32(dsdt_at).u8(0).u8(1);  // a desktop
  writer.u16(description.sci).u32(description.smi_command);
  writer.u8(description.acpi_enable).u8(description.acpi_disable).u8(0).u8(0);
  writer.u32(pm).u32(0).u32(pm + 4).u32(0).u32(0).u32(pm + 8).u32(pm + 12).u32(0);
  writer.u8(4).u8(2).u8(0).u8(4).u8(4).u8(0).u8(0).u8(0);  // lengths of those blocks
  writer.u16(0xfff).u16(0xfff);                            // neither C2 nor C3
  writer.u16(0).u16(0).u8(0).u8(0).u8(0).u8(0).u8(0x32);   // the century is in the CMOS
  writer.u16(boot).u8(0).u32(flags).bytes(io_register(kResetPort, 8, 1)).u8(kResetValue);
  writer.u16(0).u8(4);  // not ARM; minor version 6.4
  writer.u64(0).u64(dsdt_at);
  writer.bytes(io_register(pm, 32, 2)).bytes(no_register());
  writer.bytes(io_register(pm + 4, 16, 2)).bytes(no_register()).bytes(no_register());
  writer.bytes(io_register(pm + 8, 32, 3));
  writer.bytes(io_register(pm + 12, 32, 1)).bytes(no_register());
  writer.bytes(no_register()).bytes(no_register()).text("VIREO", 8);
  return with_header("FACP", 6, writer.take());
}

/// ACPI 6.4, 5.2.12.
Bytes madt(const AcpiDescription& description) {
  constexpr std::uint32_t kHasPics = 1, kEnabled = 1;
  constexpr std::uint16_t kConforms = 0x0, kLevelHigh = 0xd;
  ByteWriter writer;
  writer.u32(description.local_apic_address).u32(kHasPics);
  bool has_x2apic = false;
  for (std::size_t i = 0; i < description.apic_ids.size(); ++i) {
    const std::uint32_t id = description.apic_ids[i];
    if (id < 0xff && i < 0xff) {
      writer.u8(0).u8(8).u8(i).u8(id).u32(kEnabled);
    } else {
      has_x2apic = true;
      writer.u8(9).u8(16).u16(0).u32(id).u32(kEnabled).u32(i);
    }
  }
  writer.u8(1).u8(12).u8(description.io_apic_id).u8(0).u32(description.io_apic_address).u32(0);
  const auto override_source = [&](std::uint8_t irq, std::uint32_t input, std::uint16_t flags) {
    writer.u8(2).u8(10).u8(0).u8(irq).u32(input).u16(flags);
  };
  override_source(0, 2, kConforms);
  override_source(description.sci, description.sci, kLevelHigh);
  for (const std::uint8_t irq : description.pci_interrupts) override_source(irq, irq, kLevelHigh);
  writer.u8(4).u8(6).u8(0xff).u16(kConforms).u8(1);  // NMI is LINT1 everywhere
  if (has_x2apic) writer.u8(10).u8(12).u16(kConforms).u32(0xffffffff).u8(1).zeros(3);
  return with_header("APIC", 5, writer.take());
}

/// IA-PC HPET 1.0a, 3.2.4.
Bytes hpet(const AcpiDescription& description) {
  ByteWriter writer;
  writer.u32(description.hpet_id).u8(0).u8(64).u8(0).u8(0).u64(description.hpet_address);
  writer.u8(0).u16(0).u8(0);
  return with_header("HPET", 1, writer.take());
}

/// RSDT or XSDT.
std::uint32_t add_root_table(Tables& tables, const std::vector<std::uint32_t>& targets, bool wide) {
  ByteWriter writer;
  for (const std::uint32_t target : targets) wide ? writer.u64(target) : writer.u32(target);
  const std::uint32_t base = tables.add(with_header(wide ? "XSDT" : "RSDT", 1, writer.take()), {});
  const unsigned size = wide ? 8 : 4;
  for (unsigned i = 0; i < targets.size(); ++i) {
    const auto offset = static_cast<std::uint32_t>(base + kHeaderSize + i * size);
    tables.pointers.push_back({false, offset, static_cast<std::uint8_t>(size)});
  }
  return base;
}

/// ACPI 6.4, 5.2.5.3.
void add_root_pointer(Tables& tables, std::uint32_t rsdt, std::uint32_t xsdt) {
  ByteWriter writer;
  writer.text("RSD PTR ", 8).u8(0).text("VIREO ", 6).u8(2).u32(rsdt).u32(36).u64(xsdt).zeros(4);
  tables.root = writer.take();
  tables.pointers.push_back({true, 16, 4});
  tables.pointers.push_back({true, 24, 8});
  tables.checksums.push_back({true, 8, 0, 20});
  tables.checksums.push_back({true, 32, 0, 36});
}

Tables build(const AcpiDescription& description) {
  VIREO_ASSERT(!description.apic_ids.empty() && description.apic_ids.size() <= 4096);
  Tables tables;
  tables.bytes = facs();  // must be aligned to 64: first, and it has no checksum
  const std::uint32_t dsdt_at =
      tables.add(with_header("DSDT", 2, build_dsdt_body(description)), {});
  std::vector<std::uint32_t> targets;
  targets.push_back(tables.add(fadt(description, 0, dsdt_at), {{36, 4}, {40, 4}, {140, 8}}));
  targets.push_back(tables.add(madt(description), {}));
  if (description.has_hpet) targets.push_back(tables.add(hpet(description), {}));
  const std::uint32_t rsdt = add_root_table(tables, targets, false);
  const std::uint32_t xsdt = add_root_table(tables, targets, true);
  add_root_pointer(tables, rsdt, xsdt);
  return tables;
}

void add_to_pointer(Bytes& bytes, const Tables::Pointer& pointer, std::uint64_t base) {
  const auto field = std::span(bytes).subspan(pointer.offset, pointer.size);
  for (auto& byte : field) {
    base += byte;
    byte = static_cast<std::uint8_t>(base);
    base >>= 8;
  }
}

}  // namespace

std::vector<AcpiBlob> build_acpi_tables(const AcpiDescription& description, PhysAddr base) {
  constexpr std::uint64_t kRootSize = 64, kSearchBegin = 0xe0000, kSearchEnd = 0x100000;
  VIREO_ASSERT(value(base) % 64 == 0);
  const bool together = value(base) >= kSearchBegin && value(base) < kSearchEnd;
  const PhysAddr root_at = together ? base : kRootPointerAddress;
  const PhysAddr tables_at = together ? base + kRootSize : base;
  Tables tables = build(description);
  VIREO_ASSERT(value(tables_at) + tables.bytes.size() <= 0xffffffff);
  for (const auto& pointer : tables.pointers)
    add_to_pointer(pointer.in_root ? tables.root : tables.bytes, pointer, value(tables_at));
  for (const auto& checksum : tables.checksums) {
    Bytes& bytes = checksum.in_root ? tables.root : tables.bytes;
    const auto covered = std::span(bytes).subspan(checksum.start, checksum.length);
    const unsigned sum = std::accumulate(covered.begin(), covered.end(), 0u);
    bytes[checksum.offset] = static_cast<std::uint8_t>(0u - sum);
  }
  return {{"ACPI root pointer", root_at, std::move(tables.root)},
          {"ACPI tables", tables_at, std::move(tables.bytes)}};
}

std::vector<AcpiBlob> build_acpi_files(const AcpiDescription& description) {
  constexpr std::string_view kRoot = "etc/acpi/rsdp", kTables = "etc/acpi/tables";
  Tables tables = build(description);
  TableLoader loader;
  loader.allocate(kRoot, 16, TableLoader::Zone::kBelow1MiB);
  loader.allocate(kTables, 64, TableLoader::Zone::kHigh);
  for (const auto& pointer : tables.pointers)
    loader.add_pointer(pointer.in_root ? kRoot : kTables, kTables, pointer.offset, pointer.size);
  for (const auto& checksum : tables.checksums)
    loader.add_checksum(checksum.in_root ? kRoot : kTables, checksum.offset, checksum.start,
                        checksum.length);
  return {{std::string(kRoot), PhysAddr{0}, std::move(tables.root)},
          {std::string(kTables), PhysAddr{0}, std::move(tables.bytes)},
          {"etc/table-loader", PhysAddr{0}, loader.take()}};
}

}  // namespace vireo::devices
