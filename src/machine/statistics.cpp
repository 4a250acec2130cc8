#include "machine/statistics.h"

#include <algorithm>

namespace vireo::machine {

void add_count(std::vector<engine::Counter>& counters, const std::string& name,
               std::uint64_t value) {
  const auto found = std::find_if(counters.begin(), counters.end(),
                                  [&](const engine::Counter& c) { return c.name == name; });
  if (found != counters.end()) {
    found->value += value;
  } else {
    counters.push_back({name, value});
  }
}

}  // namespace vireo::machine
