#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "support/guest_setup.h"

namespace vireo::test {

/// How user-mode code ended on the CPU below us. `state` has general registers, RIP, RFLAGS and
/// the FPU; `vector`, `error_code` and CR2 are what the silicon reported to the kernel.
struct NativeOutcome {
  bool timeout = false;
  unsigned vector = 0;
  std::uint32_t error_code = 0;
  x86::CpuState state;
};

/// Runs user-mode code on the silicon below us: in a process whose low memory is the guest's code,
/// data and stack at the very same linear addresses, read-only and unmapped pages included. A
/// signal frame carries the registers in and out.
class NativeCpu {
 public:
  enum class Where : std::uint8_t {
    kChildProcess,  ///< whatever the code does, the test goes on
    kThisProcess,   ///< much faster; for code that is unlikely to hit the test's own memory. Only
                    ///< one at a time, used by one thread
  };
  static Result<std::unique_ptr<NativeCpu>> create(Where where);
  ~NativeCpu();
  NativeCpu(const NativeCpu&) = delete;

  /// Only what lies in mapped memory is kept.
  void poke(const Poke& poke);
  std::vector<std::uint8_t> peek(std::uint64_t address, std::size_t size) const;
  /// The host address of a guest address; null outside what is mapped.
  std::uint8_t* host(std::uint64_t address, std::size_t size) const;
  void clear();

  /// Runs from `state` (GPRs, RIP, RFLAGS, FPU, GS base) until something is signalled.
  Result<NativeOutcome> run(Mode mode, const x86::CpuState& state, std::chrono::milliseconds limit);

 private:
  struct Shared;
  explicit NativeCpu(Where where) : where_(where) {}
  NativeOutcome run_here(std::chrono::milliseconds limit);
  Result<NativeOutcome> run_in_child(std::chrono::milliseconds limit);
  Result<> start_child();
  void stop_child();
  [[noreturn]] static void child_main(Shared* shared, int memory_fd);

  Where where_;
  UniqueFd memory_fd_;
  std::uint8_t* memory_ = nullptr;
  Shared* shared_ = nullptr;
  pid_t child_ = -1;
};

}  // namespace vireo::test
