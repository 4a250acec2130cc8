// One GoogleTest test per case and engine, and one on the silicon below us where a case allows it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "conformance/masking.h"
#include "conformance/run_case.h"
#include "engine/engines.h"
#include "support/engine_fixture.h"
#include "support/silicon.h"
#include "x86/cpuid/host_features.h"

namespace vireo::test {
namespace {

class CaseTest : public ::testing::Test {
 public:
  explicit CaseTest(std::function<Verdict()> run) : run_(std::move(run)) {}
  void TestBody() override {
    const Verdict verdict = run_();
    if (!verdict.skipped.empty()) GTEST_SKIP() << verdict.skipped;
    for (const std::string& mismatch : verdict.mismatches) ADD_FAILURE() << mismatch;
  }

 private:
  std::function<Verdict()> run_;
};

std::string identifier(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return text;
}

void add(const std::string& suite, const std::string& name, const char* sentence,
         std::function<Verdict()> run) {
  ::testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, sentence, __FILE__, __LINE__,
                          [run = std::move(run)] { return new CaseTest(run); });
}

void add(const Case& test, const std::string& runner, std::function<Verdict()> run) {
  add(test.suite, runner + "/" + identifier(test.name), test.name.c_str(), std::move(run));
}

/// The child process that runs native cases is made when the first one runs.
Verdict run_native_case(const Case& test) {
  static auto cpu = NativeCpu::create(NativeCpu::Where::kChildProcess);
  if (!cpu) return {cpu.error().message, {}};
  return run_natively(test, **cpu);
}

/// Whether the engine does what the case says, rather than what this host does.
bool is_held_to(const Case& test, const std::string& engine) {
  const bool copies = engine != "interpreter", native = engine == kEagerDirect;
  if (native && test.direct_notes_operand && x86::host_notes_fpu_operand_at_exceptions_only())
    return false;
  const bool as_host =
      (test.copied_only_intel && copies) || ((test.only_intel || test.direct_only_intel) && native);
  return !as_host || intel_silicon();
}

int run(int argc, char** argv) {
  const char* directory = std::getenv("VIREO_CASES");
  auto cases = load_cases(directory != nullptr ? directory : VIREO_CASES_DIRECTORY);
  if (!cases) {
    std::cerr << cases.error().message << "\n";
    return 1;
  }
  std::vector<std::string> available;
  for (const engine::EngineInfo& info : engine::engines()) {
    if (info.name == "direct" && info.available)
      available.emplace_back(kEagerDirect);  // the plain one would not find these programs worth it
    else if (info.available)
      available.emplace_back(info.name);
    else
      std::cerr << "engine " << info.name << " is not tested: " << info.reason << "\n";
  }
  available.emplace_back(kEagerTranslator);
  available.emplace_back(kAdoptingTranslator);
  for (const Case& test : *cases) {
    if (test.native && (intel_silicon() || !test.only_intel))
      add(test, "native", [&test] { return run_native_case(test); });
    for (const std::string& engine : available) {
      if (!is_held_to(test, engine)) continue;
      add(test, engine, [&test, engine] { return run_on_engine(test, engine); });
    }
  }
  for (auto& [name, run] : masking_tests(*cases, available))
    add("masking", name, nullptr, std::move(run));
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace vireo::test

int main(int argc, char** argv) { return vireo::test::run(argc, argv); }
