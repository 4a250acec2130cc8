#include "devices/ide/ide_channel.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "devices/ide/ata_registers.h"

namespace vireo::devices {

using backends::BlockOperation;
namespace {

// The bus master's registers.
constexpr std::uint8_t kStart = 0x01, kToMemory = 0x08;
constexpr std::uint8_t kActive = 0x01, kFailed = 0x02, kInterrupted = 0x04, kCapable = 0x60;
constexpr unsigned kMasterCommand = 0, kMasterStatus = 2, kMasterTable = 4;

// The task file. ATA/ATAPI-7 volume 2, table 8.
constexpr unsigned kFeatures = 1, kCount = 2, kLbaLow = 3, kLbaMid = 4, kLbaHigh = 5, kDevice = 6,
                   kCommand = 7;

}  // namespace

void IdeChannel::add(unsigned index, std::unique_ptr<IdeDrive> drive) {
  VIREO_ASSERT(index < kDrives && !drives_[index]);
  drives_[index] = std::move(drive);
  drives_[index]->reset();
}

template <class Body>
void IdeChannel::act(Body body) {
  std::optional<backends::BlockRequest> request;
  backends::BlockBackend* medium = nullptr;
  {
    const std::lock_guard lock(mutex_);
    body();
    request = std::exchange(request_, std::nullopt);
    if (request) medium = &drive()->medium();
  }
  if (request) medium->submit(std::move(*request));
}

void IdeChannel::read_command(std::uint64_t offset, std::span<std::byte> data) {
  act([&] {
    if (offset == 0) return read_data(data);
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = std::byte{read_register(static_cast<unsigned>(offset + i))};
  });
}

void IdeChannel::write_command(std::uint64_t offset, std::span<const std::byte> data) {
  act([&] {
    if (offset == 0) return write_data(data);
    for (std::size_t i = 0; i < data.size(); ++i)
      write_register(static_cast<unsigned>(offset + i), std::to_integer<std::uint8_t>(data[i]));
  });
}

/// A drive that is not there reads as zeroes if there is another, which answers for it. If there is
/// none, nobody drives the cable; but the host pulls DD7 down (ATA/ATAPI-7 volume 2), so that
/// nobody seems to be busy.
std::uint8_t IdeChannel::read_missing() const { return drives_[0] || drives_[1] ? 0x00 : 0x7f; }

std::uint8_t IdeChannel::read_register(unsigned offset) {
  if (drive() == nullptr) return read_missing();
  const IdeRegisters& registers = drive()->registers;
  const unsigned which = (state_.control & ata::control::kHighOrder) != 0 ? 1 : 0;
  switch (offset) {
    case kFeatures:
      return registers.error;
    case kCount:
      return registers.count[which];
    case kLbaLow:
      return registers.lba_low[which];
    case kLbaMid:
      return registers.lba_mid[which];
    case kLbaHigh:
      return registers.lba_high[which];
    case kDevice:
      return registers.device | ata::device::kObsolete;
    default:
      state_.interrupt = 0;
      update_irq();
      return registers.status;
  }
}

/// What is written reaches both drives; neither listens while a command is under way.
void IdeChannel::write_register(unsigned offset, std::uint8_t value) {
  if (offset == kCommand) return execute(value);
  state_.control &= static_cast<std::uint8_t>(~ata::control::kHighOrder);
  if (static_cast<IdePhase>(state_.phase) != IdePhase::kIdle || under_way_) return;
  if (offset == kDevice) return select(value);
  for (const auto& each : drives_) {
    if (!each) continue;
    IdeRegisters& registers = each->registers;
    IdeRegisters::Twice* const targets[] = {&registers.features, &registers.count,
                                            &registers.lba_low, &registers.lba_mid,
                                            &registers.lba_high};
    IdeRegisters::Twice& target = *targets[offset - kFeatures];
    target = {value, target[0]};
  }
}

void IdeChannel::select(std::uint8_t value) {
  state_.selected = (value & ata::device::kSecond) != 0 ? 1 : 0;
  for (const auto& each : drives_) {
    if (each) each->registers.device = value;
  }
}

void IdeChannel::read_data(std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  IdeTask& task = state_.task;
  if (static_cast<IdePhase>(state_.phase) != IdePhase::kPioIn) return;
  for (std::byte& byte : data) {
    if (task.index < task.end) byte = std::byte{state_.buffer[task.index++]};
  }
  if (task.index < task.end) return;
  if (task.index < task.filled) return offer_block();
  if (task.left != 0) return fetch();
  state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
  if (drive()->end_pio_in(task)) interrupt();
}

void IdeChannel::write_data(std::span<const std::byte> data) {
  IdeTask& task = state_.task;
  if (static_cast<IdePhase>(state_.phase) != IdePhase::kPioOut) return;
  for (const std::byte byte : data) {
    if (task.index < task.end) state_.buffer[task.index++] = std::to_integer<std::uint8_t>(byte);
  }
  if (task.index < task.end) return;
  if (task.packet == 0) return store();
  task = {};
  go_on(drive()->execute_packet(task, state_.buffer));
}

void IdeChannel::execute(std::uint8_t command) {
  IdeDrive* const target = drive();
  if (target == nullptr || (state_.control & ata::control::kReset) != 0) return;
  state_.interrupt = 0;
  update_irq();
  const bool busy = static_cast<IdePhase>(state_.phase) != IdePhase::kIdle;
  if (command == ata::command::kDiagnose && !busy && !under_way_) {
    reset_drives();
    return interrupt();
  }
  if (busy || under_way_) {
    // Only a packet device can be had back this way; and when the medium is done.
    if (command != ata::command::kDeviceReset) return;
    if (under_way_) {
      reset_wanted_ = true;
      return;
    }
  }
  state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
  state_.task = {};
  go_on(target->execute(command, state_.task, state_.buffer));
}

void IdeChannel::go_on(IdeDrive::Next next) {
  state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
  if (next == IdeDrive::Next::kTask) return begin_task();
  if (next == IdeDrive::Next::kDone) interrupt();
}

void IdeChannel::begin_task() {
  IdeTask& task = state_.task;
  if (task.to_guest != 0) return task.stored != 0 ? fetch() : offer();
  if (task.left == 0) return complete();
  if (task.dma == 0) return collect(true);
  set_phase(IdePhase::kDmaOut, ata::status::kBusy);
  task.filled = static_cast<std::uint32_t>(std::min<std::uint64_t>(task.left, IdeDrive::kBuffer));
  run_master();
}

/// From the medium into the buffer.
void IdeChannel::fetch() {
  IdeTask& task = state_.task;
  const auto bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(task.left, IdeDrive::kBuffer));
  ask_medium(BlockOperation::kRead, task.position, bytes);
  task.position += bytes;
  task.left -= bytes;
  task.index = 0;
  task.filled = bytes;
}

