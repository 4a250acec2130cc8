#include "devices/ide/ata_disk.h"

#include <algorithm>
#include <utility>

#include "devices/ide/ata_registers.h"
#include "devices/ide/identify_data.h"

namespace vireo::devices {

using ata::kSector;
namespace command = ata::command;
namespace device = ata::device;
namespace error = ata::error;
namespace status = ata::status;

/// A command that moves sectors.
struct AtaDisk::Access {
  bool write = false, wide = false, dma = false, multiple = false, verify = false, through = false;
};

AtaDisk::AtaDisk(backends::BlockBackend& medium, std::string serial)
    : IdeDrive(medium), serial_(std::move(serial)), sectors_(medium.size() / kSector) {}

void AtaDisk::reset() {
  registers.error = 1;  // the diagnosis: passed
  registers.status = status::kReady | status::kSeekComplete;
  registers.count = {1, 0};
  registers.lba_low = {1, 0};
  registers.lba_mid = registers.lba_high = {};
  registers.device = 0;
}

AtaDisk::Next AtaDisk::done() {
  set_ready();
  return Next::kDone;
}

std::optional<AtaDisk::Access> AtaDisk::access_of(std::uint8_t code) {
  switch (code) {
    case command::kRead:
    case command::kReadOnce:
      return Access{};
    case command::kReadExt:
      return Access{.wide = true};
    case command::kReadMultiple:
      return Access{.multiple = true};
    case command::kReadMultipleExt:
      return Access{.wide = true, .multiple = true};
    case command::kReadDma:
    case command::kReadDmaOnce:
      return Access{.dma = true};
    case command::kReadDmaExt:
      return Access{.wide = true, .dma = true};
    case command::kWrite:
    case command::kWriteOnce:
      return Access{.write = true};
    case command::kWriteExt:
      return Access{.write = true, .wide = true};
    case command::kWriteMultiple:
      return Access{.write = true, .multiple = true};
    case command::kWriteMultipleExt:
      return Access{.write = true, .wide = true, .multiple = true};
    case command::kWriteMultipleFuaExt:
      return Access{.write = true, .wide = true, .multiple = true, .through = true};
    case command::kWriteDma:
    case command::kWriteDmaOnce:
      return Access{.write = true, .dma = true};
    case command::kWriteDmaExt:
      return Access{.write = true, .wide = true, .dma = true};
    case command::kWriteDmaFuaExt:
      return Access{.write = true, .wide = true, .dma = true, .through = true};
    case command::kVerify:
    case command::kVerifyOnce:
      return Access{.verify = true};
    case command::kVerifyExt:
      return Access{.wide = true, .verify = true};
    default:
      return std::nullopt;
  }
}

IdeDrive::Next AtaDisk::execute(std::uint8_t code, IdeTask& task, Buffer& buffer) {
  if (const auto access = access_of(code)) return transfer(*access, task);
  if (code >= command::kRecalibrate && code < command::kRead) return done();
  switch (code) {
    case command::kSeek:
    case command::kStandbyNow:
    case command::kIdleNow:
    case command::kStandby:
    case command::kIdle:
    case command::kSleep:
      return done();
    case command::kCheckPower:
      registers.count[0] = 0xff;  // active
      return done();
    case command::kInitializeParameters:
      registers.heads = static_cast<std::uint8_t>((registers.device & 0xf) + 1);
      registers.sectors = registers.count[0];
      return registers.sectors != 0 ? done() : abort();
    case command::kSetMultiple: {
      const unsigned count = registers.count[0];
      if (count > kMostMultiple || (count & (count - 1)) != 0) return abort();
      registers.multiple = static_cast<std::uint8_t>(count);
      return done();
    }
    case command::kReadNativeMax:
    case command::kReadNativeMaxExt:
      put_address(sectors_ - 1, code == command::kReadNativeMaxExt);
      return done();
    case command::kFlush:
    case command::kFlushExt:
      if (medium().read_only()) return done();
      task.flush = 1;
      return Next::kTask;
    case command::kIdentify:
      return identify(task, buffer);
    case command::kSetFeatures:
      return set_features();
    case command::kSmart:
      return smart(task, buffer);
    case command::kPacket:
    case command::kIdentifyPacket:
    case command::kDeviceReset:
    default:
      return abort();
  }
}

/// The first sector; nothing for an address by cylinder that makes no sense.
std::optional<std::uint64_t> AtaDisk::sector(bool wide) const {
  const IdeRegisters& r = registers;
  const auto half = [&r](unsigned which) {
    return std::uint64_t{r.lba_high[which]} << 16 | std::uint64_t{r.lba_mid[which]} << 8 |
           r.lba_low[which];
  };
  const std::uint64_t low = half(0);
  if (wide) return half(1) << 24 | low;
  if ((r.device & device::kLba) != 0) return (r.device & 0xfull) << 24 | low;
  const std::uint64_t cylinder = low >> 8, head = r.device & 0xf;
  if (r.lba_low[0] == 0 || r.lba_low[0] > r.sectors || head >= r.heads) return std::nullopt;
  return (cylinder * r.heads + head) * r.sectors + r.lba_low[0] - 1;
}

std::uint64_t AtaDisk::sector_count(bool wide) const {
  const std::uint64_t count =
      registers.count[0] | (wide ? std::uint64_t{registers.count[1]} << 8 : 0);
  return count != 0 ? count : wide ? 0x10000 : 0x100;
}

void AtaDisk::put_address(std::uint64_t address, bool wide) {
  const std::uint64_t limit = wide ? (std::uint64_t{1} << 48) - 1 : (1 << 28) - 1;
  address = std::min(address, limit);
  const auto byte = [&](unsigned index) {
    return static_cast<std::uint8_t>(address >> (8 * index));
  };
  registers.lba_low[0] = byte(0);
  registers.lba_mid[0] = byte(1);
  registers.lba_high[0] = byte(2);
  if (wide) {
    registers.lba_low[1] = byte(3);
    registers.lba_mid[1] = byte(4);
    registers.lba_high[1] = byte(5);
  } else {
    registers.device = static_cast<std::uint8_t>((registers.device & 0xf0) | (byte(3) & 0x0f));
  }
}

IdeDrive::Next AtaDisk::transfer(const Access& access, IdeTask& task) {
  const auto first = sector(access.wide);
  const std::uint64_t count = sector_count(access.wide);
  if (!first || *first > sectors_ || count > sectors_ - *first) {
    abort();
    registers.error = error::kNotFound;
    return Next::kDone;
  }
  if ((access.multiple && registers.multiple == 0) || (access.write && medium().read_only()))
    return abort();
  if (access.verify) return done();
  task.to_guest = access.write ? 0 : 1;
  task.dma = access.dma ? 1 : 0;
  task.stored = 1;
  task.flush = access.write && (access.through || registers.write_through != 0) ? 1 : 0;
  task.position = *first * kSector;
  task.left = count * kSector;
  task.block = kSector * (access.multiple ? registers.multiple : 1);
  return Next::kTask;
}

bool AtaDisk::end_pio_in(const IdeTask&) {
  set_ready();
  return false;
}

void AtaDisk::finish(const IdeTask& task, bool failed) {
  set_ready();
  if (!failed) return;
  registers.status |= status::kError;
  registers.error = task.to_guest != 0 ? error::kUncorrectable : error::kAborted;
}

/// ATA/ATAPI-7 volume 1, 6.47.
AtaDisk::Next AtaDisk::set_features() {
  constexpr std::uint8_t kCacheOn = 0x02, kTransferMode = 0x03, kReadAheadOff = 0x55,
                         kCacheOff = 0x82, kReadAheadOn = 0xaa;
  switch (registers.features[0]) {
    case kTransferMode:
      registers.transfer_mode = registers.count[0];
      return done();
    case kCacheOn:
    case kCacheOff:
      registers.write_through = registers.features[0] == kCacheOff ? 1 : 0;
      return done();
    case kReadAheadOn:
    case kReadAheadOff:
      return done();
    default:
      return abort();
  }
}

/// As much as tools need to say that the disk is well. ATA/ATAPI-7 volume 1, 6.53.
AtaDisk::Next AtaDisk::smart(IdeTask& task, Buffer& buffer) {
  constexpr std::uint8_t kReadData = 0xd0, kReadThresholds = 0xd1, kAutosave = 0xd2, kEnable = 0xd8,
                         kDisable = 0xd9, kReturnStatus = 0xda;
  if (registers.lba_mid[0] != 0x4f || registers.lba_high[0] != 0xc2) return abort();
  switch (registers.features[0]) {
    case kReadData:
    case kReadThresholds:
      std::fill_n(buffer.begin(), kSector, std::uint8_t{0});
      buffer[0] = 1;               // the revision; no attributes follow
      buffer[kSector - 1] = 0xff;  // the checksum
      send_buffer(task, kSector, kSector);
      return Next::kTask;
    case kAutosave:
    case kEnable:
    case kDisable:
    case kReturnStatus:  // the key stays in the registers: no threshold is exceeded
      return done();
    default:
      return abort();
  }
}

AtaDisk::Next AtaDisk::identify(IdeTask& task, Buffer& buffer) {
  IdentifyData data;
  data.put_disk(sectors_, medium().preferred_block() / kSector, kMostMultiple);
  data.put_current(registers);
  data.put_names(serial_, "VIREO DISK");
  data.copy_to(buffer);
  send_buffer(task, kSector, kSector);
  return Next::kTask;
}

}  // namespace vireo::devices
