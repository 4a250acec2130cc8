#pragma once
#include <cstdint>

/// ATA/ATAPI-7 (INCITS 397), volumes 1 and 2: the bits of the task file, and commands.
namespace vireo::devices::ata {

/// The status register. 6.2.
namespace status {
inline constexpr std::uint8_t kError = 0x01, kDataRequest = 0x08, kSeekComplete = 0x10,
                              kFault = 0x20, kReady = 0x40, kBusy = 0x80;
}
/// The error register.
namespace error {
inline constexpr std::uint8_t kAborted = 0x04, kNotFound = 0x10, kUncorrectable = 0x40;
}
/// The device register.
namespace device {
inline constexpr std::uint8_t kSecond = 0x10, kLba = 0x40, kObsolete = 0xa0;
}
/// The device control register.
namespace control {
inline constexpr std::uint8_t kNoInterrupt = 0x02, kReset = 0x04, kHighOrder = 0x80;
}
/// What a packet device says in the sector count register. Volume 2, 4.8.
namespace reason {
inline constexpr std::uint8_t kCommand = 0x01, kToHost = 0x02;
}

namespace command {
inline constexpr std::uint8_t kDeviceReset = 0x08, kRecalibrate = 0x10, kRead = 0x20,
                              kReadOnce = 0x21, kReadExt = 0x24, kReadDmaExt = 0x25,
                              kReadNativeMaxExt = 0x27, kReadMultipleExt = 0x29, kWrite = 0x30,
                              kWriteOnce = 0x31, kWriteExt = 0x34, kWriteDmaExt = 0x35,
                              kWriteMultipleExt = 0x39, kWriteDmaFuaExt = 0x3d, kVerify = 0x40,
                              kVerifyOnce = 0x41, kVerifyExt = 0x42, kSeek = 0x70, kDiagnose = 0x90,
                              kInitializeParameters = 0x91, kPacket = 0xa0, kIdentifyPacket = 0xa1,
                              kSmart = 0xb0, kReadMultiple = 0xc4, kWriteMultiple = 0xc5,
                              kSetMultiple = 0xc6, kReadDma = 0xc8, kReadDmaOnce = 0xc9,
                              kWriteDma = 0xca, kWriteDmaOnce = 0xcb, kWriteMultipleFuaExt = 0xce,
                              kStandbyNow = 0xe0, kIdleNow = 0xe1, kStandby = 0xe2, kIdle = 0xe3,
                              kCheckPower = 0xe5, kSleep = 0xe6, kFlush = 0xe7, kFlushExt = 0xea,
                              kIdentify = 0xec, kSetFeatures = 0xef, kReadNativeMax = 0xf8;
}

inline constexpr std::uint32_t kSector = 512;

}  // namespace vireo::devices::ata
