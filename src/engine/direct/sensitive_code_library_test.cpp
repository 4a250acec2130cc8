#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "engine/direct/sensitive_code.h"
#include "support/read_file.h"
#include "x86/cpuid/cpuid_model.h"
#include "x86/cpuid/host_features.h"
#include "x86/decode/decoder.h"

namespace vireo::engine::direct {
namespace {

using x86::FeatureSet;

/// The code of a 64-bit ELF file: the executable segment, of which the last page may be less.
std::vector<std::byte> text_of(const std::string& path) {
  const std::string file = test::read_file(path);
  std::vector<std::byte> text;
  Elf64_Ehdr header;
  if (file.size() < sizeof header) return text;
  std::memcpy(&header, file.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return text;
  for (unsigned i = 0; i < header.e_phnum && text.empty(); ++i) {
    Elf64_Phdr segment;
    const std::size_t at = header.e_phoff + i * sizeof segment;
    if (at + sizeof segment > file.size()) break;
    std::memcpy(&segment, file.data() + at, sizeof segment);
    if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X)) continue;
    if (segment.p_offset + segment.p_filesz > file.size()) break;
    text.resize(segment.p_filesz);
    std::memcpy(text.data(), file.data() + segment.p_offset, segment.p_filesz);
  }
  return text;
}

/// Whether it is code all through, without tables of constants.
bool is_code(std::span<const std::byte> page) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  const auto runs_through = [&](std::size_t at) {
    ZydisDecodedInstruction insn;
    while (at + x86::kMaxInsnLength <= page.size()) {
      if (!ZYAN_SUCCESS(
              ZydisDecoderDecodeInstruction(&decoder, nullptr, &page[at], page.size() - at, &insn)))
        return false;
      at += insn.length;
    }
    return true;
  };
  for (std::size_t start = 0; start < x86::kMaxInsnLength; ++start)
    if (runs_through(start)) return true;
  return false;
}

class RealCode : public ::testing::TestWithParam<const char*> {
 protected:
  /// Prints what was found and the time; gives the share of dirty ones among the pages of code.
  double scan_all(const char* name, const SensitiveCode::Rules& rules) const {
    const SensitiveCode scan(rules);
    const auto all = std::span<const std::byte>(text_);
    unsigned code = 0, dirty = 0, data = 0, alone = 0;
    std::chrono::duration<double, std::micro> took{};
    for (std::size_t at = 0; at + kPageSize <= all.size(); at += kPageSize) {
      const auto page = all.subspan(at).first<kPageSize>();
      const auto begin = std::chrono::steady_clock::now();
      const bool clean = scan.clean(page, {all.first(at), all.subspan(at + kPageSize)});
      took += std::chrono::steady_clock::now() - begin;
      const bool counts = is_code(page);
      code += counts;
      dirty += counts && !clean;
      data += !counts && !clean;
      alone += counts && !scan.clean(page);
    }
    fmt::print(
        "{} as {}: {} of {} pages of code ({} each by itself), {} of {} with data, "
        "{:.1f} us each\n",
        GetParam(), name, dirty, code, alone, data, all.size() / kPageSize - code,
        took.count() / static_cast<double>(all.size() / kPageSize));
    return static_cast<double>(dirty) / code;
  }

  std::vector<std::byte> text_ = text_of(GetParam());
};

TEST_P(RealCode, IsCleanButForFewPages) {
  if (text_.size() < kPageSize) GTEST_SKIP() << GetParam() << " is not on this system";
  const FeatureSet host = x86::reported_by_host();
  EXPECT_LT(scan_all("host", {host, host, true, true}), 0.03);
  scan_all("v3", {*x86::CpuidModel::model_features("v3"), host, false, true});
  scan_all("v2", {*x86::CpuidModel::model_features("v2"), host, false, true});
}

INSTANTIATE_TEST_SUITE_P(SensitiveCode, RealCode,
                         ::testing::Values("/usr/lib/x86_64-linux-gnu/libc.so.6",
                                           "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
                                           "/usr/lib64/libc.so.6", "/usr/lib64/libcrypto.so.3"));

}  // namespace
}  // namespace vireo::engine::direct
