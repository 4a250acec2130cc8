#pragma once
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/wake_signal.h"
#include "engine/engine.h"
#include "machine/halt_polling.h"
#include "machine/paravirt_cpu.h"
#include "x86/cpu_state.h"

namespace vireo::machine {

/// What a virtual CPU tells the machine. Called on its thread with no lock held; the CPU does not
/// go on before the call returns.
class VcpuOwner {
 public:
  virtual ~VcpuOwner() = default;
  /// The CPU stays where it is until it is given another state.
  virtual void on_triple_fault(unsigned index, const x86::CpuState& state) = 0;
  virtual void on_host_error(unsigned index, const Error& error) = 0;
  /// Whether on_halt() should be called: the state is not looked at otherwise.
  virtual bool wants_halts() = 0;
  virtual void on_halt(unsigned index, const x86::CpuState& state) = 0;
};

/// One virtual CPU and the host thread that runs it. It runs between start() and stop(), except
/// while parked. Methods may be called from any thread, except where they say otherwise.
class VcpuThread {
 public:
  /// `owner` and `cpus`, of which this is one, outlive the thread. `signature` is what INIT leaves
  /// in EDX.
  VcpuThread(unsigned index, std::unique_ptr<engine::EngineVcpu> vcpu, VcpuOwner& owner,
             BusyCpus& cpus, std::uint32_t signature);
  ~VcpuThread();
  VcpuThread(const VcpuThread&) = delete;

  /// Before start(); `paravirt` outlives the thread.
  void connect(ParavirtCpu& paravirt) { paravirt_ = &paravirt; }

  /// The thread begins parked: resume() lets it run.
  void start(const x86::CpuState& state);
  /// Ends the thread, parked or not, and waits for it.
  void stop();

  // Stop-the-machine: ask all (also from the CPU's own thread), then wait for each. Nests: as many
  // resumes as parks.
  void request_park();
  /// Not from the CPU's own thread.
  void wait_parked();
  void resume();

  /// The architectural state. Only while parked or stopped.
  const x86::CpuState& state() const { return state_; }
  /// Also forgets INIT, SIPI and end_halt() that have not been taken yet.
  void set_state(const x86::CpuState& state);

  // The CPU's pins, see devices::CpuSignals.
  void interrupt();
  void nmi();
  void init();
  void startup(std::uint8_t vector);
  /// The HLT that it is in, or else the next one, ends as if it were none. KVM_HC_KICK_CPU.
  void end_halt();

  /// How often it executed HLT.
  std::uint64_t halts() const { return halts_.load(std::memory_order_relaxed); }
  /// Host CPU time that the thread has used.
  double cpu_seconds() const;
  std::vector<engine::Counter> counters() const { return vcpu_->counters(); }

 private:
  enum class Next : std::uint8_t { kRun, kWait };

  void loop();
  bool rest_if_asked();
  void take_init_and_startup();
  Next run_once();
  void wake();
  void sleep();

  const unsigned index_;
  const std::unique_ptr<engine::EngineVcpu> vcpu_;
  VcpuOwner& owner_;
  const std::uint32_t signature_;
  std::thread thread_;

  // Set by others together with wake_; looked at by the thread before it runs guest code.
  WakeSignal wake_;
  std::atomic<bool> end_halt_ = false;
  /// INIT, and the SIPI behind it with its vector: one word, so that the two are taken together and
  /// in the order in which they came.
  static constexpr std::uint32_t kSipi = 0x100, kInit = 0x200;
  std::atomic<std::uint32_t> startup_ = 0;
  std::atomic<std::uint64_t> halts_ = 0;
  // The thread's own.
  bool dead_ = false;  // by a triple fault or a host error
  bool halted_ = false;
  ParavirtCpu* paravirt_ = nullptr;
  BusyCpus& cpus_;
  HaltPolling polling_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  unsigned park_requests_ = 0;
  bool parked_ = false;
  bool stopping_ = false;
  bool running_ = false;  // the thread exists
  pthread_t handle_{};
  double cpu_seconds_at_end_ = 0;
  x86::CpuState state_;  // the truth while parked; in the engine otherwise
};

/// The state of a CPU after INIT. SDM vol. 3A, table 9-1: MSRs, the x87 and vector units, CR0.CD
/// and NW, and the time stay. Application processors then wait for a SIPI.
/// `signature`: family, model and stepping, for EDX.
x86::CpuState after_init(const x86::CpuState& before, bool boot_processor, std::uint32_t signature);

}  // namespace vireo::machine
