#include "devices/firmware/fw_cfg.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "bus/access_split.h"

namespace vireo::devices {
namespace {

constexpr std::uint32_t kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16;

struct FwCfgTest : ::testing::Test {
  void SetUp() override {
    auto created =
        memory::GuestMemory::create({{PhysAddr{0}, 0x10000, memory::RegionKind::kRam, "ram"}});
    ASSERT_TRUE(created);
    memory = std::move(*created);
    fw_cfg.emplace(*memory, FwCfg::Machine{.memory_bytes = 0x12345678, .cpus = 3});
  }
  void select(unsigned key) { out(0, key, 2); }
  void out(std::uint64_t offset, std::uint64_t value, std::size_t size) {
    std::array<std::byte, 8> data{};
    bus::from_number(data, value);
    fw_cfg->write(offset, std::span(data).first(size));
  }
  std::string bytes(std::size_t count) {
    std::string result;
    for (std::size_t i = 0; i < count; ++i) {
      std::byte data{};
      fw_cfg->read(1, {&data, 1});
      result += static_cast<char>(data);
    }
    return result;
  }
  static std::uint32_t swapped(std::uint32_t value) { return __builtin_bswap32(value); }
  /// Runs a DMA request that lies at 0x100; says what became of its control field.
  std::uint32_t dma(std::uint32_t control, std::uint32_t length, std::uint64_t address) {
    const std::array<std::uint32_t, 4> request{swapped(control), swapped(length),
                                               swapped(static_cast<std::uint32_t>(address >> 32)),
                                               swapped(static_cast<std::uint32_t>(address))};
    EXPECT_TRUE(memory->write_value(PhysAddr{0x100}, request));
    out(4, 0, 4);
    out(8, swapped(0x100), 4);
    std::uint32_t answer = 0;
    EXPECT_TRUE(memory->read_value(PhysAddr{0x100}, answer));
    return swapped(answer);
  }
  std::string guest_bytes(std::uint64_t address, std::size_t count) {
    std::string result(count, '\0');
    EXPECT_TRUE(memory->read(PhysAddr{address}, std::as_writable_bytes(std::span(result))));
    return result;
  }
  std::unique_ptr<memory::GuestMemory> memory;
  std::optional<FwCfg> fw_cfg;
};

TEST_F(FwCfgTest, TellsItsSignatureAndTheMachine) {
  select(FwCfg::kSignature);
  EXPECT_EQ(bytes(6), std::string("QEMU\0\0", 6));
  select(FwCfg::kIdentity);
  EXPECT_EQ(bytes(4), std::string("\3\0\0\0", 4));
  select(FwCfg::kMemorySize);
  EXPECT_EQ(bytes(8), std::string("\x78\x56\x34\x12\0\0\0\0", 8));
  select(FwCfg::kCpuCount);
  EXPECT_EQ(bytes(2), std::string("\3\0", 2));
  std::array<std::byte, 4> dma_signature{};
  fw_cfg->read(4, dma_signature);
  EXPECT_EQ(bus::to_number(dma_signature), 0x554d4551u);  // "QEMU"
}

TEST_F(FwCfgTest, ListsItsFilesInBigEndian) {
  ASSERT_TRUE(fw_cfg->add_file("etc/b", {1, 2, 3}));
  ASSERT_TRUE(fw_cfg->add_file("etc/a", {4}));
  select(FwCfg::kDirectory);
  EXPECT_EQ(bytes(4), std::string("\0\0\0\2", 4));
  const std::string first = bytes(64), second = bytes(64);
  EXPECT_STREQ(first.c_str() + 8, "etc/a");
  EXPECT_STREQ(second.c_str() + 8, "etc/b");
  EXPECT_EQ(second.substr(0, 4), std::string("\0\0\0\3", 4));
  select(static_cast<unsigned char>(second[5]));
  EXPECT_EQ(bytes(4), std::string("\1\2\3\0", 4));
}

TEST_F(FwCfgTest, RefusesNamesThatAreTakenOrTooLong) {
  ASSERT_TRUE(fw_cfg->add_file("etc/a", {}));
  EXPECT_FALSE(fw_cfg->add_file("etc/a", {}));
  EXPECT_FALSE(fw_cfg->add_file("", {}));
  EXPECT_FALSE(fw_cfg->add_file(std::string(56, 'x'), {}));
  EXPECT_TRUE(fw_cfg->add_file(std::string(55, 'x'), {}));
}

TEST_F(FwCfgTest, AnUnknownItemIsZeros) {
  select(0x7777);
  EXPECT_EQ(bytes(2), std::string("\0\0", 2));
}

TEST_F(FwCfgTest, DmaSelectsSkipsAndReads) {
  fw_cfg->add_item(0x11, {'k', 'e', 'r', 'n', 'e', 'l'});
  EXPECT_EQ(dma(0x11 << 16 | kSelect | kSkip, 1, 0), 0u);
  EXPECT_EQ(dma(kRead, 3, 0x2000), 0u);
  EXPECT_EQ(guest_bytes(0x2000, 4), std::string("ern\0", 4));
  EXPECT_EQ(dma(kRead, 5, 0x2000), 0u);
  EXPECT_EQ(guest_bytes(0x2000, 5), std::string("el\0\0\0", 5)) << "zeros behind the end";
}

TEST_F(FwCfgTest, DmaOutsideMemoryIsAnErrorForTheGuest) {
  fw_cfg->add_item(0x11, std::vector<std::uint8_t>(100, 'x'));
  EXPECT_EQ(dma(0x11 << 16 | kSelect | kRead, 100, 0xfff0), kError);
  EXPECT_EQ(dma(kRead, 100, 0xffffffff'ffffffff), kError);
  EXPECT_EQ(dma(kRead, 0xffffffff, 0x1000), kError);
  EXPECT_EQ(dma(0x11 << 16 | kSelect | kWrite, 4, 0x2000), kError);
}

TEST_F(FwCfgTest, ARequestOutsideMemoryIsIgnored) {
  out(4, swapped(0xffffffff), 4);
  out(8, swapped(0xfffffff8), 4);
  out(4, 0, 4);
  out(8, swapped(0xfff8), 4);  // the request itself crosses the end
  EXPECT_EQ(dma(kSkip, 1, 0), 0u);
}

TEST_F(FwCfgTest, TheOffsetNeverWrapsToTheBeginning) {
  select(FwCfg::kSignature);
  dma(kSkip, 0xffffffff, 0);
  dma(kSkip, 0xffffffff, 0);
  EXPECT_EQ(bytes(1), std::string("\0", 1));
  EXPECT_EQ(fw_cfg->state().offset, 0xffffffffu);
}

TEST_F(FwCfgTest, SavedStateContinuesInTheMiddleOfAnItem) {
  select(FwCfg::kSignature);
  bytes(2);
  const FwCfgState saved = fw_cfg->state();
  fw_cfg->reset();
  ASSERT_TRUE(fw_cfg->restore(saved));
  EXPECT_EQ(bytes(2), "MU");
}

}  // namespace
}  // namespace vireo::devices
