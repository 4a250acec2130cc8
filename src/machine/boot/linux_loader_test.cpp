#include <gtest/gtest.h>

#include <optional>

#include "machine/boot/test_images.h"

namespace vireo::machine {
namespace {

using test::bzimage, test::image, test::Host;

std::string message(const Result<x86::CpuState>& result) {
  return result ? "loaded" : result.error().message;
}

// Walks the page tables that a loader left behind, as the CPU would.
std::optional<std::uint64_t> translate(Host& host, const x86::CpuState& cpu, std::uint64_t linear) {
  std::uint64_t table = cpu.cr3;
  for (int shift = 39; shift >= 12; shift -= 9) {
    const auto entry = host.at<std::uint64_t>(table + ((linear >> shift) & 511) * 8);
    if ((entry & 1) == 0) return std::nullopt;
    if (shift == 21 && (entry & 0x80) != 0) return (entry & ~0x1fffffull) | (linear & 0x1fffff);
    table = entry & ~0xfffull;
  }
  return table | (linear & 0xfff);
}

TEST(BzImage, EntersIn64BitModeAsTheProtocolSays) {
  Host host;
  const auto cpu = load_kernel(image(bzimage(), "console=ttyS0"), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(cpu->rip, 0x200200u);
  EXPECT_TRUE(cpu->code64());
  EXPECT_TRUE(cpu->paging());
  EXPECT_EQ(cpu->rflags & x86::rflags::kIf, 0u);
  EXPECT_EQ(cpu->cpl(), 0u);
  // __BOOT_CS is execute/read, __BOOT_DS read/write, and the GDT in memory says the same.
  EXPECT_EQ(cpu->segment[x86::kCs].selector, 0x10);
  EXPECT_EQ(cpu->segment[x86::kDs].selector, 0x18);
  EXPECT_TRUE(cpu->segment[x86::kCs].readable());
  EXPECT_TRUE(cpu->segment[x86::kSs].writable());
  EXPECT_EQ(host.at<std::uint64_t>(cpu->gdtr.base + 0x10), 0x00af9b000000ffffu);
  EXPECT_EQ(cpu->gdtr.limit, 31);
  for (const std::uint64_t address :
       {0x0ull, 0x200200ull, 0x8a7fffull, 0xfee00000ull, 0xffffffffull}) {
    EXPECT_EQ(translate(host, *cpu, address), address);
  }
  EXPECT_EQ(host.text(0x200000), "PAYLOAD");
}

TEST(BzImage, ZeroPageTellsTheKernelWhatItNeeds) {
  Host host;
  const auto cpu = load_kernel(image(bzimage(), "console=ttyS0 quiet"), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  const std::uint64_t zero_page = cpu->gpr[x86::kRsi];
  EXPECT_EQ(zero_page & 0xfff, 0u);
  EXPECT_EQ(host.text(host.at<std::uint32_t>(zero_page + 0x228)), "console=ttyS0 quiet");
  EXPECT_EQ(host.at<std::uint64_t>(zero_page + 0x70), 0xe1234u);      // ACPI root pointer
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x202), 0x53726448u);  // the header is copied
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x260), 0x100000u);
  EXPECT_EQ(host.at<std::uint8_t>(zero_page + 0x210), 0xff);
  EXPECT_EQ(host.at<std::uint8_t>(zero_page + 0x1ef), 0) << "the sentinel must be clear";
  ASSERT_EQ(host.at<std::uint8_t>(zero_page + 0x1e8), host.map.size());
  for (std::size_t i = 0; i < host.map.size(); ++i) {
    const std::uint64_t entry = zero_page + 0x2d0 + i * 20;
    EXPECT_EQ(host.at<std::uint64_t>(entry), host.map[i].base);
    EXPECT_EQ(host.at<std::uint64_t>(entry + 8), host.map[i].size);
    EXPECT_EQ(host.at<std::uint32_t>(entry + 16), static_cast<std::uint32_t>(host.map[i].type));
  }
  const auto setup_data = host.at<std::uint64_t>(zero_page + 0x250);
  EXPECT_EQ(host.at<std::uint32_t>(setup_data + 8), 9u);  // a random seed
  EXPECT_NE(host.at<std::uint64_t>(setup_data + 16), 0u);
}

TEST(BzImage, RamDiskGoesAsHighAsItMay) {
  Host host;
  const auto cpu =
      load_kernel(image(bzimage(), "", {{"", test::filled(5000, 0x5a)}}), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  const std::uint64_t zero_page = cpu->gpr[x86::kRsi];
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x218), (16u << 20) - 8192);
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x21c), 5000u);
  EXPECT_EQ(host.at<std::uint8_t>((16u << 20) - 8192 + 4999), 0x5a);
}

