#pragma once
#include <memory>
#include <string>
#include <vector>

#include "differential/random_start.h"
#include "differential/stream.h"
#include "support/engine_fixture.h"
#include "support/native_cpu.h"

namespace vireo::test {

/// What both sides did.
struct Comparison {
  bool usable = true;  ///< false: the native side did not come back in time
  std::vector<std::string> differences;
  std::uint64_t end_rip = 0;
  x86::CpuState native;
};

/// An engine and the silicon below us with the same memory at the same addresses.
class TwinCpus {
 public:
  static Result<std::unique_ptr<TwinCpus>> create(std::string_view engine, Mode mode);

  /// A random start; the code is to stand at `address`.
  Start random_start(std::mt19937_64& random, std::uint64_t address) const {
    return test::random_start(mode_, base_state_, random, address);
  }
  /// Runs the code (a breakpoint is put behind it) from the start on both sides.
  Result<Comparison> compare(const Start& start, const std::vector<std::uint8_t>& code);

 private:
  explicit TwinCpus(Mode mode) : mode_(mode) {}
  void share_mappings();
  void compare_memory(std::uint64_t base, std::uint64_t size, std::vector<std::string>& out) const;

  Mode mode_;
  x86::CpuState base_state_;
  std::unique_ptr<EngineFixture> engine_;
  std::unique_ptr<NativeCpu> native_;
};

}  // namespace vireo::test
