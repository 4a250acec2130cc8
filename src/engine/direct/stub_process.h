#pragma once
#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/software/pending_events.h"

namespace vireo::engine::direct {

/// A process of the host that runs user code of the guest natively. Its address space holds nothing
/// but what map() puts there and, at kBase, a few pages that carry out map(). It is traced: none of
/// its system calls is ever made while guest code runs, each of its faults and signals stops it.
/// It ends with the thread that made it, to which all its methods belong.
class StubProcess {
 public:
  /// Where its own pages are: nothing else can be mapped there.
  static constexpr std::uint64_t kBase = 0x3a55'0000'0000, kSize = 32 * kPageSize;
  /// Addresses below this can be mapped, from kLowest on.
  static constexpr std::uint64_t kEnd = 0x7fff'ffff'f000, kLowest = 0x10000;

  /// What is to be where. Whole pages.
  struct Mapping {
    std::uint64_t address = 0, size = 0;
    std::uint64_t offset = 0;  ///< in the file
    bool present = false;      ///< else nothing is there any more
    bool writable = false, executable = false;
    /// Where INT3 stands in place of what the file has: in a copy, which does not hear of changes
    /// of the file. Stays where it is until map() has ended.
    std::span<const std::uint64_t> traps = {};
  };
  /// Nothing anywhere but its own pages.
  static constexpr std::array<Mapping, 2> nothing() {
    constexpr std::uint64_t kBehind = kBase + kSize;
    Mapping before, behind;
    before.address = kLowest, before.size = kBase - kLowest;
    behind.address = kBehind, behind.size = kEnd - kBehind;
    return {before, behind};
  }
  enum class Stop : std::uint8_t {
    kSystemCall,  ///< by SYSCALL or INT 80h, which was not made; RIP is behind it
    kSignal,      ///< what happened is in `signal`, `code` and `address`
    kGone,        ///< it is dead
  };
  struct Event {
    Stop stop = Stop::kGone;
    int signal = 0;
    int code = 0;               ///< si_code
    std::uint64_t address = 0;  ///< si_addr
  };
  using Registers = ::user_regs_struct;

  /// The first of a family, which maps pages of the file `memory`. A host error says why this host
  /// does not let us trace a process.
  static Result<std::unique_ptr<StubProcess>> create(int memory);
  /// Another one, as empty as this one has to be.
  Result<std::unique_ptr<StubProcess>> spawn();
  ~StubProcess();
  StubProcess(const StubProcess&) = delete;

  /// Carries out all of them, in order. False: one was refused (there is a limit to how many
  /// mappings a process may have), or the process is gone.
  bool map(std::span<const Mapping> mappings);
  /// Runs guest code from `registers` on, of which the segment registers are the host's business,
  /// until something stops it.
  Event run(Registers& registers);
  /// Instructions at these addresses, and at no others, stop run() before they are executed, as a
  /// signal SIGTRAP with the code TRAP_HWBKPT, almost always (trap_cause.h). False: the host has no
  /// breakpoints for us, and there are none.
  static constexpr std::size_t kMostBreakpoints = 4;
  bool set_breakpoints(std::span<const std::uint64_t> addresses);
  /// x87 and vector registers, in the standard format of XSAVE.
  std::size_t vector_bytes() const { return vector_bytes_; }
  bool load_vectors(std::span<const std::byte> image);
  bool store_vectors(std::span<std::byte> image);
  /// Sending it kKickSignal stops run(), soon; a run() that begins later too.
  static constexpr int kKickSignal = PendingEvents::kSignal;
  pid_t pid() const { return pid_; }
  /// The host's processor time it has had so far.
  std::uint64_t cpu_ns() const;

 private:
  struct Pages;
  StubProcess(pid_t pid, std::shared_ptr<Pages> pages);
  std::optional<int> wait();
  std::optional<std::uint64_t> call(std::uint64_t number, std::uint64_t first);
  bool finish(std::uint64_t entry, Registers& registers);
  bool prepare();
  bool load_id(std::uint64_t flags);
  bool load_breakpoints(std::span<const std::uint64_t> addresses);
  bool breakpoints_work();
  void follow();
  bool carry_out(std::size_t count);
  bool set_trap(std::uint64_t address);

  pid_t pid_;
  UniqueFd handle_;  ///< of the process: its number may be another's once it is gone
  std::shared_ptr<Pages> pages_;
  const std::optional<clockid_t> clock_;  ///< of its processor time
  Registers template_{};                  ///< with the segment registers that the host wants
  std::uint64_t flags_ = 0;               ///< EFLAGS as it has it
  int cpu_ = -1;                          ///< of the host, which it is bound to
  std::size_t vector_bytes_ = 0;
  std::vector<std::uint64_t> breakpoints_;
};

}  // namespace vireo::engine::direct
