#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/decode/decoder.h"
#include "x86/semantics/handler.h"

namespace vireo::x86 {

inline FeatureSet all_features() {
  FeatureSet features;
  for (int i = 0; i < static_cast<int>(Feature::kCount); ++i) features.set(static_cast<Feature>(i));
  return features;
}

inline CodeSize code_size_of(const CpuState& state) {
  if (state.code64()) return CodeSize::k64;
  return state.segment[kCs].big() ? CodeSize::k32 : CodeSize::k16;
}

/// Executes one instruction at RIP as an engine would. `find(insn)` answers its handler; none is a
/// failure of the test.
template <class Find>
OrFault<> run_instruction(CpuState& state, CpuPort& port, const std::vector<std::uint8_t>& code,
                          Find find) {
  Insn insn;
  if (decode(code, code_size_of(state), all_features(), insn) != DecodeStatus::kOk)
    return undefined_opcode();
  const Handler handler = find(insn);
  if (handler == nullptr) {
    ADD_FAILURE() << "no handler for " << ZydisMnemonicGetString(insn.mnemonic);
    return undefined_opcode();
  }
  const std::uint64_t start = state.rip;
  state.rip += insn.length;
  const auto outcome = handler(state, port, insn);
  if (!outcome) state.rip = start;
  return outcome;
}

}  // namespace vireo::x86