/// From the buffer to the guest.
void IdeChannel::offer() {
  if (state_.task.dma == 0) return offer_block();
  set_phase(IdePhase::kDmaIn, ata::status::kBusy);
  run_master();
}

void IdeChannel::offer_block() {
  IdeTask& task = state_.task;
  task.end = task.index + std::min(task.block, task.filled - task.index);
  set_phase(IdePhase::kPioIn,
            ata::status::kReady | ata::status::kSeekComplete | ata::status::kDataRequest);
  drive()->begin_block(task, task.end - task.index);
  interrupt();
}

void IdeChannel::collect(bool first) {
  IdeTask& task = state_.task;
  task.index = 0;
  task.end = static_cast<std::uint32_t>(std::min<std::uint64_t>(task.left, task.block));
  task.filled = task.end;
  set_phase(IdePhase::kPioOut,
            ata::status::kReady | ata::status::kSeekComplete | ata::status::kDataRequest);
  drive()->begin_block(task, task.end);
  if (!first) interrupt();
}

/// From the buffer to the medium.
void IdeChannel::store() {
  IdeTask& task = state_.task;
  ask_medium(BlockOperation::kWrite, task.position, task.filled);
  task.position += task.filled;
  task.left -= task.filled;
}

void IdeChannel::run_master() {
  if ((state_.master_status & kActive) == 0) return;
  IdeTask& task = state_.task;
  const auto phase = static_cast<IdePhase>(state_.phase);
  if (phase != IdePhase::kDmaIn && phase != IdePhase::kDmaOut) return;
  const auto part = std::as_writable_bytes(std::span(state_.buffer))
                        .subspan(task.index, task.filled - task.index);
  const PrdCursor::Moved moved = phase == IdePhase::kDmaIn
                                     ? state_.cursor.to_guest(memory_, part)
                                     : state_.cursor.from_guest(memory_, part);
  task.index += moved.bytes;
  if (state_.cursor.at_end() || moved.failed)
    state_.master_status &= static_cast<std::uint8_t>(~kActive);
  if (moved.failed) {
    state_.master_status |= kFailed;
    return finish(true);
  }
  if (task.index < task.filled) return;  // the table is too short
  if (phase == IdePhase::kDmaOut) return store();
  if (task.left != 0) return fetch();
  complete();
}

