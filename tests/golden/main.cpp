// Compares the host code of small pieces of guest code with the files in translator/, or writes
// them anew.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "engine/translator/translation_world.h"
#include "golden/adoption.h"
#include "golden/cases.h"
#include "support/host_listing.h"

namespace vireo::test {
namespace {

using engine::translator::Mode;
using engine::translator::Translation;
using engine::translator::test::TranslationWorld;

constexpr std::uint64_t kPage = 0x5000, kStart = 0x100, kUpperHalf = 0xffffffff00000000;

class Writer {
 public:
  std::string file(const GoldenFile& file) {
    std::string text;
    for (const GoldenCase& each : file.cases) text += one_case(each);
    return text;
  }

 private:
  std::string one_case(const GoldenCase& golden) {
    TranslationWorld& world = golden.exact_flags ? exact_ : usual_;
    world.cache.flush();
    const std::vector<std::uint8_t> code = assemble(golden);
    const std::uint64_t rip = kPage + kStart + (golden.relative ? kUpperHalf : 0);
    Mode mode = golden.supervisor ? TranslationWorld::kSupervisor : TranslationWorld::kUser;
    mode.careful = golden.careful;
    if (golden.narrow != nullptr) mode.narrow = *golden.narrow;
    const Translation* translation = world.translate(kPage + kStart, rip, mode);
    std::string text =
        fmt::format("# {}{}{}{}{}\n", golden.name, golden.relative ? ", relative" : "",
                    golden.supervisor ? ", supervisor" : "", golden.careful ? ", careful" : "",
                    golden.exact_flags ? ", exact flags" : "");
    for (const std::string& line : list_guest_code(code, rip, false, mode.narrow.size))
      text += line + "\n";
    if (translation == nullptr) return text + "=> no translation\n\n";
    text += "=>\n";
    bool shown = golden.whole;
    for (const std::string& line : list_translation(*translation, world.cache.glue())) {
      shown = shown || line == "entry:";
      if (shown) text += line + "\n";
    }
    return text + "\n";
  }

  /// The case's code at kStart of its page. All of it goes to the page; what is returned lacks the
  /// jump that ends it.
  std::vector<std::uint8_t> assemble(const GoldenCase& golden) {
    std::array<std::uint8_t, kPageSize> page{};
    page[0] = 0x31, page[1] = 0xc0;  // xor eax, eax: all flags are dead
    page[2] = 0xc3;                  // ret
    Xbyak::CodeGenerator guest(kPageSize - kStart, page.data() + kStart);
    golden.write(guest);
    const std::size_t size = guest.getSize();
    if (golden.narrow != nullptr && golden.narrow->size == x86::CodeSize::k16) {
      guest.db(0xe9);
      guest.dw(static_cast<std::uint32_t>(0 - (kStart + size + 3)));
    } else {
      guest.jmp(page.data(), Xbyak::CodeGenerator::T_NEAR);
    }
    for (TranslationWorld* world : {&usual_, &exact_}) world->write(kPage, page);
    return {page.begin() + kStart, page.begin() + static_cast<std::ptrdiff_t>(kStart + size)};
  }

  TranslationWorld usual_{false}, exact_{true};
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The first line that differs, with the case it belongs to.
void show_difference(std::string_view path, const std::string& expected,
                     const std::string& actual) {
  const auto wanted = lines_of(expected), got = lines_of(actual);
  std::string name;
  for (std::size_t i = 0; i < std::max(wanted.size(), got.size()); ++i) {
    const std::string want = i < wanted.size() ? wanted[i] : "(end)";
    const std::string have = i < got.size() ? got[i] : "(end)";
    if (have.starts_with("# ")) name = have;
    if (want == have) continue;
    fmt::print("{}:{}: {}\n  expected {}\n  now      {}\n", path, i + 1, name, want, have);
    return;
  }
}

int run(const std::string& directory, bool update) {
  Writer writer;
  int different = 0;
  std::vector<GoldenFile> files;
  for (const auto& some : {golden_files(), golden_files_of_narrow_code()})
    files.insert(files.end(), some.begin(), some.end());
  for (const GoldenFile& file : files) {
    const std::string path = fmt::format("{}/{}.txt", directory, file.name);
    const std::string text = writer.file(file);
    if (update) {
      std::ofstream(path) << text;
      continue;
    }
    std::ifstream stream(path);
    const std::string expected{std::istreambuf_iterator<char>(stream), {}};
    if (expected == text) continue;
    ++different;
    show_difference(path, expected, text);
  }
  if (different != 0)
    fmt::print("{} files differ; look, then run with --update, and look at the change\n",
               different);
  return different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) {
  std::string directory = VIREO_GOLDEN_DIRECTORY;
  bool update = false;
  CLI::App app("Compares generated code with the files that it is known by.");
  app.add_option("directory", directory, "Where the files are");
  bool adopted = false;
  app.add_flag("--update", update, "Write the files anew");
  app.add_flag("--adopted", adopted, "Compare what a vCPU takes over with what it would make");
  CLI11_PARSE(app, argc, argv);
  if (adopted) return vireo::test::compare_adopted_code();
  return vireo::test::run(directory, update);
}
