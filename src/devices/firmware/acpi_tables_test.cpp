#include "devices/firmware/acpi_tables.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <span>

#include "devices/firmware/aml.h"

namespace vireo::devices {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t number(std::span<const std::uint8_t> bytes, std::size_t offset, unsigned size) {
  std::uint64_t result = 0;
  for (unsigned i = size; i-- > 0;) result = result << 8 | bytes[offset + i];
  return result;
}
bool sums_to_zero(std::span<const std::uint8_t> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0u) % 256 == 0;
}

/// The tables as a kernel finds them: from the root pointer along the pointers.
struct Walk {
  explicit Walk(const std::vector<AcpiBlob>& blobs) : blobs_(blobs) {
    const auto root = at(value(blobs[0].address), 36);
    rsdt_entries = entries(number(root, 16, 4), "RSDT", 4);
    xsdt_entries = entries(number(root, 24, 8), "XSDT", 8);
    for (const auto address : xsdt_entries) add(address);
    if (tables.contains("FACP")) add(number(tables["FACP"], 140, 8));
  }
  std::span<const std::uint8_t> at(std::uint64_t address, std::size_t size) const {
    for (const auto& blob : blobs_) {
      if (address < value(blob.address) || address + size > value(blob.address) + blob.bytes.size())
        continue;
      return std::span(blob.bytes).subspan(address - value(blob.address), size);
    }
    ADD_FAILURE() << std::hex << address << " is in no blob";
    return {};
  }
  std::span<const std::uint8_t> table(std::uint64_t address) const {
    const auto whole = at(address, number(at(address, 8), 4, 4));
    EXPECT_TRUE(sums_to_zero(whole)) << std::hex << address;
    return whole;
  }
  std::vector<std::uint64_t> entries(std::uint64_t address, const std::string& name,
                                     unsigned size) const {
    const auto root = table(address);
    EXPECT_EQ(std::string(root.begin(), root.begin() + 4), name);
    std::vector<std::uint64_t> result;
    for (std::size_t i = 36; i < root.size(); i += size) result.push_back(number(root, i, size));
    return result;
  }
  void add(std::uint64_t address) {
    const auto bytes = table(address);
    tables[std::string(bytes.begin(), bytes.begin() + 4)] = Bytes(bytes.begin(), bytes.end());
  }
  const std::vector<AcpiBlob>& blobs_;
  std::vector<std::uint64_t> rsdt_entries, xsdt_entries;
  std::map<std::string, Bytes> tables;
};

TEST(AcpiTables, AKernelFindsThemAllAndEverySumIsRight) {
  const auto blobs = build_acpi_tables({}, PhysAddr{0xe0000});
  EXPECT_EQ(blobs[0].address, PhysAddr{0xe0000});
  ASSERT_EQ(blobs[0].bytes.size(), 36u);
  EXPECT_TRUE(sums_to_zero(std::span(blobs[0].bytes).first(20)));
  EXPECT_TRUE(sums_to_zero(blobs[0].bytes));
  EXPECT_LT(value(blobs[1].address) + blobs[1].bytes.size(), 0xf0000u);
  const Walk walk(blobs);
  EXPECT_EQ(walk.rsdt_entries, walk.xsdt_entries);
  for (const auto* name : {"FACP", "APIC", "HPET", "DSDT"}) EXPECT_TRUE(walk.tables.contains(name));
}

TEST(AcpiTables, TheyCanLieAnywhereWhileTheRootPointerIsFound) {
  const auto blobs = build_acpi_tables({}, PhysAddr{0x7ff00000});
  EXPECT_EQ(blobs[0].address, kRootPointerAddress);
  EXPECT_EQ(blobs[1].address, PhysAddr{0x7ff00000});
  const Walk walk(blobs);
  const auto facs = number(walk.tables.at("FACP"), 36, 4);
  EXPECT_EQ(facs % 64, 0u);
  EXPECT_EQ(number(walk.at(facs, 8), 4, 4), 64u);
}

