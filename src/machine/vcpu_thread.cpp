#include "machine/vcpu_thread.h"

#include <pthread.h>

#include <utility>

#include "base/assert.h"
#include "base/host_time.h"

namespace vireo::machine {

using x86::Activity;

x86::CpuState after_init(const x86::CpuState& before, bool boot_processor,
                         std::uint32_t signature) {
  x86::CpuState after;
  after.gpr[x86::kRdx] = signature;
  constexpr std::uint64_t kKept = x86::cr0::kCd | x86::cr0::kNw;
  after.cr0 = (after.cr0 & ~kKept) | (before.cr0 & kKept);
  after.msr = before.msr;
  after.msr.efer = 0;
  after.fpu = before.fpu;
  after.ferr = before.ferr;
  after.xcr0 = before.xcr0;
  after.tsc_offset = before.tsc_offset;
  if (!boot_processor) after.activity = static_cast<std::uint8_t>(Activity::kWaitForSipi);
  return after;
}

VcpuThread::VcpuThread(unsigned index, std::unique_ptr<engine::EngineVcpu> vcpu, VcpuOwner& owner,
                       BusyCpus& cpus, std::uint32_t signature)
    : index_(index),
      vcpu_(std::move(vcpu)),
      owner_(owner),
      signature_(signature),
      cpus_(cpus),
      polling_(cpus) {}

VcpuThread::~VcpuThread() { stop(); }

void VcpuThread::start(const x86::CpuState& state) {
  VIREO_ASSERT(!thread_.joinable());
  const std::lock_guard lock(mutex_);
  state_ = state;
  park_requests_ = 1;
  stopping_ = false;
  running_ = parked_ = true;
  thread_ = std::thread([this] { loop(); });
  handle_ = thread_.native_handle();
  ::pthread_setname_np(handle_, ("vcpu" + std::to_string(index_)).c_str());
}

void VcpuThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
  if (thread_.joinable()) thread_.join();
}

void VcpuThread::wake() {
  changed_.notify_all();
  wake_.raise();
  vcpu_->kick();
}

void VcpuThread::request_park() {
  {
    const std::lock_guard lock(mutex_);
    ++park_requests_;
  }
  wake();
}

void VcpuThread::wait_parked() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return parked_ || !running_; });
}

void VcpuThread::resume() {
  {
    const std::lock_guard lock(mutex_);
    VIREO_ASSERT(park_requests_ > 0);
    --park_requests_;
  }
  changed_.notify_all();
}

void VcpuThread::set_state(const x86::CpuState& state) {
  const std::lock_guard lock(mutex_);
  VIREO_ASSERT(parked_ || !running_);
  state_ = state;
  startup_.store(0);
  end_halt_.store(false);
}

void VcpuThread::interrupt() {
  vcpu_->notify_interrupt();
  wake_.raise();
}

void VcpuThread::nmi() {
  vcpu_->notify_nmi();
  wake_.raise();
}

/// A SIPI that came before it is for the CPU as it was, which does not wait for one.
void VcpuThread::init() {
  startup_.store(kInit);
  wake();
}

/// The first one counts: the CPU does not wait for others behind it.
void VcpuThread::startup(std::uint8_t vector) {
  std::uint32_t before = startup_.load();
  while ((before & kSipi) == 0 &&
         !startup_.compare_exchange_weak(before, before | kSipi | vector)) {
  }
  wake();
}

void VcpuThread::end_halt() {
  end_halt_.store(true);
  wake_.raise();
}

/// Whoever has news sets wake_ after it made them visible, so none is lost in between.
void VcpuThread::sleep() {
  const std::uint64_t began = host_ns(CLOCK_MONOTONIC);
  if (halted_ && polling_.poll(wake_)) return;
  cpus_.leave();
  wake_.wait();
  cpus_.enter();
  polling_.note_sleep(host_ns(CLOCK_MONOTONIC) - began);
}

