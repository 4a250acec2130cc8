#include "devices/ide/atapi_cdrom.h"

#include <algorithm>
#include <utility>

#include "devices/ide/ata_registers.h"
#include "devices/ide/cdrom_answers.h"
#include "devices/ide/identify_data.h"

namespace vireo::devices {

namespace command = ata::command;
namespace reason = ata::reason;
namespace status = ata::status;
namespace {

constexpr std::uint32_t kPacketBytes = 12;
constexpr std::uint8_t kPacketDma = 0x01;  // in the features register

// Operation codes. MMC-6, table 245.
constexpr std::uint8_t kTestUnitReady = 0x00, kRequestSense = 0x03, kInquiry = 0x12,
                       kStartStop = 0x1b, kPreventRemoval = 0x1e, kReadCapacity = 0x25,
                       kRead10 = 0x28, kSeek = 0x2b, kReadToc = 0x43, kGetConfiguration = 0x46,
                       kGetEventStatus = 0x4a, kReadDiscInformation = 0x51, kModeSense = 0x5a,
                       kRead12 = 0xa8, kSetSpeed = 0xbb, kMechanismStatus = 0xbd, kReadCd = 0xbe;

// Sense keys and codes. SPC-4, tables 43 and 49.
constexpr std::uint8_t kMediumError = 3, kIllegalRequest = 5;
constexpr std::uint8_t kUnrecoveredRead = 0x11, kUnknownOperation = 0x20, kOutOfRange = 0x21,
                       kInvalidField = 0x24, kSavingUnsupported = 0x39;

}  // namespace

/// A command packet, copied out of the buffer.
struct AtapiCdrom::Packet {
  std::array<std::uint8_t, kPacketBytes> bytes{};
  std::uint32_t number(unsigned first, unsigned size) const {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i) value = value << 8 | bytes.at(first + i);
    return value;
  }
};

AtapiCdrom::AtapiCdrom(backends::BlockBackend& medium, std::string serial)
    : IdeDrive(medium), serial_(std::move(serial)), sectors_(medium.size() / kSector) {}

void AtapiCdrom::reset() {
  registers.error = 1;
  registers.status = 0;
  registers.count = {1, 0};
  registers.lba_low = {1, 0};
  registers.lba_mid = {0x14, 0};
  registers.lba_high = {0xeb, 0};
  registers.device = 0;
  registers.sense_key = registers.sense_code = registers.sense_qualifier = 0;
}

IdeDrive::Next AtapiCdrom::execute(std::uint8_t code, IdeTask& task, Buffer& buffer) {
  switch (code) {
    case command::kPacket:
      return begin_packet(task);
    case command::kIdentifyPacket: {
      IdentifyData data;
      data.put_cdrom();
      data.put_current(registers);
      data.put_names(serial_, "VIREO CD-ROM");
      data.copy_to(buffer);
      send_buffer(task, ata::kSector, ata::kSector);
      return Next::kTask;
    }
    case command::kDeviceReset: {
      const std::uint8_t device = registers.device;
      reset();
      registers.device = device & ata::device::kSecond;
      return Next::kSilent;
    }
    case command::kSetFeatures:
      if (registers.features[0] != 0x03) return abort();
      registers.transfer_mode = registers.count[0];
      set_ready();
      return Next::kDone;
    case command::kStandbyNow:
    case command::kIdleNow:
    case command::kSleep:
    case command::kCheckPower:
      if (code == command::kCheckPower) registers.count[0] = 0xff;
      set_ready();
      return Next::kDone;
    case command::kIdentify:
    case command::kRead: {  // both say what this is, and abort
      const Next next = abort();
      registers.count[0] = registers.lba_low[0] = 1;
      registers.lba_mid[0] = 0x14;
      registers.lba_high[0] = 0xeb;
      return next;
    }
    default:
      return abort();
  }
}

AtapiCdrom::Next AtapiCdrom::begin_packet(IdeTask& task) {
  task.packet = 1;
  task.left = kPacketBytes;
  task.block = kPacketBytes;
  return Next::kTask;
}

/// How many bytes the host wants at a time, in the registers that hold an address otherwise.
std::uint32_t AtapiCdrom::block_limit() const {
  constexpr std::uint32_t kMost = 0xfffe;
  const auto limit =
      static_cast<std::uint32_t>(registers.lba_mid[0] | registers.lba_high[0] << 8) & kMost;
  return limit != 0 ? limit : kMost;
}

void AtapiCdrom::begin_block(const IdeTask& task, std::uint32_t bytes) {
  if (task.packet != 0) {
    registers.count[0] = reason::kCommand;
    return;
  }
  if (task.answer == 0) return;  // IDENTIFY PACKET DEVICE is an ordinary command
  registers.count[0] = reason::kToHost;
  registers.lba_mid[0] = static_cast<std::uint8_t>(bytes);
  registers.lba_high[0] = static_cast<std::uint8_t>(bytes >> 8);
}

bool AtapiCdrom::end_pio_in(const IdeTask& task) {
  if (task.answer != 0) {
    good();
  } else {
    set_ready();
  }
  return task.answer != 0;
}

