#include "machine/machine.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "base/assert.h"
#include "devices/virtio/virtio_balloon.h"
#include "machine/boot/loader.h"
#include "machine/boot/memory_types.h"
#include "machine/firmware_tables.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

/// The boot CPU begins with the kernel; the others wait for it to start them, with the memory types
/// that firmware would have given them.
x86::CpuState state_of(std::size_t index, const x86::CpuState& boot_cpu, std::uint32_t signature) {
  if (index == 0) return boot_cpu;
  x86::CpuState state = after_init(x86::CpuState{}, false, signature);
  state.tsc_offset = boot_cpu.tsc_offset;
  state.msr.mtrr_def_type = boot_cpu.msr.mtrr_def_type;
  state.msr.mtrr_fixed = boot_cpu.msr.mtrr_fixed;
  state.msr.mtrr_variable = boot_cpu.msr.mtrr_variable;
  return state;
}

using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

// How long a panicked kernel must say and do nothing before it counts as dead.
constexpr std::uint64_t kPanicSilenceNs = 1'000'000'000;

}  // namespace

Machine::~Machine() {
  stop_threads();
  if (board_) board_->drain();
}

void Machine::stop_threads() {
  for (Vcpu& vcpu : vcpus_) vcpu.thread->stop();
  if (!event_thread_.joinable()) return;
  io_loop_->stop();
  io_thread_.join();
  // From here on no backend interrupts a CPU that may no longer be there.
  for (const auto& network : networks_) network->stop();
  board_->virtio().drain();
  loop_->stop();
  event_thread_.join();
}

FirmwareTables Machine::firmware_tables() const {
  return {config_.cpus, config_.memory_bytes, virtio_windows_, has_vga()};
}

Result<x86::CpuState> Machine::power_on() {
  board_->reset();
  console_->forget_panic();
  x86::CpuState state = TRY(put_boot_code());
  // The guest's time-stamp counter is the host's, which user code may then read by itself.
  state.tsc_offset = 0 - clock_->host_tsc_bias().value_or(0);
  return state;
}

Result<x86::CpuState> Machine::put_boot_code() {
  if (firmware_) {
    put_firmware(*memory_, *firmware_);
    return after_init(x86::CpuState{}, true, cpuid_->signature());
  }
  const std::uint64_t rsdp = TRY(put_firmware_tables(*memory_, firmware_tables()));
  const auto map = memory_map(config_.memory_bytes);
  const auto port_write = [this](std::uint16_t port, std::uint8_t value) {
    board_->pio().write(port, std::as_bytes(std::span(&value, 1)));
  };
  x86::CpuState state = TRY(load_kernel(*boot_image_, {*memory_, map, rsdp, port_write}));
  set_memory_types(state.msr, cpuid_->physical_address_bits());
  return state;
}

Ending Machine::run() {
  {
    const std::lock_guard lock(request_mutex_);
    started_ = SteadyClock::now();
  }
  event_thread_ = std::thread([this] { loop_->run(); });
  io_thread_ = std::thread([this] { io_loop_->run(); });
  {
    const std::lock_guard operation(operation_mutex_);
    for (std::size_t i = 0; i < vcpus_.size(); ++i)
      vcpus_[i].thread->start(state_of(i, initial_state_, cpuid_->signature()));
    resume_all();
  }
  wait_for_end();
  return shut_down();
}

void Machine::wait_for_end() {
  const auto deadline = started_ + std::chrono::duration_cast<SteadyClock::duration>(
                                       Seconds(config_.timeout_seconds.value_or(0)));
  std::unique_lock lock(request_mutex_);
  const auto anything = [this] { return ending_.has_value() || reset_requested_; };
  while (!ending_) {
    if (!config_.timeout_seconds) {
      requested_.wait(lock, anything);
    } else if (!requested_.wait_until(lock, deadline, anything)) {
      ending_.emplace().reason = EndReason::kTimeout;
    }
    if (!ending_ && reset_requested_) {
      lock.unlock();
      if (const auto restarted = restart(); !restarted) {
        end(EndReason::kHostError, restarted.error().message);
      }
      lock.lock();
    }
  }
}

