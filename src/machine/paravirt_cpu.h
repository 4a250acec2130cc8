#pragma once
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// What a guest has asked for of one virtual CPU: its MSRs, as they were written.
struct ParavirtState {
  std::uint64_t wall_clock = 0;   ///< MSR_KVM_WALL_CLOCK_NEW
  std::uint64_t system_time = 0;  ///< MSR_KVM_SYSTEM_TIME_NEW
  std::uint64_t steal_time = 0;   ///< MSR_KVM_STEAL_TIME
  std::uint64_t tsc_offset = 0;   ///< x86::CpuState::tsc_offset, as far as the clock knows it

  bool operator==(const ParavirtState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [wall_clock, system_time, steal_time, tsc_offset] = self;
    visit("wall_clock", wall_clock), visit("system_time", system_time);
    visit("steal_time", steal_time), visit("tsc_offset", tsc_offset);
  }
};

/// The structures in a guest's memory by which one virtual CPU and its kernel know of each other
/// what a real one need not know, as KVM has them (Documentation/virt/kvm/x86/msr.rst): the clock,
/// and the time that others took from the CPU, with the mark that it does not run. That mark is
/// made when it halts; whether the host lets its thread run is not known here.
///
/// Where the guest says that a structure is there may be no memory: then there is none. All
/// methods are called on the CPU's thread, reset() and state() while it does not run.
class ParavirtCpu {
 public:
  /// Both outlive it.
  ParavirtCpu(memory::GuestMemory& memory, const Clock& clock) : memory_(memory), clock_(clock) {}

  /// KVM's MSRs, and IA32_TSC to be told by how much the guest's is ahead of the clock's.
  static bool owns_msr(std::uint32_t index);
  /// Empty or false: #GP(0).
  std::optional<std::uint64_t> read_msr(std::uint32_t index) const;
  bool write_msr(std::uint32_t index, std::uint64_t value);

  /// Before guest code is run. True: another CPU relies on it that translations of linear addresses
  /// are dropped first.
  [[nodiscard]] bool enter();
  /// It halts: until enter() others need not interrupt it to have its translations dropped.
  void leave();
  /// While it runs, at least as often as the guest accounts its time: says what others took.
  void refresh_steal_time();

  /// How often leave() saved another CPU an interrupt.
  std::uint64_t deferred_flushes() const { return flushes_.load(std::memory_order_relaxed); }

  /// Power-up.
  void reset();
  const ParavirtState& state() const { return state_; }

 private:
  bool steal_time_on() const { return (state_.steal_time & 1) != 0; }
  void write_clock();
  void write_wall_clock();
  void write_steal_time(std::uint64_t waited_ns);
  std::byte* steal_page() const;
  std::uint64_t thread_waited_ns();

  memory::GuestMemory& memory_;
  const Clock& clock_;
  UniqueFd schedstat_;  ///< of the thread; opened when it is needed first
  bool schedstat_missing_ = false;
  bool left_ = false;
  std::uint64_t last_waited_ns_ = 0, refreshed_ns_ = 0;
  std::atomic<std::uint64_t> flushes_ = 0;
  ParavirtState state_;
};

}  // namespace vireo::machine
