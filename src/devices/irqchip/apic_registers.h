#pragma once
#include <cstdint>

/// The local APIC's register map: an index is the MMIO offset / 16 and the x2APIC MSR - 0x800.
/// SDM vol. 3A, tables 10-1 and 10-6.
namespace vireo::devices::apic {

enum Register : unsigned {
  kId = 0x02,
  kVersion = 0x03,
  kTpr = 0x08,
  kApr = 0x09,
  kPpr = 0x0a,
  kEoi = 0x0b,
  kRemoteRead = 0x0c,
  kLdr = 0x0d,
  kDfr = 0x0e,
  kSvr = 0x0f,
  kIsr = 0x10,  // 8 registers
  kTmr = 0x18,  // 8 registers
  kIrr = 0x20,  // 8 registers
  kEsr = 0x28,
  kIcr = 0x30,
  kIcrHigh = 0x31,
  kLvtTimer = 0x32,
  kLvtThermal = 0x33,
  kLvtPerf = 0x34,
  kLvtLint0 = 0x35,
  kLvtLint1 = 0x36,
  kLvtError = 0x37,
  kInitialCount = 0x38,
  kCurrentCount = 0x39,
  kDivide = 0x3e,
  kSelfIpi = 0x3f,
};

inline constexpr unsigned kLvtCount = 6;
/// xAPIC, six LVT entries, EOI broadcasts can be suppressed.
inline constexpr std::uint32_t kVersionValue = 0x14 | (kLvtCount - 1) << 16 | 1U << 24;

// IA32_APIC_BASE.
inline constexpr std::uint64_t kBaseBsp = 1U << 8, kBaseX2apic = 1U << 10, kBaseEnable = 1U << 11;

// Spurious-interrupt vector register.
inline constexpr std::uint32_t kSvrEnable = 1U << 8, kSvrSuppressEoi = 1U << 12;
inline constexpr std::uint32_t kSvrWritable = 0x13ff;

// Local vector table.
inline constexpr std::uint32_t kLvtStatus = 1U << 12, kLvtRemoteIrr = 1U << 14;
inline constexpr std::uint32_t kLvtLevel = 1U << 15, kLvtMasked = 1U << 16;
inline constexpr unsigned kLvtTimerModeShift = 17;

// Error status register.
inline constexpr std::uint32_t kErrorSendVector = 1U << 5, kErrorReceiveVector = 1U << 6;
inline constexpr std::uint32_t kErrorRegister = 1U << 7;

// Interrupt command register.
inline constexpr std::uint32_t kIcrLogical = 1U << 11, kIcrAssert = 1U << 14;
inline constexpr std::uint32_t kIcrLevel = 1U << 15;
inline constexpr std::uint32_t kIcrWritable = 0xccfff, kIcrStatus = 1U << 12;

inline constexpr std::uint32_t kDivideWritable = 0x0b;

// MSRs.
inline constexpr std::uint32_t kMsrApicBase = 0x1b, kMsrTscDeadline = 0x6e0;
inline constexpr std::uint32_t kMsrX2apicFirst = 0x800, kMsrX2apicLast = 0x83f;

constexpr bool is_vector_set(unsigned reg) { return reg >= kIsr && reg < kEsr; }
constexpr bool is_lvt(unsigned reg) { return reg >= kLvtTimer && reg <= kLvtError; }
constexpr bool is_timer(unsigned reg) {
  return reg == kLvtTimer || reg == kInitialCount || reg == kDivide;
}

/// Registers at an offset of the page; others are "illegal register addresses".
constexpr bool exists_in_xapic(unsigned reg) {
  switch (reg) {
    case kId:
    case kVersion:
    case kTpr:
    case kApr:
    case kPpr:
    case kEoi:
    case kRemoteRead:
    case kLdr:
    case kDfr:
    case kSvr:
    case kEsr:
    case kIcr:
    case kIcrHigh:
    case kInitialCount:
    case kCurrentCount:
    case kDivide:
      return true;
    default:
      return is_vector_set(reg) || is_lvt(reg);
  }
}

constexpr bool readable_in_x2apic(unsigned reg) {
  switch (reg) {
    case kApr:
    case kEoi:
    case kRemoteRead:
    case kDfr:
    case kIcrHigh:
      return false;
    default:
      return exists_in_xapic(reg);
  }
}

}  // namespace vireo::devices::apic
