#pragma once
#include <atomic>
#include <cstdint>

#include "base/wake_signal.h"

namespace vireo::machine {

/// How many virtual CPUs of a machine take a processor of the host. Used by all their threads.
class BusyCpus {
 public:
  /// `processors` of the host may run them.
  explicit BusyCpus(unsigned processors) : processors_(processors) {}
  /// As many as the calling thread may run on.
  static unsigned host_processors();

  void enter() { busy_.fetch_add(1, std::memory_order_relaxed); }
  void leave() { busy_.fetch_sub(1, std::memory_order_relaxed); }
  /// Whether one that only waits takes a processor that another of them, or who is to wake it, has
  /// to have.
  bool crowded() const {
    return processors_ == 1 || busy_.load(std::memory_order_relaxed) > processors_;
  }

 private:
  const unsigned processors_;
  std::atomic<unsigned> busy_ = 0;
};

/// For how long a halted CPU's thread stays awake: to wake it from sleep takes the host 5 us, or 40
/// and more where the host is a virtual machine itself, and CPUs that hand over to each other do
/// little else. It does so while that has paid lately, as KVM does, and while nobody else has a use
/// for the processor. For one thread, which is counted in `cpus`.
class HaltPolling {
 public:
  static constexpr std::uint64_t kFirstNs = 50'000, kMostNs = 200'000;
  /// Who gets to look only so late has had to give way to others.
  static constexpr std::uint64_t kGapNs = 100'000;

  explicit HaltPolling(const BusyCpus& cpus) : cpus_(cpus) {}

  /// Until the signal is raised; false: it was not, and the thread is to sleep.
  bool poll(const WakeSignal& signal);
  /// It was raised so long after the CPU had halted, while the thread slept.
  void note_sleep(std::uint64_t halted_ns);
  std::uint64_t patience_ns() const { return patience_ns_; }

 private:
  const BusyCpus& cpus_;
  std::uint64_t patience_ns_ = 0;
  bool gave_way_ = false;
};

}  // namespace vireo::machine
