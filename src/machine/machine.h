#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backends/block/block_backend.h"
#include "backends/character/char_backend.h"
#include "backends/network/network_backend.h"
#include "base/event_loop.h"
#include "base/host_clock.h"
#include "base/result.h"
#include "engine/engine.h"
#include "machine/board.h"
#include "machine/boot/boot_image.h"
#include "machine/boot/firmware_image.h"
#include "machine/boot/firmware_variables.h"
#include "machine/config.h"
#include "machine/console_watch.h"
#include "machine/lifecycle.h"
#include "machine/machine_description.h"
#include "machine/screen_file.h"
#include "machine/statistics.h"
#include "machine/vcpu_port.h"
#include "machine/vcpu_thread.h"
#include "machine/vnc_display.h"
#include "memory/guest_memory.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::devices::virtio {
class VirtioBalloon;
class VirtioNet;
}  // namespace vireo::devices::virtio

namespace vireo::machine {

/// A whole computer. Made by build_machine(); run() plays its life from power-on to the end.
/// Threads: one per virtual CPU, the event thread, the I/O thread, on which disks and the like
/// serve their queues, and the one that called run(), which carries out what the others ask for.
/// See README.md for the lock order.
class Machine final : private VcpuOwner {
 public:
  ~Machine() override;
  Machine(const Machine&) = delete;

  /// Runs until the guest or somebody else ends it; once. Host failures are part of the answer.
  Ending run();

  // From any thread, and from signal watchers on the event thread.
  /// Ends the machine; the first reason counts.
  void request_stop(EndReason reason);
  void request_reset();
  void press_power_button() { board_->press_power_button(); }

  // From any thread, while the machine runs. Usage errors without a balloon, or if the guest would
  // have no memory left.
  Result<> set_balloon(std::uint64_t bytes);
  /// Also asks the guest for new numbers, for whoever asks next.
  Result<BalloonReport> balloon();

  // From any thread but those of the machine itself. They nest.
  /// Returns when no virtual CPU executes, time stands still, what disks had under way is done, and
  /// nothing else changes memory.
  void pause();
  void resume();

  /// Puts what is on the screen where `--display` says; nothing without one. From any thread.
  Result<> save_screen() const;
  /// From any thread, also while it runs.
  MachineStatistics statistics() const;

  EventLoop& events() { return *loop_; }
  memory::GuestMemory& memory() { return *memory_; }

 private:
  friend class MachineBuilder;
  struct Vcpu {
    std::unique_ptr<VcpuPort> port;
    std::unique_ptr<VcpuThread> thread;
  };
  enum class Request : std::uint8_t { kEnd, kReset };
  struct Card {
    const devices::virtio::VirtioNet* model = nullptr;  ///< the board's
    std::size_t slot = 0;                               ///< among virtio devices
  };

  explicit Machine(MachineConfig config) : config_(std::move(config)) {}

  // VcpuOwner
  void on_triple_fault(unsigned index, const x86::CpuState& state) override;
  void on_host_error(unsigned index, const Error& error) override;
  bool wants_halts() override { return console_->panicked(); }
  void on_halt(unsigned index, const x86::CpuState& state) override;

  // What devices ask for.
  void on_reset_request();
  void on_debug_exit(std::uint32_t value);
  void on_kernel_gave_up();

  /// Everything as after power-on, firmware or the kernel loaded; answers with the boot CPU's
  /// state.
  Result<x86::CpuState> power_on();
  Result<x86::CpuState> put_boot_code();
  FirmwareTables firmware_tables() const;
  bool has_vga() const { return firmware_.has_value() || config_.display != "none"; }
  Result<> restart();
  void end(EndReason reason, std::string message = {}, std::uint32_t debug_value = 0);
  void wait_for_end();
  void park_all();
  void resume_all();
  Ending shut_down();
  void stop_threads();
  std::uint64_t halts() const;
  void count_io(MachineStatistics& result) const;

  // Configuration.
  const MachineConfig config_;
  std::optional<FirmwareImage> firmware_;
  std::unique_ptr<FirmwareVariables> firmware_variables_;  ///< null: it forgets
  std::optional<BootImage> boot_image_;                    ///< without firmware
  unsigned virtio_windows_ = 0;                            ///< in use

  // What it is made of, in the order of construction.
  std::unique_ptr<HostClock> clock_;
  std::unique_ptr<EventLoop> loop_, io_loop_;
  std::unique_ptr<memory::GuestMemory> memory_;
  std::optional<x86::CpuidModel> cpuid_;
  std::unique_ptr<ConsoleWatch> console_;
  std::unique_ptr<backends::CharBackend> serial_, virtio_console_, debug_console_;
  std::vector<std::unique_ptr<backends::CharBackend>> channels_;
  std::vector<std::unique_ptr<backends::NetworkBackend>> networks_;
  std::vector<std::unique_ptr<backends::BlockBackend>> disks_, cdroms_;
  std::optional<ScreenFile> display_;
  std::unique_ptr<Board> board_;
  devices::virtio::VirtioBalloon* balloon_ = nullptr;   ///< the board's; null without one
  std::vector<std::optional<std::size_t>> disk_slots_;  ///< of disks_; none of one behind IDE
  std::vector<Card> cards_;                             ///< of networks_
  std::unique_ptr<engine::Engine> engine_;
  BusyCpus busy_cpus_{BusyCpus::host_processors()};
  std::vector<Vcpu> vcpus_;
  std::unique_ptr<VncDisplay> vnc_;
  std::unique_ptr<Timer> panic_timer_;
  std::thread event_thread_, io_thread_;
  x86::CpuState initial_state_;

  // Event thread only.
  std::uint64_t panic_bytes_ = 0, panic_halts_ = 0;

  /// Held while the machine is stopped or started as a whole. Taken before everything else.
  std::mutex operation_mutex_;
  unsigned pauses_ = 0;

  mutable std::mutex request_mutex_;  // guards what follows; nothing is called with it held
  std::condition_variable requested_;
  bool reset_requested_ = false;
  std::optional<Ending> ending_;
  std::uint64_t resets_ = 0;
  std::chrono::steady_clock::time_point started_{};
  std::optional<double> wall_seconds_;
};

}  // namespace vireo::machine