void AtapiCdrom::finish(const IdeTask&, bool failed) {
  if (failed)
    check(kMediumError, kUnrecoveredRead);
  else
    good();
}

AtapiCdrom::Next AtapiCdrom::good() {
  set_ready();
  registers.count[0] = reason::kToHost | reason::kCommand;
  registers.sense_key = registers.sense_code = registers.sense_qualifier = 0;
  return Next::kDone;
}

AtapiCdrom::Next AtapiCdrom::check(std::uint8_t key, std::uint8_t code, std::uint8_t qualifier) {
  registers.sense_key = key;
  registers.sense_code = code;
  registers.sense_qualifier = qualifier;
  registers.error = static_cast<std::uint8_t>(key << 4);
  registers.status = status::kReady | status::kSeekComplete | status::kError;
  registers.count[0] = reason::kToHost | reason::kCommand;
  return Next::kDone;
}

AtapiCdrom::Next AtapiCdrom::refuse_field() { return check(kIllegalRequest, kInvalidField); }

AtapiCdrom::Next AtapiCdrom::answer(IdeTask& task, std::uint32_t bytes, std::uint32_t room) {
  bytes = std::min(bytes, room);
  if (bytes == 0) return good();
  send_buffer(task, bytes, block_limit());
  task.answer = 1;
  task.dma = registers.features[0] & kPacketDma;
  return Next::kTask;
}

AtapiCdrom::Next AtapiCdrom::read(IdeTask& task, std::uint64_t first, std::uint64_t count) {
  if (first > sectors_ || count > sectors_ - first) return check(kIllegalRequest, kOutOfRange);
  if (count == 0) return good();
  task.to_guest = 1;
  task.stored = task.answer = 1;
  task.dma = registers.features[0] & kPacketDma;
  task.position = first * kSector;
  task.left = count * kSector;
  task.block = block_limit();
  return Next::kTask;
}

/// READ CD, for the user data of sectors of a data disc. MMC-6, 6.16.
AtapiCdrom::Next AtapiCdrom::read_raw(const Packet& packet, IdeTask& task) {
  constexpr std::uint8_t kUserData = 0x10, kFields = 0xf8;
  const std::uint8_t fields = packet.bytes[9] & kFields;
  if (fields == 0) return good();
  if (fields != kUserData || (packet.bytes[10] & 7) != 0) return refuse_field();
  return read(task, packet.number(2, 4), packet.number(6, 3));
}

IdeDrive::Next AtapiCdrom::execute_packet(IdeTask& task, Buffer& buffer) {
  Packet packet;
  std::copy_n(buffer.begin(), kPacketBytes, packet.bytes.begin());
  const auto send = [&](const cdrom::Bytes& bytes, std::uint32_t room) {
    std::ranges::copy(bytes, buffer.begin());
    return answer(task, static_cast<std::uint32_t>(bytes.size()), room);
  };
  switch (packet.bytes[0]) {
    case kTestUnitReady:
    case kStartStop:
    case kPreventRemoval:
    case kSeek:
    case kSetSpeed:
      return good();
    case kRequestSense:
      return send(cdrom::request_sense(registers), packet.bytes[4]);
    case kInquiry:
      if ((packet.bytes[1] & 1) != 0) return refuse_field();  // no pages of vital product data
      return send(cdrom::inquiry(), packet.number(3, 2));
    case kReadCapacity:
      return send(cdrom::capacity(sectors_), 8);
    case kRead10:
      return read(task, packet.number(2, 4), packet.number(7, 2));
    case kRead12:
      return read(task, packet.number(2, 4), packet.number(6, 4));
    case kReadCd:
      return read_raw(packet, task);
    case kReadToc: {
      const unsigned format =
          (packet.bytes[2] & 0xf) != 0 ? packet.bytes[2] & 0xf : packet.bytes[9] >> 6;
      const auto table =
          cdrom::table_of_contents(sectors_, (packet.bytes[1] & 2) != 0, format, packet.bytes[6]);
      return table ? send(*table, packet.number(7, 2)) : refuse_field();
    }
    case kGetConfiguration:
      return send(cdrom::configuration(packet.bytes[1] & 3, packet.number(2, 2)),
                  packet.number(7, 2));
    case kGetEventStatus:
      if ((packet.bytes[1] & 1) == 0) return refuse_field();  // only when asked
      return send(cdrom::event_status(packet.bytes[4]), packet.number(7, 2));
    case kReadDiscInformation:
      return send(cdrom::disc_information(), packet.number(7, 2));
    case kModeSense: {
      constexpr unsigned kSaved = 3;
      if (packet.bytes[2] >> 6 == kSaved) return check(kIllegalRequest, kSavingUnsupported);
      const auto pages = cdrom::mode_pages(packet.bytes[2] & 0x3f);
      return pages ? send(*pages, packet.number(7, 2)) : refuse_field();
    }
    case kMechanismStatus:
      return send(cdrom::mechanism_status(), packet.number(8, 2));
    default:
      return check(kIllegalRequest, kUnknownOperation);
  }
}

}  // namespace vireo::devices
