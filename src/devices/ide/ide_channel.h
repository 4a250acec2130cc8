#pragma once
#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>

#include "base/result.h"
#include "bus/irq_line.h"
#include "bus/window.h"
#include "devices/ide/ide_drive.h"
#include "devices/ide/prd_cursor.h"
#include "memory/guest_memory.h"

namespace vireo::devices {

/// Who has to act next.
enum class IdePhase : std::uint8_t {
  kIdle,    ///< the guest: no command is under way
  kMedium,  ///< the medium: the drive is busy
  kPioIn,   ///< the guest takes a block from the data port
  kPioOut,  ///< the guest puts one there
  kDmaIn,   ///< the bus master takes what is in the buffer
  kDmaOut,  ///< the bus master fills the buffer
};

/// What a channel remembers besides its drives.
struct IdeChannelState {
  std::uint8_t phase = 0;  ///< an IdePhase
  std::uint8_t control = 0;
  std::uint8_t selected = 0;
  std::uint8_t interrupt = 0;
  std::uint8_t master_command = 0, master_status = 0;  ///< of the bus master
  std::uint32_t master_table = 0;
  PrdCursor cursor;
  IdeTask task;
  IdeDrive::Buffer buffer{};

  bool operator==(const IdeChannelState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [phase, control, selected, interrupt, command, status, table, cursor, task, buffer] =
        self;
    visit("phase", phase), visit("control", control), visit("selected", selected);
    visit("interrupt", interrupt), visit("master_command", command);
    visit("master_status", status), visit("master_table", table), visit("cursor", cursor);
    visit("task", task), visit("buffer", buffer);
  }
};

/// One of the two channels of a PC's IDE controller: its ports, its part of the bus master, up to
/// two drives. ATA/ATAPI-7 volume 2; Programming Interface for Bus Master IDE Controller 1.0.
/// Thread safe. Requests to the medium are submitted by the thread that completes a command and end
/// on a thread of the backend; a drive has at most one under way, and while it has the guest sees
/// it busy, even if it resets the drive.
class IdeChannel {
 public:
  static constexpr std::uint64_t kCommandPorts = 8, kControlPorts = 1, kMasterPorts = 8;
  static constexpr unsigned kDrives = 2;

  /// `irq` is edge triggered for its driver; all outlive it.
  IdeChannel(bus::IrqLine& irq, memory::GuestMemory& memory) : irq_(irq), memory_(memory) {}
  ~IdeChannel() { drain(); }
  IdeChannel(const IdeChannel&) = delete;

  /// While the machine is built; `index` is 0 or 1, each once.
  void add(unsigned index, std::unique_ptr<IdeDrive> drive);

  bus::BusDevice& command_ports() { return command_ports_; }
  bus::BusDevice& control_ports() { return control_ports_; }  ///< 0x3f6 or 0x376
  bus::BusDevice& master_ports() { return master_ports_; }

  /// As after power-on; waits for what is under way.
  void reset();
  /// Waits until no request is under way.
  void drain();

  /// Nothing may be under way, and no virtual CPU may run.
  IdeChannelState state() const;
  IdeRegisters drive_state(unsigned index) const;
  Result<> restore(const IdeChannelState& state, const std::array<IdeRegisters, kDrives>& drives);

 private:
  void read_command(std::uint64_t offset, std::span<std::byte> data);
  void write_command(std::uint64_t offset, std::span<const std::byte> data);
  std::uint8_t read_control(unsigned offset);
  void write_control(unsigned offset, std::uint8_t value);
  std::uint8_t read_master(unsigned offset);
  void write_master(unsigned offset, std::uint8_t value);

  /// Runs the body with the lock held, then submits what it asked of the medium.
  template <class Body>
  void act(Body body);
  IdeDrive* drive() const { return drives_[state_.selected].get(); }
  std::uint8_t read_missing() const;
  std::uint8_t read_register(unsigned offset);
  void write_register(unsigned offset, std::uint8_t value);
  void read_data(std::span<std::byte> data);
  void write_data(std::span<const std::byte> data);
  void select(std::uint8_t value);
  void execute(std::uint8_t command);
  void go_on(IdeDrive::Next next);
  void begin_task();
  void fetch();
  void offer();
  void offer_block();
  void collect(bool first);
  void store();
  void run_master();
  void on_done(std::error_code error);
  void complete();
  void finish(bool failed);
  void reset_drives();
  void interrupt();
  void update_irq();
  void set_phase(IdePhase phase, std::uint8_t status);
  void ask_medium(backends::BlockOperation operation, std::uint64_t offset, std::uint32_t bytes);
  Result<> check(const IdeChannelState& state) const;

  // Wiring.
  bus::IrqLine& irq_;
  memory::GuestMemory& memory_;
  std::array<std::unique_ptr<IdeDrive>, kDrives> drives_;
  bus::Window<IdeChannel> command_ports_{*this, &IdeChannel::read_command,
                                         &IdeChannel::write_command};
  bus::ByteWindow<IdeChannel> control_ports_{*this, &IdeChannel::read_control,
                                             &IdeChannel::write_control};
  bus::ByteWindow<IdeChannel> master_ports_{*this, &IdeChannel::read_master,
                                            &IdeChannel::write_master};

  mutable std::mutex mutex_;  // taken before the locks of interrupt lines; not held in submit()
  std::condition_variable idle_;
  IdeChannelState state_;
  bool under_way_ = false;                         // a request to the medium
  bool reset_wanted_ = false;                      // when it is done
  iovec piece_{};                                  // of the buffer, for the medium
  std::optional<backends::BlockRequest> request_;  // to be submitted without the lock
};

}  // namespace vireo::devices
