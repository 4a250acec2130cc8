#pragma once
#include <cstdint>

/// Numbers of Virtual I/O Device 1.2 that the device, its rings and its transports share.
namespace vireo::devices::virtio {

/// Device status. 2.1.
namespace status {
inline constexpr std::uint8_t kAcknowledge = 0x01;
inline constexpr std::uint8_t kDriver = 0x02;
inline constexpr std::uint8_t kDriverOk = 0x04;
inline constexpr std::uint8_t kFeaturesOk = 0x08;
inline constexpr std::uint8_t kNeedsReset = 0x40;
inline constexpr std::uint8_t kFailed = 0x80;
}  // namespace status

/// Feature bits that no kind of device has for itself. 6.
namespace feature {
inline constexpr std::uint64_t kAnyLayout = std::uint64_t{1} << 27;  // legacy
inline constexpr std::uint64_t kIndirect = std::uint64_t{1} << 28;
inline constexpr std::uint64_t kEventIndex = std::uint64_t{1} << 29;
inline constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kPacked = std::uint64_t{1} << 34;
}  // namespace feature

/// What a descriptor says of its buffer. 2.7.5, 2.8.
namespace descriptor {
inline constexpr std::uint16_t kNext = 0x0001;
inline constexpr std::uint16_t kWrite = 0x0002;
inline constexpr std::uint16_t kIndirect = 0x0004;
inline constexpr std::uint16_t kAvailable = 0x0080;  // packed rings
inline constexpr std::uint16_t kUsed = 0x8000;       // packed rings
inline constexpr std::uint64_t kBytes = 16;          // in either layout
}  // namespace descriptor

}  // namespace vireo::devices::virtio
