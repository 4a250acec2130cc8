#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "support/guest_setup.h"
#include "support/state_fields.h"

namespace vireo::test {

/// A part of the CPU and its value; `mask` zero means all of it.
struct RegisterValue {
  std::string name;
  char operation = '=';  ///< '=', '|' or '&', for inputs
  WideNumber value{};
  std::uint64_t mask = 0;
};

enum class ExpectedStop : std::uint8_t { kEnd, kVector, kTripleFault, kHalt, kPort };

/// One behaviour: code, what it starts from and what must come of it.
struct Case {
  std::string suite, name, cpu;
  std::string feature;  ///< of the CPU, that the case is about; `cpu` has it or lacks it
  Mode mode = Mode::kLongUser;
  std::vector<std::uint8_t> code;
  std::uint64_t end = 0;  ///< RIP of the instruction that ends the case
  bool native = false;
  bool only_intel = false;            ///< other vendors' silicon may do something else
  bool direct_only_intel = false;     ///< engines that run user code natively do as the host
  bool direct_notes_operand = false;  ///< the same, where the x87 notes each operand
  bool copied_only_intel = false;     ///< and engines that let the host execute it do as the host
  bool strict = false;  ///< general registers and flags that are not listed must not change
  bool software_interrupt = false;
  std::vector<std::string> skip_engines;

  std::vector<RegisterValue> inputs;
  std::vector<Poke> pokes;

  ExpectedStop stop = ExpectedStop::kEnd;
  unsigned vector = 0;
  std::optional<std::uint32_t> error_code;
  std::vector<RegisterValue> registers, handler_registers;
  std::vector<Poke> memory;
  std::optional<std::vector<std::string>> ports;
};

/// Every case in the directory's JSON files, in the order of the files' names.
Result<std::vector<Case>> load_cases(const std::string& directory);

}  // namespace vireo::test
