#include "suggest.h"

#include <algorithm>
#include <numeric>

#include "base/version.h"

namespace vireo::app {
namespace {

/// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& known) {
  word = word.substr(0, word.find('='));
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    // A beginning is as good as a small mistake.
    const bool beginning = word.size() >= 4 && candidate.starts_with(word);
    const std::size_t d = beginning ? 1 : distance(word, candidate);
    if (d < least) least = d, best = candidate;
  }
  return best;
}

std::vector<std::string> words_of(const CLI::App& verb, bool options) {
  std::vector<std::string> words;
  if (options) {
    for (const CLI::Option* option : verb.get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  } else {
    for (const CLI::App* one : verb.get_subcommands({})) words.push_back(one->get_name());
  }
  return words;
}

std::string_view version() { return kVersion; }

}  // namespace vireo::app