void IdeChannel::ask_medium(BlockOperation operation, std::uint64_t offset, std::uint32_t bytes) {
  set_phase(IdePhase::kMedium, ata::status::kBusy);
  piece_ = {state_.buffer.data(), bytes};
  backends::BlockRequest& request = request_.emplace();
  request.operation = operation;
  request.offset = offset;
  request.length = bytes;
  if (operation != BlockOperation::kFlush) request.buffers = std::span(&piece_, 1);
  request.done = [this](std::error_code error) { on_done(error); };
  under_way_ = true;
}

void IdeChannel::on_done(std::error_code error) {
  act([&] {
    under_way_ = false;
    if (std::exchange(reset_wanted_, false)) {
      reset_drives();
    } else if (error) {
      finish(true);
    } else if (IdeTask& task = state_.task; task.to_guest != 0) {
      offer();
    } else if (task.left == 0) {
      complete();
    } else if (task.dma == 0) {
      collect(false);
    } else {
      task.index = 0;
      begin_task();
    }
    if (!under_way_) idle_.notify_all();
  });
}

void IdeChannel::complete() {
  if (std::exchange(state_.task.flush, std::uint8_t{0}) != 0)
    return ask_medium(BlockOperation::kFlush, 0, 0);
  finish(false);
}

void IdeChannel::finish(bool failed) {
  state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
  drive()->finish(state_.task, failed);
  interrupt();
}

void IdeChannel::set_phase(IdePhase phase, std::uint8_t status) {
  state_.phase = static_cast<std::uint8_t>(phase);
  drive()->registers.status = status;
}

void IdeChannel::interrupt() {
  state_.interrupt = 1;
  state_.master_status |= kInterrupted;
  update_irq();
}

void IdeChannel::update_irq() {
  irq_.set_level(state_.interrupt != 0 && (state_.control & ata::control::kNoInterrupt) == 0);
}

std::uint8_t IdeChannel::read_control(unsigned) {
  const std::lock_guard lock(mutex_);
  if (drive() == nullptr) return read_missing();
  return drive()->registers.status;  // does not acknowledge the interrupt
}

void IdeChannel::write_control(unsigned, std::uint8_t value) {
  act([&] {
    const bool was_reset = (state_.control & ata::control::kReset) != 0;
    state_.control = value;
    const bool in_reset = (value & ata::control::kReset) != 0;
    if (in_reset && !was_reset) {
      state_.interrupt = 0;
      if (!under_way_) state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
      for (const auto& each : drives_) {
        if (each) each->registers.status = ata::status::kBusy;
      }
    } else if (was_reset && !in_reset) {
      if (under_way_) {
        reset_wanted_ = true;
      } else {
        reset_drives();
      }
    }
    update_irq();
  });
}

void IdeChannel::reset_drives() {
  state_.phase = static_cast<std::uint8_t>(IdePhase::kIdle);
  state_.task = {};
  state_.selected = 0;
  state_.interrupt = 0;
  for (const auto& each : drives_) {
    if (each) each->reset();
  }
  update_irq();
}