TEST(AcpiTables, FixedHardwareIsWhereTheChipsetHasIt) {
  const auto blobs = build_acpi_tables({}, PhysAddr{0xe0000});
  const Walk walk(blobs);
  const Bytes& fadt = walk.tables.at("FACP");
  ASSERT_EQ(fadt.size(), 276u);
  EXPECT_EQ(number(fadt, 46, 2), 9u);       // SCI
  EXPECT_EQ(number(fadt, 48, 4), 0xb2u);    // SMI command
  EXPECT_EQ(number(fadt, 56, 4), 0x600u);   // PM1a event
  EXPECT_EQ(number(fadt, 64, 4), 0x604u);   // PM1a control
  EXPECT_EQ(number(fadt, 76, 4), 0x608u);   // timer
  EXPECT_EQ(number(fadt, 80, 4), 0x60cu);   // GPE0
  EXPECT_EQ(number(fadt, 109, 2), 0x7u);    // legacy devices, 8042, no VGA
  EXPECT_EQ(number(fadt, 120, 8), 0xcf9u);  // reset register
  EXPECT_EQ(fadt[128], 6u);
  EXPECT_EQ(number(fadt, 112, 4) & 1 << 4, 0u) << "the power button is a fixed feature";
  EXPECT_EQ(number(fadt, 152, 8), 0x600u);
  EXPECT_EQ(number(fadt, 212, 8), 0x608u);
}

TEST(AcpiTables, CpusWithLargeIdentifiersAreX2apics) {
  AcpiDescription description;
  description.apic_ids = {0, 1, 300};
  const auto blobs = build_acpi_tables(description, PhysAddr{0xe0000});
  const Walk walk(blobs);
  const Bytes& madt = walk.tables.at("APIC");
  std::vector<std::uint64_t> local, x2apic;
  std::map<unsigned, std::pair<std::uint64_t, std::uint64_t>> overrides;
  std::size_t i = 44;
  for (; i < madt.size(); i += madt[i + 1]) {
    ASSERT_GE(madt[i + 1], 2);
    if (madt[i] == 0) local.push_back(madt[i + 3]);
    if (madt[i] == 9) x2apic.push_back(number(madt, i + 4, 4));
    if (madt[i] == 2) overrides[madt[i + 3]] = {number(madt, i + 4, 4), number(madt, i + 8, 2)};
  }
  EXPECT_EQ(i, madt.size());
  EXPECT_EQ(local, (std::vector<std::uint64_t>{0, 1}));
  EXPECT_EQ(x2apic, (std::vector<std::uint64_t>{300}));
  EXPECT_EQ(overrides[0], std::make_pair(std::uint64_t{2}, std::uint64_t{0}));
  EXPECT_EQ(overrides[9], std::make_pair(std::uint64_t{9}, std::uint64_t{0xd}));
}

/// What firmware does with etc/table-loader.
TEST(AcpiTables, FirmwareCanPlaceThemByTheLoaderScript) {
  auto files = build_acpi_files({});
  std::map<std::string, AcpiBlob*> by_name;
  for (auto& file : files) by_name[file.name] = &file;
  const auto& script = by_name.at("etc/table-loader")->bytes;
  ASSERT_EQ(script.size() % 128, 0u);
  const auto text = [&](std::size_t offset) {
    return std::string(reinterpret_cast<const char*>(&script[offset]));
  };
  std::uint64_t next = 0xf8000;
  for (std::size_t i = 0; i < script.size(); i += 128) {
    AcpiBlob& file = *by_name.at(text(i + 4));
    const auto command = number(script, i, 4);
    if (command == 1) {
      const auto alignment = number(script, i + 60, 4);
      file.address = PhysAddr{(next + alignment - 1) / alignment * alignment};
      next = script[i + 64] == 2 ? 0x5'0000'0000 % 0xffffffff + 0x1000000 : 0;
    } else if (command == 2) {
      const auto offset = number(script, i + 116, 4);
      const unsigned size = script[i + 120];
      const auto target =
          number(file.bytes, offset, size) + value(by_name.at(text(i + 60))->address);
      for (unsigned b = 0; b < size; ++b)
        file.bytes[offset + b] = static_cast<std::uint8_t>(target >> (8 * b));
    } else {
      ASSERT_EQ(command, 3u);
      const auto range =
          std::span(file.bytes).subspan(number(script, i + 64, 4), number(script, i + 68, 4));
      const auto sum = std::accumulate(range.begin(), range.end(), 0u);
      auto& byte = file.bytes[number(script, i + 60, 4)];
      byte = static_cast<std::uint8_t>(byte - sum);
    }
  }
  const std::vector<AcpiBlob> placed{*by_name.at("etc/acpi/rsdp"), *by_name.at("etc/acpi/tables")};
  EXPECT_TRUE(sums_to_zero(placed[0].bytes));
  const Walk walk(placed);
  for (const auto* name : {"FACP", "APIC", "HPET", "DSDT"}) EXPECT_TRUE(walk.tables.contains(name));
}

