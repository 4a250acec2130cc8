#pragma once
#include <cstdint>
#include <optional>
#include <span>

#include "x86/cpuid/cpuid_model.h"
#include "x86/semantics/msr.h"

namespace vireo::x86 {

/// One access to one MSR.
struct MsrAccess {
  CpuState& state;
  CpuPort& port;
  std::uint32_t index;   ///< as in ECX
  std::uint32_t offset;  ///< from the first MSR of the row
  const CpuidModel& model() const { return port.cpuid(); }
};
using MsrRead = OrFault<std::uint64_t> (*)(const MsrAccess&);
using MsrWrite = OrFault<> (*)(const MsrAccess&, std::uint64_t value);

/// A run of MSRs that behave alike, and who has them.
struct MsrRow {
  std::uint32_t first;
  std::uint32_t count;
  MsrRead read;
  MsrWrite write;
  std::optional<Feature> feature = std::nullopt;
  std::optional<Vendor> vendor = std::nullopt;
};

/// The rows, by subject.
namespace msr_rows {
std::span<const MsrRow> system();       ///< SYSCALL, SYSENTER, bases, EFER
std::span<const MsrRow> time();         ///< TSC and its deadline, the local APIC, KVM's
std::span<const MsrRow> memory_type();  ///< MTRRs and PAT
std::span<const MsrRow> machine_check();
std::span<const MsrRow> identity();  ///< what the CPU is, can and has switched on
std::span<const MsrRow> amd();
}  // namespace msr_rows

// Parts that rows are made of.
template <std::uint64_t MsrState::*kField>
OrFault<std::uint64_t> msr_load(const MsrAccess& access) {
  return access.state.msr.*kField;
}
template <std::uint64_t MsrState::*kField>
OrFault<> msr_store(const MsrAccess& access, std::uint64_t value) {
  access.state.msr.*kField = value;
  return Unit{};
}
/// Stores; #GP(0) if a bit outside kBits is set.
template <std::uint64_t MsrState::*kField, std::uint64_t kBits>
OrFault<> msr_store_bits(const MsrAccess& access, std::uint64_t value) {
  if (value & ~kBits) return general_protection();
  return msr_store<kField>(access, value);
}
template <std::uint64_t kValue>
OrFault<std::uint64_t> msr_constant(const MsrAccess&) {
  return kValue;
}
inline OrFault<std::uint64_t> msr_unreadable(const MsrAccess&) { return general_protection(); }
inline OrFault<> msr_read_only(const MsrAccess&, std::uint64_t) { return general_protection(); }
inline OrFault<> msr_ignore_write(const MsrAccess&, std::uint64_t) { return Unit{}; }

}  // namespace vireo::x86
