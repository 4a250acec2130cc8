#include "x86/semantics/control.h"

#include <vector>

namespace vireo::x86 {

std::span<const HandlerRow> control_handlers() {
  static const std::vector<HandlerRow> kRows = [] {
    std::vector<HandlerRow> rows;
    for (const auto part :
         {control_rows::machine(), control_rows::translation(), control_rows::user()})
      rows.insert(rows.end(), part.begin(), part.end());
    return rows;
  }();
  return kRows;
}

}  // namespace vireo::x86