TEST(Aml, LengthsCountThemselvesAcrossTheirBorders) {
  for (const std::size_t size :
       {1u, 50u, 57u, 58u, 59u, 60u, 61u, 62u, 63u, 64u, 4000u, 4080u, 4090u, 70000u}) {
    const Bytes body(size, 0xa3);
    const Bytes scope = aml::scope("\\", body);
    unsigned length = scope[1] & 0x3f;
    const unsigned following = scope[1] >> 6;
    if (following) length = scope[1] & 0x0f;
    for (unsigned i = 0; i < following; ++i) length |= unsigned{scope[2 + i]} << (4 + 8 * i);
    EXPECT_EQ(length, scope.size() - 1) << size;
  }
}

TEST(Aml, NamesAreEncodedByTheirNumberOfSegments) {
  EXPECT_EQ(aml::path("ABC"), (Bytes{'A', 'B', 'C', '_'}));
  EXPECT_EQ(aml::path("\\_SB"), (Bytes{'\\', '_', 'S', 'B', '_'}));
  EXPECT_EQ(aml::path("A.B"), (Bytes{0x2e, 'A', '_', '_', '_', 'B', '_', '_', '_'}));
  EXPECT_EQ(aml::path("A.B.C")[1], 3);
  EXPECT_EQ(aml::eisa_id("PNP0A03"), (Bytes{0x0c, 0x41, 0xd0, 0x0a, 0x03}));
}

struct Disassembler : ::testing::Test {
  void SetUp() override {
    if (std::system("command -v iasl >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "iasl (acpica-tools) is not installed";
    char name[] = "/tmp/vireo-acpi-XXXXXX";
    directory = ::mkdtemp(name);
  }
  void TearDown() override {
    if (!directory.empty()) std::filesystem::remove_all(directory);
  }
  std::string run(const std::string& command, int& status) {
    const std::string line =
        "cd " + directory.string() + " && " + command + " >output.txt 2>&1 </dev/null";
    status = WEXITSTATUS(std::system(line.c_str()));
    std::ifstream file(directory / "output.txt");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& name, const Bytes& bytes) {
    std::ofstream(directory / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void check(const AcpiDescription& description);
  std::filesystem::path directory;
};

TEST_F(Disassembler, TakesEveryTableApartAndPutsItTogetherAgain) {
  AcpiDescription description;
  description.apic_ids = {0, 1, 2, 255, 256};
  description.high_pci_hole_begin = 0x100'0000'0000;
  description.high_pci_hole_size = 0x10'0000'0000;
  description.serial_ports = {{0x3f8, 4}, {0x2f8, 3}};
  check(description);
  description.has_pci = false;
  description.virtio_windows = {{0xfec20000, 5}, {0xfec21000, 10}};
  check(description);
}

void Disassembler::check(const AcpiDescription& description) {
  const auto blobs = build_acpi_tables(description, PhysAddr{0xe0000});
  const Walk walk(blobs);
  for (const auto& [name, bytes] : walk.tables) {
    write(name + ".aml", bytes);
    int status = -1;
    const std::string apart = run("iasl -d " + name + ".aml", status);
    EXPECT_EQ(status, 0) << apart;
    EXPECT_EQ(apart.find("rror"), std::string::npos) << apart;
    const std::string together = run("iasl -oa " + name + ".dsl", status);
    EXPECT_EQ(status, 0) << together;
    EXPECT_NE(together.find(" 0 Errors, 0 Warnings, 0 Remarks"), std::string::npos) << together;
    std::ifstream file(directory / (name + ".aml"), std::ios::binary);
    const Bytes again{std::istreambuf_iterator<char>(file), {}};
    // The compiler writes an offset into a resource in its own, shorter way.
    if (name != "DSDT") EXPECT_EQ(again.size(), bytes.size()) << name;
  }
}

TEST_F(Disassembler, AnInterpreterRunsTheLinkDevices) {
  if (std::system("command -v acpiexec >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "acpiexec (acpica-tools) is not installed";
  const auto blobs = build_acpi_tables({}, PhysAddr{0xe0000});
  const Walk walk(blobs);
  write("dsdt.aml", walk.tables.at("DSDT"));
  int status = -1;
  const std::string output = run(
      "acpiexec -b 'evaluate \\_SB.LNKA._STA; evaluate \\_SB.LNKA._CRS; evaluate \\_SB.LNKA._DIS; "
      "evaluate \\_SB.LNKA._STA; resources \\_SB.LNKA; evaluate \\_S5' dsdt.aml",
      status);
  EXPECT_EQ(status, 0) << output;
  EXPECT_EQ(output.find("AE_"), std::string::npos) << output;
  EXPECT_EQ(output.find("Error"), std::string::npos) << output;
  EXPECT_NE(output.find("0000000000000009"), std::string::npos) << output;  // disabled
  EXPECT_NE(output.find("000000000000000B"), std::string::npos) << output;  // enabled
}

}  // namespace
}  // namespace vireo::devices
