#include "devices/ide/ide_drive.h"

#include "devices/ide/ata_registers.h"

namespace vireo::devices {

IdeDrive::Next IdeDrive::abort() {
  registers.error = ata::error::kAborted;
  registers.status = ata::status::kReady | ata::status::kSeekComplete | ata::status::kError;
  return Next::kDone;
}

void IdeDrive::set_ready() {
  registers.error = 0;
  registers.status = ata::status::kReady | ata::status::kSeekComplete;
}

void IdeDrive::send_buffer(IdeTask& task, std::uint32_t bytes, std::uint32_t block) {
  task.to_guest = 1;
  task.filled = bytes;
  task.block = block;
}

}  // namespace vireo::devices