void VcpuThread::loop() {
  cpus_.enter();
  for (;;) {
    take_init_and_startup();
    if (!rest_if_asked()) break;
    if (!dead_ && run_once() == Next::kRun) continue;
    sleep();
  }
  cpus_.leave();
  const std::uint64_t cpu_ns = host_ns(CLOCK_THREAD_CPUTIME_ID);
  const std::lock_guard lock(mutex_);
  cpu_seconds_at_end_ = static_cast<double>(cpu_ns) * 1e-9;
  running_ = false;
  changed_.notify_all();
}

/// Parks as long as that is wanted. False: the thread shall end.
bool VcpuThread::rest_if_asked() {
  std::unique_lock lock(mutex_);
  if (park_requests_ == 0 && !stopping_ && !parked_) return true;
  if (!parked_) vcpu_->store(state_);
  parked_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return park_requests_ == 0 || stopping_; });
  if (stopping_) return false;
  parked_ = false;
  vcpu_->load(state_);
  dead_ = state_.activity == static_cast<std::uint8_t>(Activity::kShutdown);
  return true;
}

void VcpuThread::take_init_and_startup() {
  if (parked_) return;  // nobody else changes it: only before the first run
  const std::uint32_t asked = startup_.exchange(0);
  if ((asked & kInit) != 0) {
    x86::CpuState state;
    vcpu_->store(state);
    vcpu_->load(after_init(state, index_ == 0, signature_));
    dead_ = false;
  }
  if ((asked & kSipi) == 0) return;
  const std::uint32_t vector = asked & 0xff;
  x86::CpuState state;
  vcpu_->store(state);
  if (state.activity != static_cast<std::uint8_t>(Activity::kWaitForSipi)) return;
  // SDM vol. 3A, 8.4.4.1: CS:IP is VV00:0000.
  state.activity = static_cast<std::uint8_t>(Activity::kRunning);
  state.segment[x86::kCs].selector = static_cast<std::uint16_t>(vector << 8);
  state.segment[x86::kCs].base = std::uint64_t{vector} << 12;
  state.rip = 0;
  vcpu_->load(state);
}

VcpuThread::Next VcpuThread::run_once() {
  wake_.clear();
  // Those who ask for something set their request before wake_: what came before this point is seen
  // now, what comes later ends run() by a kick.
  {
    const std::lock_guard lock(mutex_);
    if (park_requests_ != 0 || stopping_) return Next::kRun;
  }
  if (startup_.load() != 0) return Next::kRun;
  if (paravirt_ != nullptr && paravirt_->enter()) vcpu_->flush_tlb();
  if (std::exchange(halted_, false) && end_halt_.exchange(false)) vcpu_->end_halt();
  const auto reason = vcpu_->run();
  if (!reason) {
    dead_ = true;
    owner_.on_host_error(index_, reason.error());
    return Next::kWait;
  }
  switch (*reason) {
    case engine::ExitReason::kKicked:
      return Next::kRun;
    case engine::ExitReason::kHalted:
      halts_.fetch_add(1, std::memory_order_relaxed);
      if (owner_.wants_halts()) {
        x86::CpuState state;
        vcpu_->store(state);
        owner_.on_halt(index_, state);
      }
      halted_ = true;
      if (end_halt_.load()) return Next::kRun;
      if (paravirt_ != nullptr) paravirt_->leave();
      return Next::kWait;
    case engine::ExitReason::kTripleFault: {
      x86::CpuState state;
      vcpu_->store(state);
      dead_ = true;
      owner_.on_triple_fault(index_, state);
      return Next::kWait;
    }
  }
  return Next::kWait;
}

double VcpuThread::cpu_seconds() const {
  const std::lock_guard lock(mutex_);
  if (!running_) return cpu_seconds_at_end_;
  clockid_t clock{};
  // The thread cannot end while running_ is set and the lock is held, so its handle is valid.
  if (::pthread_getcpuclockid(handle_, &clock) != 0) return 0;
  return static_cast<double>(host_ns(clock)) * 1e-9;
}

}  // namespace vireo::machine