Result<> Machine::restart() {
  const std::lock_guard operation(operation_mutex_);
  for (Vcpu& vcpu : vcpus_) vcpu.thread->wait_parked();  // since the request
  const x86::CpuState state = TRY(power_on());
  for (Vcpu& vcpu : vcpus_) vcpu.port->paravirt().reset();
  for (std::size_t i = 0; i < vcpus_.size(); ++i)
    vcpus_[i].thread->set_state(state_of(i, state, cpuid_->signature()));
  {
    const std::lock_guard lock(request_mutex_);
    reset_requested_ = false;
    ++resets_;
  }
  resume_all();
  return {};
}

Ending Machine::shut_down() {
  const std::lock_guard operation(operation_mutex_);
  park_all();
  stop_threads();
  serial_->flush();
  if (virtio_console_) virtio_console_->flush();
  for (const auto& channel : channels_) channel->flush();
  if (debug_console_) debug_console_->flush();

  const std::lock_guard lock(request_mutex_);
  wall_seconds_ = Seconds(SteadyClock::now() - started_).count();
  Ending ending = *ending_;
  ending.cpu = vcpus_.front().thread->state();
  ending.last_lines = console_->last_lines();
  return ending;
}

void Machine::park_all() {
  for (Vcpu& vcpu : vcpus_) vcpu.thread->request_park();
  for (Vcpu& vcpu : vcpus_) vcpu.thread->wait_parked();
}

void Machine::resume_all() {
  for (Vcpu& vcpu : vcpus_) vcpu.thread->resume();
}

void Machine::pause() {
  const std::lock_guard operation(operation_mutex_);
  park_all();
  if (pauses_++ != 0) return;
  board_->virtio().pause();
  board_->drain();
  loop_->hold_timers(true);
  clock_->pause();
}

void Machine::resume() {
  const std::lock_guard operation(operation_mutex_);
  VIREO_ASSERT(pauses_ > 0);
  if (--pauses_ == 0) {
    clock_->resume();
    loop_->hold_timers(false);
    board_->virtio().resume();
  }
  resume_all();
}

void Machine::end(EndReason reason, std::string message, std::uint32_t debug_value) {
  {
    const std::lock_guard lock(request_mutex_);
    if (ending_) return;
    Ending& ending = ending_.emplace();
    ending.reason = reason;
    ending.message = std::move(message);
    ending.debug_value = debug_value;
  }
  // The guest shall not go on further than the instruction that ended it.
  for (Vcpu& vcpu : vcpus_) vcpu.thread->request_park();
  requested_.notify_all();
}

void Machine::request_stop(EndReason reason) { end(reason); }

void Machine::request_reset() {
  {
    const std::lock_guard lock(request_mutex_);
    if (reset_requested_) return;
    reset_requested_ = true;
  }
  for (Vcpu& vcpu : vcpus_) vcpu.thread->request_park();
  requested_.notify_all();
}

void Machine::on_reset_request() {
  if (config_.reboot) return request_reset();
  if (console_->panicked()) return end(EndReason::kPanic, console_->panic());
  end(EndReason::kReset);
}

void Machine::on_debug_exit(std::uint32_t value) { end(EndReason::kDebugExit, {}, value); }

void Machine::on_triple_fault(unsigned, const x86::CpuState&) {
  if (config_.reboot_on_triple_fault) return on_reset_request();
  end(EndReason::kTripleFault);
}

void Machine::on_host_error(unsigned, const Error& error) {
  end(EndReason::kHostError, error.message);
}

void Machine::on_halt(unsigned, const x86::CpuState& state) {
  // A kernel that idles has survived its panic, or somebody has only quoted one.
  if ((state.rflags & x86::rflags::kIf) != 0) return console_->forget_panic();
  if (vcpus_.size() == 1) end(EndReason::kPanic, console_->panic());
}

