#include "devices/ide/piix3_ide.h"

namespace vireo::devices {

Piix3Ide::Piix3Ide(const std::array<bus::IrqLine*, kChannels>& lines, memory::GuestMemory& memory)
    : PciDevice({.vendor = 0x8086,
                 .device = 0x7010,
                 .class_code = 0x010180,
                 .subsystem_vendor = 0x1af4,
                 .subsystem = 0x1100}) {
  constexpr unsigned kMasterBar = 4;
  define16(0x06, 0x0280);
  define_bar(kMasterBar, bus::BarKind::kIo, kChannels * IdeChannel::kMasterPorts, master_,
             "IDE bus master");
  // IDETIM: the timing of each channel; bit 15, which enables it, is set from the beginning, as the
  // channels here are always decoded.
  define16(0x40, 0x8000, 0xffff);
  define16(0x42, 0x8000, 0xffff);
  define8(0x44, 0x00, 0xff);  // SIDETIM
  for (unsigned i = 0; i < kChannels; ++i)
    channels_.at(i) = std::make_unique<IdeChannel>(*lines.at(i), memory);
}

Result<> Piix3Ide::attach(bus::AddressMap& pio) {
  for (unsigned i = 0; i < kChannels; ++i) {
    IdeChannel& one = channel(i);
    TRY(pio.add(kCommandPorts.at(i), IdeChannel::kCommandPorts, one.command_ports(), "IDE"));
    TRY(pio.add(kControlPorts.at(i), IdeChannel::kControlPorts, one.control_ports(),
                "IDE control"));
  }
  return {};
}

void Piix3Ide::read_master(std::uint64_t offset, std::span<std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::uint64_t at = offset + i;
    channel(at >= IdeChannel::kMasterPorts ? 1 : 0)
        .master_ports()
        .read(at % IdeChannel::kMasterPorts, data.subspan(i, 1));
  }
}

void Piix3Ide::write_master(std::uint64_t offset, std::span<const std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    const std::uint64_t at = offset + i;
    channel(at >= IdeChannel::kMasterPorts ? 1 : 0)
        .master_ports()
        .write(at % IdeChannel::kMasterPorts, data.subspan(i, 1));
  }
}

void Piix3Ide::on_reset() {
  for (const auto& each : channels_) each->reset();
}

}  // namespace vireo::devices
