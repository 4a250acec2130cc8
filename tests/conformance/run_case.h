#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "conformance/case.h"
#include "support/native_cpu.h"

namespace vireo::test {

struct Verdict {
  std::string skipped;                  ///< why the case cannot run here; empty if it ran
  std::vector<std::string> mismatches;  ///< one sentence each; empty if all is as expected
};

/// The machine that the case starts from, its code included. What the case asks for in vain becomes
/// a mismatch. With `avx` an operating system has enabled that before.
GuestSetup setup_of(const Case& test, Verdict& verdict, bool avx = false);
Verdict run_on_engine(const Case& test, std::string_view engine);
Verdict run_natively(const Case& test, NativeCpu& cpu);

}  // namespace vireo::test