TEST(BzImage, RamDiskStaysBelowTheKernelsLimit) {
  Host host;
  auto file = bzimage();
  file.put(0x22c, std::uint32_t{0x7fffff});  // the last byte it may occupy
  const auto cpu = load_kernel(image(file, "", {{"", test::filled(4096, 1)}}), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(host.at<std::uint32_t>(cpu->gpr[x86::kRsi] + 0x218), 0x7ff000u);
}

TEST(BzImage, RamDiskGoesAbove4GiBOnlyWhereTheKernelAllowsIt) {
  Host host(3 * 1024 + 64);
  auto file = bzimage();
  file.put(0x22c, std::uint32_t{0x3fffff});  // room for 1 MiB below the limit
  const std::vector<BootModule> disk{{"", test::filled(2 << 20, 7)}};
  const auto cpu = load_kernel(image(file, "", disk), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  const std::uint64_t zero_page = cpu->gpr[x86::kRsi];
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0xc0), 1u);
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x218), (62u << 20));
  EXPECT_EQ(host.at<std::uint8_t>((4ull << 30) + (62u << 20)), 7);
  file.put(0x236, std::uint16_t{1});  // 64-bit entry, but not XLF_CAN_BE_LOADED_ABOVE_4G
  EXPECT_NE(
      message(load_kernel(image(file, "", disk), host.context())).find("larger than this kernel"),
      std::string::npos);
}

TEST(BzImage, OlderKernelsAreEnteredIn32BitMode) {
  Host host;
  auto file = bzimage();
  file.put(0x206, std::uint16_t{0x20a});
  const auto cpu = load_kernel(image(file), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(cpu->rip, 0x200000u);
  EXPECT_TRUE(cpu->protected_mode());
  EXPECT_FALSE(cpu->paging());
  EXPECT_FALSE(cpu->long_mode());
  EXPECT_TRUE(cpu->segment[x86::kCs].big());
  EXPECT_EQ(cpu->gpr[x86::kRbp] | cpu->gpr[x86::kRdi] | cpu->gpr[x86::kRbx], 0u);
  EXPECT_NE(cpu->gpr[x86::kRsi], 0u);
}

TEST(BzImage, SaysWhatDoesNotFit) {
  Host host(2);
  EXPECT_EQ(message(load_kernel(image(bzimage()), host.context())),
            "the kernel needs at least 3 MiB of memory; give it with --memory 3M");
  Host larger(4);
  EXPECT_EQ(message(load_kernel(image(bzimage(), "", {{"", test::filled(3 << 20, 0)}}),
                                larger.context())),
            "the initial RAM disk of 3 MiB does not fit into memory; give at least --memory 7M");
  EXPECT_EQ(message(load_kernel(image(bzimage(), std::string(65, 'x')), larger.context())),
            "the kernel command line has 65 characters, but this kernel takes at most 64");
  EXPECT_TRUE(load_kernel(image(bzimage(), std::string(64, 'x')), larger.context()));
}

TEST(BzImage, HostileHeadersAreRefused) {
  Host host;
  const auto refused = [&](auto change) {
    auto file = bzimage();
    change(file);
    return message(load_kernel(image(file), host.context())) != "loaded";
  };
  EXPECT_TRUE(refused([](auto& f) { f.put(0x1f1, std::uint8_t{200}); })) << "setup beyond the end";
  EXPECT_TRUE(refused([](auto& f) { f.resize(0x210); })) << "cut inside the header";
  EXPECT_TRUE(refused([](auto& f) { f.put(0x258, ~std::uint64_t{0}); })) << "address wraps";
  EXPECT_TRUE(refused([](auto& f) { f.put(0x258, std::uint64_t{0}); })) << "over the loader's data";
  EXPECT_TRUE(refused([](auto& f) { f.put(0x260, ~std::uint32_t{0}); }));
  EXPECT_TRUE(refused([](auto& f) { f.put(0x206, std::uint16_t{0x201}); })) << "too old";
  EXPECT_TRUE(refused([](auto& f) { f.put(0x211, std::uint8_t{0}); })) << "zImage";
}

TEST(LinuxElf, IsEnteredAtItsPhysicalEntry) {
  Host host;
  // Linked high, loaded at 3 MiB; the entry is given as a virtual address.
  const auto file =
      test::elf(true, 0xffffffff81000010, {{1, 0x300000, 0xffffffff81000000, 0x3000, "CODE"}});
  host.memory->write_value(PhysAddr{0x302ff8}, ~std::uint64_t{0});  // left by an earlier boot
  const auto cpu = load_kernel(image(file, "quiet", {{"", test::filled(4096, 9)}}), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(image(file).kind, KernelKind::kLinuxElf);
  EXPECT_EQ(cpu->rip, 0x300010u);
  EXPECT_TRUE(cpu->code64());
  EXPECT_EQ(host.at<std::uint64_t>(0x302ff8), 0u) << "uninitialized data is zeroed";
  const std::uint64_t zero_page = cpu->gpr[x86::kRsi];
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x202), 0x53726448u);
  EXPECT_EQ(host.text(host.at<std::uint32_t>(zero_page + 0x228)), "quiet");
  EXPECT_EQ(host.at<std::uint32_t>(zero_page + 0x218), (16u << 20) - 4096);
}

}  // namespace
}  // namespace vireo::machine
