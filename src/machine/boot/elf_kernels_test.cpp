#include <gtest/gtest.h>

#include <random>

#include "machine/boot/elf_file.h"
#include "machine/boot/test_images.h"

namespace vireo::machine {
namespace {

using test::Bytes, test::elf, test::Host, test::image;

std::string message(const Result<x86::CpuState>& result) {
  return result ? "loaded" : result.error().message;
}

// --- PVH -------------------------------------------------------------------------------------

Bytes pvh_kernel(bool wide = true) {
  return elf(wide, 0xdead, {{1, 0x200000, 0x200000, 0x2000, "PVH"}, test::pvh_note(0x200040)});
}

TEST(Pvh, EntersWithTheStartInfoInEbx) {
  Host host;
  const auto cpu =
      load_kernel(image(pvh_kernel(), "hello", {{"", test::filled(100, 3)}}), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(cpu->rip, 0x200040u);
  EXPECT_TRUE(cpu->protected_mode());
  EXPECT_FALSE(cpu->paging());
  EXPECT_EQ(cpu->cr4, 0u);
  EXPECT_EQ(cpu->rflags, x86::rflags::kFixed1);
  EXPECT_EQ(cpu->tr.limit, 0x67u);
  EXPECT_EQ(cpu->tr.type(), 0xbu);
  EXPECT_EQ(cpu->segment[x86::kCs].limit, 0xffffffffu);

  const std::uint64_t info = cpu->gpr[x86::kRbx];
  EXPECT_EQ(host.at<std::uint32_t>(info), 0x336ec578u);
  EXPECT_EQ(host.at<std::uint32_t>(info + 4), 1u);
  ASSERT_EQ(host.at<std::uint32_t>(info + 12), 1u);
  const auto module = host.at<std::uint64_t>(info + 16);
  EXPECT_EQ(host.at<std::uint64_t>(module), (16u << 20) - 4096);
  EXPECT_EQ(host.at<std::uint64_t>(module + 8), 100u);
  EXPECT_EQ(host.at<std::uint8_t>((16u << 20) - 4096 + 99), 3);
  EXPECT_EQ(host.text(host.at<std::uint64_t>(info + 24)), "hello");
  EXPECT_EQ(host.at<std::uint64_t>(info + 32), 0xe1234u);
  const auto map = host.at<std::uint64_t>(info + 40);
  ASSERT_EQ(host.at<std::uint32_t>(info + 48), host.map.size());
  EXPECT_EQ(host.at<std::uint64_t>(map + 3 * 24), host.map[3].base);
  EXPECT_EQ(host.at<std::uint64_t>(map + 3 * 24 + 8), host.map[3].size);
  EXPECT_EQ(host.at<std::uint32_t>(map + 1 * 24 + 16), 2u);
}

TEST(Pvh, TheNoteIsFoundInBothElfClasses) {
  EXPECT_EQ(image(pvh_kernel(true)).kind, KernelKind::kPvh);
  EXPECT_EQ(image(pvh_kernel(false)).kind, KernelKind::kPvh);
}

// --- Multiboot -------------------------------------------------------------------------------

std::string multiboot_header(std::uint32_t flags, std::vector<std::uint32_t> addresses = {}) {
  std::vector<std::uint32_t> words{0x1badb002, flags, 0u - 0x1badb002 - flags};
  words.insert(words.end(), addresses.begin(), addresses.end());
  return {reinterpret_cast<const char*>(words.data()), words.size() * 4};
}

TEST(Multiboot, EntersWithMagicAndInformation) {
  Host host;
  const auto file =
      elf(false, 0x100020, {{1, 0x100000, 0x100000, 0x3000, multiboot_header(3) + "x"}});
  const auto cpu = load_kernel(
      image(file, "a b", {{"mod1 arg", test::filled(5000, 1)}, {"mod2", test::filled(1, 2)}}),
      host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(cpu->rip, 0x100020u);
  EXPECT_EQ(cpu->gpr[x86::kRax], 0x2badb002u);
  EXPECT_TRUE(cpu->protected_mode());
  EXPECT_FALSE(cpu->paging());
  EXPECT_EQ(cpu->rflags & (x86::rflags::kIf | x86::rflags::kVm), 0u);

  const std::uint64_t info = cpu->gpr[x86::kRbx];
  const auto word = [&](std::uint64_t offset) { return host.at<std::uint32_t>(info + offset); };
  EXPECT_EQ(word(0), 0x24du);  // memory, command line, modules, map, loader name
  EXPECT_EQ(word(4), 639u);
  EXPECT_EQ(word(8), 15u * 1024);
  EXPECT_EQ(host.text(word(16)), "vm a b");
  ASSERT_EQ(word(20), 2u);
  const std::uint64_t modules = word(24);
  EXPECT_EQ(host.at<std::uint32_t>(modules), 0x103000u);
  EXPECT_EQ(host.at<std::uint32_t>(modules + 4), 0x103000u + 5000);
  EXPECT_EQ(host.text(host.at<std::uint32_t>(modules + 8)), "mod1 arg");
  EXPECT_EQ(host.at<std::uint32_t>(modules + 16), 0x105000u) << "modules are page aligned";
  EXPECT_EQ(host.at<std::uint8_t>(0x105000), 2);
  ASSERT_EQ(word(44), host.map.size() * 24);
  const std::uint64_t last = word(48) + (host.map.size() - 1) * 24;
  EXPECT_EQ(host.at<std::uint32_t>(last), 20u);
  EXPECT_EQ(host.at<std::uint64_t>(last + 4), host.map.back().base);
  EXPECT_EQ(host.at<std::uint64_t>(last + 12), host.map.back().size);
  EXPECT_EQ(host.at<std::uint32_t>(last + 20), 1u);
}

TEST(Multiboot, AddressFieldsOfTheHeaderReplaceElf) {
  Host host;
  Bytes file;
  file.text(0, "JUNK").text(
      8, multiboot_header(0x10000, {0x200004, 0x200000, 0x200040, 0x201000, 0x200030}));
  file.text(0x30, "CODE").text(0x44, "past load_end");
  host.memory->write_value(PhysAddr{0x200ff8}, ~std::uint64_t{0});
  const auto cpu = load_kernel(image(file), host.context());
  ASSERT_TRUE(cpu) << message(cpu);
  EXPECT_EQ(cpu->rip, 0x200030u);
  EXPECT_EQ(host.at<std::uint32_t>(0x200004), 0x1badb002u);  // loading began 4 bytes before it
  EXPECT_EQ(host.text(0x20002c), "CODE");
  EXPECT_EQ(host.at<std::uint64_t>(0x200040), 0u);
  EXPECT_EQ(host.at<std::uint64_t>(0x200ff8), 0u) << "bss is zeroed";
}

TEST(Multiboot, HostileAddressFieldsAreRefused) {
  Host host;
  const auto refused = [&](std::vector<std::uint32_t> addresses) {
    Bytes file;
    file.text(8, multiboot_header(0x10000, std::move(addresses))).text(0x40, "end");
    return message(load_kernel(image(file), host.context())) != "loaded";
  };
  EXPECT_TRUE(refused({0x1fffff, 0x200000, 0, 0, 0})) << "header before the image";
  EXPECT_TRUE(refused({0x200100, 0x200000, 0, 0, 0})) << "image before the file";
  EXPECT_TRUE(refused({0x200000, 0x200000, 0x100000, 0, 0}));
  EXPECT_TRUE(refused({0x200000, 0x200000, 0x300000, 0, 0})) << "more than the file has";
  EXPECT_TRUE(refused({0x200000, 0x200000, 0, 0xffffffff, 0})) << "bss beyond memory";
  EXPECT_TRUE(refused({0xa0000, 0xa0000, 0, 0, 0})) << "into display memory";
}

TEST(Multiboot, UnknownRequirementsAndBadChecksumsAreRefused) {
  Host host;
  const auto segment = [](const std::string& bytes) {
    return elf(false, 0x100000, {{1, 0x100000, 0x100000, 0, bytes}});
  };
  EXPECT_NE(message(load_kernel(image(segment(multiboot_header(0x8))), host.context())).find("0x8"),
            std::string::npos);
  auto wrong = multiboot_header(3);
  wrong[8] ^= 1;
  EXPECT_FALSE(classify_kernel(segment(wrong)));
  Bytes late(8196);
  late.text(8192, multiboot_header(0));
  EXPECT_FALSE(classify_kernel(late)) << "only the first 8 KiB are searched";
}

// --- hostile ELF files -----------------------------------------------------------------------

TEST(ElfFile, SaysWhyAFileIsNoKernel) {
  const auto reason = [](const Bytes& file) {
    const auto kind = classify_kernel(file);
    return kind ? std::string("a kernel") : kind.error().message;
  };
  EXPECT_NE(reason(Bytes()).find("neither"), std::string::npos);
  EXPECT_NE(reason(Bytes(4096)).find("neither"), std::string::npos);
  auto core = elf(true, 0, {{1, 0x200000, 0x200000, 0, "x"}});
  core.put(16, std::uint16_t{4});
  EXPECT_NE(reason(core).find("not one that can be executed"), std::string::npos);
  EXPECT_NE(reason(elf(false, 0, {{1, 0x100000, 0, 0, "x"}})).find("32-bit"), std::string::npos);
  auto arm = pvh_kernel();
  arm.put(18, std::uint16_t{183});
  EXPECT_NE(reason(arm).find("another processor"), std::string::npos);
  auto cut = pvh_kernel();
  cut.resize(cut.size() - 1);
  EXPECT_NE(reason(cut).find("cut off"), std::string::npos);
}

TEST(ElfFile, SaysHowMuchMemoryIsEnough) {
  Host host(4);
  const auto file = elf(true, 0, {{1, 0x200000, 0, 0x100, "a"}, {1, 0x300000, 0, 0x400001, "b"}});
  EXPECT_EQ(message(load_kernel(image(file), host.context())),
            "the kernel needs at least 8 MiB of memory; give it with --memory 8M");
  EXPECT_NE(message(load_kernel(image(elf(true, 0, {{1, 0xfee00000, 0, 0, "x"}})), host.context()))
                .find("no memory is free"),
            std::string::npos);
  EXPECT_NE(
      message(
          load_kernel(image(elf(true, 0, {{1, 0x200000, 0, 0x200, "x"}, {1, 0x200100, 0, 1, "y"}})),
                      host.context()))
          .find("no memory is free"),
      std::string::npos)
      << "segments that overlap";
}

// Whatever is in the file, loading ends with an answer (the sanitizers watch the rest).
TEST(ElfFile, NoDamageToAFileHarmsTheMonitor) {
  std::mt19937 random(1);
  std::vector<Bytes> files{pvh_kernel(true), pvh_kernel(false), test::bzimage(),
                           elf(false, 0, {{1, 0x100000, 0, 0, multiboot_header(3)}})};
  int loaded = 0;
  for (int round = 0; round < 4000; ++round) {
    Bytes file = files[static_cast<std::size_t>(round) % files.size()];
    for (unsigned changes = random() % 4; changes > 0; --changes) {
      file[random() % file.size()] = static_cast<std::byte>(random() % 3 == 0 ? 0xff : random());
    }
    if (random() % 4 == 0) file.resize(random() % file.size());
    const auto kind = classify_kernel(file);
    if (!kind) continue;
    Host host(4);
    loaded += load_kernel({*kind, "vm", file, "", {}}, host.context()).has_value();
  }
  EXPECT_GT(loaded, 500) << "most damage is harmless: the rounds do reach the loaders";
}

}  // namespace
}  // namespace vireo::machine
