#pragma once
#include <cstdint>

/// Numbers of the PCI transport. Virtual I/O Device 1.2, 4.1.
namespace vireo::devices::virtio::pci {

inline constexpr std::uint16_t kVendor = 0x1af4;
inline constexpr std::uint16_t kFirstModernDevice = 0x1040;  ///< plus the kind's number

// Capabilities. 4.1.4.
inline constexpr std::uint8_t kVendorCapability = 0x09;
inline constexpr std::uint8_t kCommonCapability = 1, kNotifyCapability = 2, kIsrCapability = 3,
                              kConfigCapability = 4, kAccessCapability = 5;

/// The common configuration. 4.1.4.3.
namespace common {
inline constexpr std::uint64_t kDeviceFeatureSelect = 0, kDeviceFeature = 4;
inline constexpr std::uint64_t kDriverFeatureSelect = 8, kDriverFeature = 12;
inline constexpr std::uint64_t kConfigVector = 16, kQueueCount = 18;
inline constexpr std::uint64_t kStatus = 20, kGeneration = 21;
inline constexpr std::uint64_t kQueueSelect = 22, kQueueSize = 24, kQueueVector = 26;
inline constexpr std::uint64_t kQueueEnable = 28, kQueueNotifyOffset = 30;
inline constexpr std::uint64_t kDescriptors = 32, kDriverArea = 40, kDeviceArea = 48;
inline constexpr std::uint64_t kSize = 56;
}  // namespace common

/// The registers of before 1.0, in I/O space. 4.1.4.10. The last two are there while MSI-X is
/// enabled; the device configuration follows.
namespace legacy {
inline constexpr std::uint64_t kDeviceFeatures = 0, kDriverFeatures = 4;
inline constexpr std::uint64_t kQueuePage = 8, kQueueSize = 12, kQueueSelect = 14, kNotify = 16;
inline constexpr std::uint64_t kStatus = 18, kIsr = 19;
inline constexpr std::uint64_t kConfigVector = 20, kQueueVector = 22;
inline constexpr std::uint64_t kConfig = 20, kConfigBehindVectors = 24;
}  // namespace legacy

inline constexpr std::uint8_t kIsrQueue = 1, kIsrConfig = 2;

}  // namespace vireo::devices::virtio::pci
