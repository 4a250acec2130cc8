#include "golden/adoption.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "engine/translator/translation_world.h"
#include "golden/cases.h"

namespace vireo::test {
namespace {

using namespace engine::translator;
using engine::translator::test::TranslationWorld;

constexpr std::uint64_t kPage = 0x5000, kOthers = 0x8000, kStart = 0x100;
constexpr std::uint64_t kUpperHalf = 0xffffffff00000000;

std::array<std::uint8_t, kPageSize> page_of(const GoldenCase& golden) {
  std::array<std::uint8_t, kPageSize> page{};
  page[0] = 0x31, page[1] = 0xc0, page[2] = 0xc3;  // xor eax, eax; ret
  Xbyak::CodeGenerator guest(kPageSize - kStart, page.data() + kStart);
  golden.write(guest);
  guest.jmp(page.data(), Xbyak::CodeGenerator::T_NEAR);
  return page;
}

/// One vCPU that comes to the case's page after so many others with the same code, so that sites,
/// exits, homes and places have other numbers than those of another vCPU.
struct Vcpu {
  TranslationWorld world;
  const Translation* translation = nullptr;

  Vcpu(const GoldenCase& golden, std::shared_ptr<SharedTranslations> shared, unsigned others,
       std::uint64_t first_other)
      : world(golden.exact_flags, std::move(shared)), golden_(golden) {
    for (unsigned i = 0; i < others; ++i) translate(first_other + i * kPageSize);
  }
  void make() { translation = translate(kPage); }

  /// Where an address is, from the start of the glue.
  std::ptrdiff_t place(const std::uint8_t* executable) const {
    return executable == nullptr ? 0 : executable - world.cache.glue().exit;
  }

 private:
  Translation* translate(std::uint64_t page) {
    world.write(page, page_of(golden_));
    Mode mode = golden_.supervisor ? TranslationWorld::kSupervisor : TranslationWorld::kUser;
    mode.careful = golden_.careful;
    if (golden_.narrow != nullptr) mode.narrow = *golden_.narrow;
    const std::uint64_t rip = page + kStart + (golden_.relative ? kUpperHalf : 0);
    return world.translate(page + kStart, rip, mode);
  }
  const GoldenCase& golden_;
};

bool same_entries(const Vcpu& a, const Vcpu& b) {
  for (const auto entry :
       {&Translation::entry, &Translation::entry_polling, &Translation::entry_saved,
        &Translation::entry_polling_saved, &Translation::entry_indirect,
        &Translation::entry_indirect_saved, &Translation::begin})
    if (a.place(a.translation->*entry) != b.place(b.translation->*entry)) return false;
  const Translation &x = *a.translation, &y = *b.translation;
  return a.place(x.seldom.data()) == b.place(y.seldom.data()) && x.tag == y.tag &&
         x.home == y.home && x.asks_home == y.asks_home && x.relative == y.relative &&
         x.flags_live == y.flags_live && x.first == y.first && x.last == y.last &&
         x.mode == y.mode && x.start == y.start && x.exits == y.exits;
}

bool same_site(const Vcpu& a, const Site& x, const Vcpu& b, const Site& y) {
  return x.tag == y.tag && a.place(x.retry) == b.place(y.retry) &&
         a.place(x.resume) == b.place(y.resume) && x.more_follows == y.more_follows &&
         x.branches == y.branches && x.x87_loaded == y.x87_loaded && x.bytes == y.bytes &&
         x.length == y.length && x.code_size == y.code_size && x.tlb == y.tlb &&
         x.write == y.write && x.size == y.size && x.alignment == y.alignment && x.salt == y.salt &&
         x.looks_for_others == y.looks_for_others && x.stack_low == y.stack_low &&
         x.stack_high == y.stack_high && x.load_x87 == y.load_x87 && x.from->tag == y.from->tag;
}

bool same_exit(const Vcpu& a, const Exit& x, const Vcpu& b, const Exit& y) {
  const auto distance = [](const Exit& exit, const std::uint8_t* place) {
    return place == nullptr ? 0 : place - exit.patch;
  };
  return x.tag == y.tag && (x.patch == nullptr) == (y.patch == nullptr) &&
         a.place(x.stub) == b.place(y.stub) && a.place(x.detour) == b.place(y.detour) &&
         x.backward == y.backward && x.suspended == y.suspended && x.careful == y.careful &&
         distance(x, x.at_home) == distance(y, y.at_home) &&
         distance(x, x.home) == distance(y, y.home) && x.flags_saved == y.flags_saved &&
         x.from->tag == y.from->tag && x.to == nullptr && y.to == nullptr;
}

bool same_tables(Vcpu& a, Vcpu& b) {
  CodeTables &x = a.world.cache.tables(), &y = b.world.cache.tables();
  if (x.sites.size() != y.sites.size() || x.exits.size() != y.exits.size()) return false;
  for (std::size_t i = 0; i < x.sites.size(); ++i)
    if (!same_site(a, x.sites[i], b, y.sites[i])) return false;
  for (std::size_t i = 0; i < x.exits.size(); ++i)
    if (!same_exit(a, x.exits[i], b, y.exits[i])) return false;
  return true;
}

/// What differs; empty: nothing.
std::string difference(const GoldenCase& golden) {
  const auto shared = std::make_shared<SharedTranslations>();
  Vcpu maker(golden, shared, 1, kOthers);
  Vcpu adopter(golden, shared, 2, kOthers + kPageSize);
  Vcpu alone(golden, nullptr, 2, kOthers + kPageSize);
  for (Vcpu* each : {&maker, &adopter, &alone}) each->make();
  if (maker.translation == nullptr) return {};
  if (adopter.world.cache.statistics().adopted != 1) return "not adopted";
  if (!same_entries(adopter, alone)) return "entries";
  if (!std::ranges::equal(adopter.translation->often(), alone.translation->often())) return "code";
  if (!std::ranges::equal(adopter.translation->seldom, alone.translation->seldom))
    return "seldom code";
  return same_tables(adopter, alone) ? "" : "sites or exits";
}

}  // namespace

int compare_adopted_code() {
  int different = 0;
  for (const auto& files : {golden_files(), golden_files_of_narrow_code()})
    for (const GoldenFile& file : files)
      for (const GoldenCase& golden : file.cases) {
        const std::string what = difference(golden);
        if (what.empty()) continue;
        fmt::print("{}: {}: {}\n", file.name, golden.name, what);
        ++different;
      }
  return different;
}

}  // namespace vireo::test
