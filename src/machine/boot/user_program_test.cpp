#include "machine/boot/user_program.h"

#include <gtest/gtest.h>

#include "machine/boot/boot_image.h"
#include "machine/boot/test_images.h"

namespace vireo::machine {
namespace {

using namespace std::string_literals;
using test::Bytes, test::elf, test::Segment;

constexpr std::uint64_t kBase = 0x400000;
const std::string kExit = "\xb8\x3c\0\0\0\x31\xff\x0f\x05"s;  // mov eax, 60; xor edi, edi; syscall
const std::string kWrmsr = "\x0f\x30"s;

Segment code(const std::string& bytes, std::uint64_t physical = kBase,
             std::uint64_t virtual_address = kBase) {
  return {1, physical, virtual_address, 0, bytes, true};
}

Segment note(const std::string& owner, unsigned type) {
  Bytes bytes;
  bytes.put(0, 4u).put(4, 16u).put(8, type).text(12, owner).put(28, 0u);
  return {4, 0, 0, 0, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
}

Bytes shared(Bytes file) { return file.put(16, std::uint16_t{3}); }

bool refused(const Bytes& file) {
  const auto kind = classify_kernel(file);
  if (kind) return false;
  EXPECT_EQ(kind.error().blame, Blame::kUsage);
  EXPECT_EQ(kind.error().message, "it is a program for an operating system");
  return true;
}

TEST(UserProgram, SaysItselfForWhichSystemItIs) {
  const Segment plain = code("\x90");
  EXPECT_FALSE(refused(elf(true, kBase, {plain})));
  EXPECT_TRUE(refused(elf(true, kBase, {plain, {3, 0, 0, 0, "/lib64/ld-linux-x86-64.so.2"}})));
  EXPECT_TRUE(refused(elf(true, kBase, {plain, note("GNU\0"s, 1)}))) << "the ABI tag";
  EXPECT_FALSE(refused(elf(true, kBase, {plain, note("GNU\0"s, 3)}))) << "kernels have build ids";
  EXPECT_FALSE(refused(elf(true, kBase, {plain, note("Xen\0"s, 1)})));
}

TEST(UserProgram, IsPositionIndependentFromZeroOn) {
  EXPECT_TRUE(refused(shared(elf(true, 0, {code("\x90", 0, 0)}))));
  EXPECT_FALSE(refused(shared(elf(true, kBase, {code("\x90")}))));
  EXPECT_FALSE(refused(elf(true, 0, {code("\x90", 0, 0)})));
}

TEST(UserProgram, CallsASystemAndIsNone) {
  EXPECT_TRUE(refused(elf(true, kBase, {code(kExit)})));
  EXPECT_TRUE(refused(elf(true, kBase, {code("\xcd\x80")})));
  EXPECT_TRUE(refused(elf(false, kBase, {code("\xcd\x80")}))) << "of 32 bits";
  EXPECT_FALSE(refused(elf(true, kBase, {code("\xcd\x21")})));
  EXPECT_TRUE(refused(elf(true, kBase, {code(kExit + std::string(3000, '\x06') + "\x0f"s)})))
      << "what does not decode is passed over";
}

TEST(UserProgram, IsNoneIfItsCodeSetsUpTheCpu) {
  const std::string systems[] = {kWrmsr, "\x0f\x01\x10"s, "\x0f\x01\x18"s, "\x0f\x00\xd8"s,
                                 "\x0f\x22\xd8"s};  // WRMSR, LGDT, LIDT, LTR, MOV CR3
  for (const std::string& system : systems) {
    EXPECT_FALSE(refused(elf(true, kBase, {code(system + kExit)})));
    EXPECT_FALSE(refused(elf(true, kBase, {code(kExit + system)})));
    EXPECT_FALSE(refused(elf(true, kBase, {code(kExit), code(system, kBase * 2, kBase * 2)})));
  }
}

TEST(UserProgram, HasItsCodeInExecutableSegmentsWhereItWasLinked) {
  Segment data = code(kExit);
  data.executable = false;
  EXPECT_FALSE(refused(elf(true, kBase, {code("\x90"), data})));
  EXPECT_FALSE(refused(elf(true, kBase, {code(kExit, kBase, 0xffffffff81000000)})));
}

TEST(UserProgram, AKernelsMarksCountForMore) {
  const auto pvh =
      elf(true, kBase,
          {code(kExit), test::pvh_note(0x400000), note("GNU\0"s, 1), {3, 0, 0, 0, "/red/herring"}});
  ASSERT_TRUE(classify_kernel(pvh));
  EXPECT_EQ(*classify_kernel(pvh), KernelKind::kPvh);
  const std::string multiboot("\x02\xb0\xad\x1b\0\0\0\0\xfe\x4f\x52\xe4", 12);
  const auto kind = classify_kernel(elf(true, kBase, {code(multiboot + kExit)}));
  ASSERT_TRUE(kind);
  EXPECT_EQ(*kind, KernelKind::kMultiboot);
}

}  // namespace
}  // namespace vireo::machine