/// A kernel that has said its last word loops forever, mostly with interrupts on. So it is dead
/// once it has neither written nor halted for a while.
void Machine::on_kernel_gave_up() {
  loop_->post([this] {
    panic_bytes_ = console_->bytes();
    panic_halts_ = halts();
    panic_timer_->arm(clock_->now_ns() + kPanicSilenceNs);
  });
}

std::uint64_t Machine::halts() const {
  std::uint64_t sum = 0;
  for (const Vcpu& vcpu : vcpus_) sum += vcpu.thread->halts();
  return sum;
}

Result<> Machine::set_balloon(std::uint64_t bytes) {
  if (balloon_ == nullptr) return usage_error("the machine has no balloon");
  TRY(check_balloon(bytes, config_.memory_bytes));
  balloon_->set_wanted(bytes);
  return {};
}

Result<BalloonReport> Machine::balloon() {
  if (balloon_ == nullptr) return usage_error("the machine has no balloon");
  const BalloonReport report{balloon_->wanted_bytes(), balloon_->actual_bytes(),
                             balloon_->discarded_bytes(), balloon_->statistics()};
  balloon_->request_statistics();
  return report;
}

Result<> Machine::save_screen() const {
  if (!display_ || board_->vga() == nullptr) return {};
  return display_->save(*board_->vga());
}

MachineStatistics Machine::statistics() const {
  MachineStatistics result;
  result.engine = engine_->name();
  result.cpu_model = cpuid_->name();
  result.cpus = static_cast<unsigned>(vcpus_.size());
  result.memory_bytes = config_.memory_bytes;
  result.resident_bytes = memory_->resident_bytes();
  result.halts = halts();
  result.console_bytes = console_->bytes();
  {
    const std::lock_guard lock(request_mutex_);
    result.resets = resets_;
    result.wall_seconds = wall_seconds_.value_or(Seconds(SteadyClock::now() - started_).count());
  }
  for (const Vcpu& vcpu : vcpus_) {
    result.cpu_seconds += vcpu.thread->cpu_seconds();
    for (const auto& [name, value] : vcpu.thread->counters()) {
      add_count(result.engine_counters, name, value);
    }
    const AccessCounts& counts = vcpu.port->counts();
    result.interrupts += counts.interrupts;
    add_count(result.device_accesses, "local-apic", counts.apic);
    add_count(result.device_accesses, "local-apic-msrs", counts.apic_msrs);
    add_count(result.device_accesses, "mmio", counts.mmio);
    if (counts.hypercalls != 0) add_count(result.device_accesses, "hypercalls", counts.hypercalls);
    const std::uint64_t flushes = vcpu.port->paravirt().deferred_flushes();
    if (flushes != 0) add_count(result.engine_counters, "deferred-tlb-flushes", flushes);
    for (unsigned port = 0; port < counts.ports->size(); ++port) {
      const std::uint64_t count = (*counts.ports)[port];
      if (count != 0) add_count(result.device_accesses, board_->port_name(port), count);
    }
  }
  count_io(result);
  return result;
}

void Machine::count_io(MachineStatistics& result) const {
  const VirtioSlots& slots = std::as_const(*board_).virtio();
  for (std::size_t i = 0; i < disks_.size(); ++i) {
    DiskStatistics& disk = result.disks.emplace_back();
    disk.name = disks_[i]->name();
    disk.requests = disks_[i]->counters();
    if (disk_slots_.at(i)) disk.queues = slots.counters(*disk_slots_[i]);
  }
  for (std::size_t i = 0; i < networks_.size(); ++i) {
    result.networks.push_back(
        {networks_[i]->name(), cards_.at(i).model->counters(), slots.counters(cards_[i].slot)});
  }
}

}  // namespace vireo::machine
