#include "engine/translator/shared_translation.h"

#include <array>
#include <cstring>

#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {
namespace {

using Part = CodeMemory::Part;

/// From places in the maker's code memory, counted from its start, to where the copy is.
class Move {
 public:
  Move(const SharedTranslation& from, const CodeMemory& memory)
      : from_(from),
        memory_(memory),
        by_{memory.writable(Part::kOften) - memory.start() - place_of(from.recording.often),
            memory.writable(Part::kSeldom) - memory.start() - place_of(from.recording.seldom)} {}

  std::ptrdiff_t by(Part part) const { return by_[static_cast<std::size_t>(part)]; }
  std::uint8_t* place(std::ptrdiff_t place) const {
    return memory_.start() + place + by(CodeMemory::part_of(place));
  }
  const std::uint8_t* executable(const std::uint8_t* address) const {
    return address == nullptr ? nullptr : memory_.executable(place(address - from_.executable));
  }
  std::uint8_t* writable(const std::uint8_t* address) const {
    return address == nullptr ? nullptr : place(address - from_.recording.start);
  }

 private:
  std::ptrdiff_t place_of(std::span<const std::uint8_t> code) const {
    return code.data() - from_.recording.start;
  }

  const SharedTranslation& from_;
  const CodeMemory& memory_;
  std::array<std::ptrdiff_t, 2> by_;
};

void add_to(std::uint8_t* place, std::ptrdiff_t amount) {
  std::uint32_t word = 0;
  std::memcpy(&word, place, sizeof(word));
  word += static_cast<std::uint32_t>(amount);
  std::memcpy(place, &word, sizeof(word));
}

void move_entries(const Translation& from, const Move& move, Translation& to) {
  for (const auto entry :
       {&Translation::entry, &Translation::entry_polling, &Translation::entry_saved,
        &Translation::entry_polling_saved, &Translation::entry_indirect,
        &Translation::entry_indirect_saved, &Translation::begin})
    to.*entry = move.executable(from.*entry);
  to.seldom = {move.executable(from.seldom.data()), from.seldom.size()};
}

void add_site(const SiteFacts& facts, const Move& move, CodeTables& tables, Translation& to) {
  Site& site = tables.sites.add();
  static_cast<SiteFacts&>(site) = facts;
  site.from = &to;
  site.retry = move.executable(facts.retry);
  site.resume = move.executable(facts.resume);
}

void add_exit(const Exit& from, const Move& move, CodeTables& tables, Translation& to) {
  to.exits.push_back(static_cast<std::uint32_t>(tables.exits.size()));
  Exit& exit = tables.exits.add();
  exit = from;
  exit.from = &to;
  exit.patch = move.writable(from.patch);
  exit.at_home = move.writable(from.at_home);
  exit.home = move.writable(from.home);
  exit.stub = move.executable(from.stub);
  exit.detour = move.executable(from.detour);
}

}  // namespace

std::size_t SharedTranslation::bytes() const {
  constexpr std::size_t kOverhead = 256;  // of the lists and of who finds it
  return sizeof(*this) + kOverhead + often.size() + seldom.size() + source.bytes.size() +
         sites.size() * sizeof(SiteFacts) + exits.size() * sizeof(Exit) +
         recording.relocations.size() * sizeof(Relocation);
}

SharedTranslation capture(const Translation& translation, const Recording& recording,
                          const CodeTables& tables, const CodeMemory& memory) {
  SharedTranslation result;
  result.key = {translation.start, translation.second_page, translation.mode, translation.relative,
                translation.tag};
  result.translation = translation;
  result.translation.exits.clear();
  for (std::size_t i = recording.first_site; i < tables.sites.size(); ++i)
    result.sites.push_back(tables.sites[i]);
  for (std::size_t i = recording.first_exit; i < tables.exits.size(); ++i)
    result.exits.push_back(tables.exits[i]);
  result.recording = recording;
  result.executable = memory.executable(memory.start());
  result.often.assign(recording.often.begin(), recording.often.end());
  result.seldom.assign(recording.seldom.begin(), recording.seldom.end());
  return result;
}

void copy(const SharedTranslation& from, std::uint32_t home, CodeMemory& memory, CodeTables& tables,
          Translation& to) {
  const Recording& recording = from.recording;
  const Move move(from, memory);
  const auto sites = static_cast<std::ptrdiff_t>(tables.sites.size()) - recording.first_site;
  const auto exits = static_cast<std::ptrdiff_t>(tables.exits.size()) - recording.first_exit;
  const auto homes = 8 * (std::ptrdiff_t{home} - std::ptrdiff_t{from.translation.home});
  std::memcpy(memory.writable(Part::kOften), from.often.data(), from.often.size());
  std::memcpy(memory.writable(Part::kSeldom), from.seldom.data(), from.seldom.size());
  for (const Relocation& each : recording.relocations) {
    const Part part = CodeMemory::part_of(each.place);
    const Part other = part == Part::kOften ? Part::kSeldom : Part::kOften;
    const auto amount = [&]() -> std::ptrdiff_t {
      switch (each.of) {
        case Relocation::Of::kGlue:
          return -move.by(part);
        case Relocation::Of::kOtherPart:
          return move.by(other) - move.by(part);
        case Relocation::Of::kSite:
          return sites;
        case Relocation::Of::kExit:
          return exits;
        case Relocation::Of::kHome:
          return homes;
      }
      return 0;
    };
    add_to(move.place(each.place), amount());
  }
  to = from.translation;
  to.home = home;
  move_entries(from.translation, move, to);
  for (const SiteFacts& each : from.sites) add_site(each, move, tables, to);
  for (const Exit& each : from.exits) add_exit(each, move, tables, to);
  memory.commit(from.often.size(), Part::kOften);
  memory.commit(from.seldom.size(), Part::kSeldom);
}

}  // namespace vireo::engine::translator
