#pragma once
#include <functional>
#include <string>
#include <vector>

#include "conformance/run_case.h"

namespace vireo::test {

struct MaskingTest {
  std::string name;
  std::function<Verdict()> run;
};

/// Tests that walk every CPUID feature: on each engine CPUID shows it exactly on the CPU that has
/// it; and there are cases about what is behind it. `cases` must outlive them.
std::vector<MaskingTest> masking_tests(const std::vector<Case>& cases,
                                       const std::vector<std::string>& engines);

}  // namespace vireo::test
