#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "devices/firmware/fw_cfg.h"
#include "machine/machine_description.h"

namespace vireo::machine {

/// What firmware asks a machine for.
struct FirmwareFiles {
  FirmwareTables tables;
  /// Devices that it shall try to boot from, in this order, as Open Firmware names them.
  std::vector<std::string> boot_order;
  std::span<const std::byte> video_bios;  ///< of the display; empty: it has none
  /// Where firmware has put the power management registers by now.
  std::function<std::uint16_t()> pm_base;
};

/// Hands them over by the names under which SeaBIOS and OVMF look for them. While the machine is
/// built; once.
Result<> add_firmware_files(devices::FwCfg& fw_cfg, const FirmwareFiles& files);

}  // namespace vireo::machine
