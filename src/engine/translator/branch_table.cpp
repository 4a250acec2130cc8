#include "engine/translator/branch_table.h"

namespace vireo::engine::translator {

BranchTable::BranchTable(TranslatorCpu& cpu, const Glue& glue) : cpu_(cpu), glue_(glue) {
  cpu_.branch_code.fill(glue_.indirect);
  cpu_.branch_code_saved.fill(glue_.indirect_saved);
}

Translation* BranchTable::known(std::uint64_t linear, Mode mode) const {
  Translation* to = hint(linear, mode);
  if (to == nullptr || !to->asks_home) return to;
  return cpu_.page_home[home_of(*to)] == negated_page(linear) ? to : nullptr;
}

Translation* BranchTable::hint(std::uint64_t linear, Mode mode) const {
  Translation* to = cpu_.branch_to[index_of(linear, mode.user)];
  if (to == nullptr || !to->valid || to->mode != mode) return nullptr;
  const bool fits = to->relative ? ((to->tag ^ linear) & kPageMask) == 0 : to->tag == linear;
  return fits ? to : nullptr;
}

void BranchTable::forget_branch(std::uint32_t index) {
  cpu_.branch_code[index] = glue_.indirect;
  cpu_.branch_code_saved[index] = glue_.indirect_saved;
  cpu_.branch_to[index] = nullptr;
}

void BranchTable::forget_all() {
  forget(true);
  hints_.forget(true, [this](std::uint32_t index) { forget_branch(index); });
}

void BranchTable::forget_retired() {
  for (std::uint32_t index = 0; index < cpu_.branch_to.size(); ++index)
    if (const Translation* to = cpu_.branch_to[index]; to != nullptr && !to->valid)
      forget_branch(index);
}

/// A hint may have taken the place of what is forgotten, which costs nothing but the hint.
void BranchTable::forget(bool global_too) {
  branches_.forget(global_too, [this](std::uint32_t index) { forget_branch(index); });
  homes_.forget(global_too,
                [this](std::uint32_t home) { cpu_.page_home[home] = TranslatorCpu::kNowhere; });
}

void BranchTable::take(Space& space) {
  space.branches.clear();
  space.homes.clear();
  for (const std::uint32_t index : branches_.local())
    if (Translation* to = cpu_.branch_to[index]; to != nullptr && !may_stay(*to))
      space.branches.push_back({index, to});
  for (const std::uint32_t home : homes_.local())
    space.homes.push_back({home, cpu_.page_home[home]});
  forget(false);
}

void BranchTable::put_back(const Space& space, const std::array<Mode, 2>& modes) {
  for (const auto& [index, to] : space.branches)
    if (to->valid && cpu_.branch_to[index] == nullptr && to->mode == modes[to->mode.user])
      set_branch(index, *to, false);
  for (const auto& [home, where] : space.homes) {
    if (cpu_.page_home[home] != TranslatorCpu::kNowhere) continue;
    cpu_.page_home[home] = where;
    homes_.note(home, false);
  }
}

}  // namespace vireo::engine::translator