std::uint8_t IdeChannel::read_master(unsigned offset) {
  const std::lock_guard lock(mutex_);
  if (offset == kMasterCommand) return state_.master_command;
  if (offset == kMasterStatus) return state_.master_status;
  if (offset < kMasterTable) return 0;
  return static_cast<std::uint8_t>(state_.master_table >> (8 * (offset - kMasterTable)));
}

void IdeChannel::write_master(unsigned offset, std::uint8_t value) {
  act([&] {
    std::uint8_t& status = state_.master_status;
    if (offset == kMasterStatus) {
      const auto cleared = static_cast<std::uint8_t>(value & (kFailed | kInterrupted));
      status = static_cast<std::uint8_t>((status & ~cleared & ~kCapable) | (value & kCapable));
    } else if (offset >= kMasterTable) {
      const unsigned shift = 8 * (offset - kMasterTable);
      state_.master_table = (state_.master_table & ~(0xffu << shift)) | std::uint32_t{value}
                                                                            << shift;
      state_.master_table &= ~3u;
    } else if (offset == kMasterCommand) {
      const bool started = (state_.master_command & kStart) != 0;
      state_.master_command = value & (kStart | kToMemory);
      if ((value & kStart) == 0) {
        status &= static_cast<std::uint8_t>(~kActive);
      } else if (!started) {
        status |= kActive;
        state_.cursor = {};
        state_.cursor.entry = state_.master_table;
        run_master();
      }
    }
  });
}

void IdeChannel::drain() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !under_way_; });
}

void IdeChannel::reset() {
  drain();
  const std::lock_guard lock(mutex_);
  state_ = {};
  reset_wanted_ = false;
  for (const auto& each : drives_) {
    if (!each) continue;
    each->registers = {};
    each->reset();
  }
  update_irq();
}

IdeChannelState IdeChannel::state() const {
  const std::lock_guard lock(mutex_);
  VIREO_ASSERT(!under_way_);
  return state_;
}

IdeRegisters IdeChannel::drive_state(unsigned index) const {
  const std::lock_guard lock(mutex_);
  return drives_.at(index) ? drives_[index]->registers : IdeRegisters{};
}

Result<> IdeChannel::check(const IdeChannelState& state) const {
  const IdeTask& task = state.task;
  const auto phase = static_cast<IdePhase>(state.phase);
  const bool idle = phase == IdePhase::kIdle;
  if (state.phase > static_cast<std::uint8_t>(IdePhase::kDmaOut) || phase == IdePhase::kMedium ||
      state.selected >= kDrives || state.interrupt > 1 || (!idle && !drives_[state.selected]) ||
      task.filled > IdeDrive::kBuffer || task.end > task.filled || task.index > task.filled)
    return usage_error("ide: the saved state could not exist");
  if (idle) return {};
  const bool out = phase == IdePhase::kPioOut || phase == IdePhase::kDmaOut;
  if (task.block == 0 || task.block > IdeDrive::kBuffer || out != (task.to_guest == 0) ||
      (out && (task.filled > task.left || (task.stored | task.packet) == 0)))
    return usage_error("ide: the saved command could not exist");
  const std::uint64_t size = drives_[state.selected]->medium().size();
  if (task.stored != 0 && (task.position > size || task.left > size - task.position))
    return usage_error("ide: the saved command goes beyond its disk");
  return {};
}

Result<> IdeChannel::restore(const IdeChannelState& state,
                             const std::array<IdeRegisters, kDrives>& drives) {
  TRY(check(state));
  for (const IdeRegisters& registers : drives) {
    if (registers.multiple * ata::kSector > IdeDrive::kBuffer)
      return usage_error("ide: the saved drive has blocks that it cannot have");
  }
  const std::lock_guard lock(mutex_);
  state_ = state;
  for (unsigned i = 0; i < kDrives; ++i) {
    if (drives_[i]) drives_[i]->registers = drives[i];
  }
  update_irq();
  return {};
}

}  // namespace vireo::devices
