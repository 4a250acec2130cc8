#pragma once
#include <cstdint>

/// Numbers of 9P2000.L, as Linux has it (Documentation/filesystems/9p.rst, include/net/9p/9p.h).
namespace vireo::backends::ninep {

/// Requests; the answer has the next number.
enum class Kind : std::uint8_t {
  kError = 6,  // only as an answer, 7
  kStatfs = 8,
  kOpen = 12,
  kCreate = 14,
  kSymlink = 16,
  kMakeNode = 18,
  kReadLink = 22,
  kGetAttributes = 24,
  kSetAttributes = 26,
  kFindExtended = 30,  // Txattrwalk
  kMakeExtended = 32,  // Txattrcreate
  kReadFolder = 40,
  kSync = 50,
  kLock = 52,
  kGetLock = 54,
  kLink = 70,
  kMakeFolder = 72,
  kRenameAt = 74,
  kUnlinkAt = 76,
  kVersion = 100,
  kAttach = 104,
  kFlush = 108,
  kWalk = 110,
  kRead = 116,
  kWrite = 118,
  kClunk = 120,
  kRemove = 122,
};

/// What each message begins with: its size in bytes with the header, its kind and its tag.
inline constexpr std::size_t kHeaderBytes = 7;
/// An answer that only says what went wrong.
inline constexpr std::size_t kErrorBytes = kHeaderBytes + 4;
inline constexpr std::uint32_t kNoFid = ~std::uint32_t{0};

// What Tgetattr asks for and Rgetattr has, and what Tsetattr sets.
inline constexpr std::uint64_t kBasicAttributes = 0x7ff;
inline constexpr std::uint32_t kSetMode = 1 << 0, kSetUser = 1 << 1, kSetGroup = 1 << 2;
inline constexpr std::uint32_t kSetSize = 1 << 3, kSetAccessTime = 1 << 4, kSetWriteTime = 1 << 5;
inline constexpr std::uint32_t kAccessTimeGiven = 1 << 7, kWriteTimeGiven = 1 << 8;

// Txattrcreate: the attribute must not exist, or must.
inline constexpr std::uint32_t kMustBeNew = 1 << 0, kMustExist = 1 << 1;

// Locks.
inline constexpr std::uint8_t kReadLock = 0, kWriteLock = 1, kUnlock = 2;
inline constexpr std::uint8_t kLockDone = 0, kLockBlocked = 1, kLockError = 2;

inline constexpr std::uint32_t kRemoveFolder = 0x200;  ///< a flag of Tunlinkat

}  // namespace vireo::backends::ninep
