#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/ide/ide_drive.h"

/// What a CD-ROM drive says of itself and its disc: the data of commands, big endian. SPC-4, MMC-6.
namespace vireo::devices::cdrom {

using Bytes = std::vector<std::uint8_t>;

Bytes inquiry();
Bytes request_sense(const IdeRegisters& registers);
Bytes capacity(std::uint64_t sectors);
/// Nothing for a form of the table or a track that there is not. `format` 0 is the table of
/// contents, 1 the sessions, 2 the raw form.
std::optional<Bytes> table_of_contents(std::uint64_t sectors, bool in_minutes, unsigned format,
                                       unsigned first_track);
/// GET CONFIGURATION: the profiles and features. `type` 0: all from `first` on, 1: those in use,
/// 2: that one.
Bytes configuration(unsigned type, unsigned first);
/// GET EVENT STATUS NOTIFICATION, for a set of classes.
Bytes event_status(std::uint8_t classes);
/// Nothing for a page that there is not; 0x3f is all of them.
std::optional<Bytes> mode_pages(std::uint8_t page);
Bytes disc_information();
Bytes mechanism_status();

}  // namespace vireo::devices::cdrom
