#include "x86/semantics/msr.h"

#include <algorithm>
#include <vector>

#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

/// All rows, by index.
const std::vector<MsrRow>& table() {
  static const std::vector<MsrRow> kTable = [] {
    std::vector<MsrRow> rows;
    for (const auto part : {msr_rows::system(), msr_rows::time(), msr_rows::memory_type(),
                            msr_rows::machine_check(), msr_rows::identity(), msr_rows::amd()})
      rows.insert(rows.end(), part.begin(), part.end());
    std::ranges::sort(rows, {}, &MsrRow::first);
    return rows;
  }();
  return kTable;
}

bool exists(const MsrRow& row, const CpuidModel& model) {
  if (row.feature && !model.features().has(*row.feature)) return false;
  return !row.vendor || *row.vendor == model.vendor();
}

/// The row of the MSR; null if the CPU model has no such MSR.
const MsrRow* find(const CpuidModel& model, std::uint32_t index) {
  const auto after = std::ranges::upper_bound(table(), index, {}, &MsrRow::first);
  if (after == table().begin()) return nullptr;
  const MsrRow& row = *std::prev(after);
  return index - row.first < row.count && exists(row, model) ? &row : nullptr;
}

}  // namespace

OrFault<std::uint64_t> read_msr(CpuState& state, CpuPort& port, std::uint32_t index) {
  const MsrRow* row = find(port.cpuid(), index);
  if (row == nullptr) return general_protection();
  return row->read({state, port, index, index - row->first});
}

OrFault<> write_msr(CpuState& state, CpuPort& port, std::uint32_t index, std::uint64_t value) {
  const MsrRow* row = find(port.cpuid(), index);
  if (row == nullptr) return general_protection();
  return row->write({state, port, index, index - row->first}, value);
}

}  // namespace vireo::x86
