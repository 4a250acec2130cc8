#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "x86/cpuid/cpuid_model.h"
#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// A CpuPort for tests of system instructions: a page of memory, a clock, platform MSRs, and a
/// record of what the engine was told.
class SystemPort final : public CpuPort {
 public:
  explicit SystemPort(std::string_view model, Vendor vendor = Vendor::kIntel)
      : model_(CpuidModel::parse(model, {2, 2'100'000'000, vendor}).value()) {}

  OrFault<> read(LinearAddr address, std::span<std::byte> data, Privilege) override {
    if (value(address) + data.size() > memory.size())
      return tl::unexpected(Fault{Vector::kPF, 0, value(address)});
    std::memcpy(data.data(), &memory[value(address)], data.size());
    return Unit{};
  }
  OrFault<> write(LinearAddr address, std::span<const std::byte> data, Privilege) override {
    if (value(address) + data.size() > memory.size())
      return tl::unexpected(Fault{Vector::kPF, 2, value(address)});
    std::memcpy(&memory[value(address)], data.data(), data.size());
    return Unit{};
  }
  OrFault<> check_write(LinearAddr, std::size_t, Privilege) override { return Unit{}; }
  OrFault<bool> compare_exchange(LinearAddr, std::span<std::byte>, std::span<const std::byte>,
                                 Privilege) override {
    return false;
  }
  std::uint64_t read_physical(PhysAddr address, std::size_t size) override {
    std::uint64_t result = 0;
    if (value(address) + size <= memory.size()) std::memcpy(&result, &memory[value(address)], size);
    return result;
  }
  void pio_read(std::uint16_t, std::span<std::byte>) override {}
  void pio_write(std::uint16_t, std::span<const std::byte>) override {}
  std::uint64_t clock_tsc() override { return clock; }
  std::optional<std::uint64_t> read_platform_msr(std::uint32_t index) override {
    const auto found = platform.find(index);
    return found == platform.end() ? std::nullopt : std::optional(found->second);
  }
  bool write_platform_msr(std::uint32_t index, std::uint64_t value) override {
    if (!platform.contains(index)) return false;
    platform[index] = value;
    return true;
  }
  std::uint8_t read_cr8() override { return cr8; }
  void write_cr8(std::uint8_t value) override { cr8 = value; }
  const CpuidModel& cpuid() const override { return model_; }
  void flush_tlb(TlbFlush kind) override { flushes.push_back(kind); }
  void invalidate_page(LinearAddr address) override { invalidated.push_back(value(address)); }
  void mode_changed() override { ++mode_changes; }

  /// Whether everything (`kAll`) or something was flushed since the last question.
  std::optional<TlbFlush> flushed() {
    std::optional<TlbFlush> most;
    for (const TlbFlush kind : flushes) most = std::max(most, std::optional(kind));
    flushes.clear();
    return most;
  }
  void put(std::uint64_t address, std::uint64_t word) { std::memcpy(&memory[address], &word, 8); }

  std::array<std::byte, 4096> memory{};
  std::uint64_t clock = 1000;
  std::map<std::uint32_t, std::uint64_t> platform;
  std::uint8_t cr8 = 0;
  std::vector<TlbFlush> flushes;
  std::vector<std::uint64_t> invalidated;
  unsigned mode_changes = 0;

 private:
  CpuidModel model_;
};

inline void set_cpl(CpuState& state, unsigned cpl) {
  for (const auto index : {kCs, kSs})
    state.segment[index].access = (state.segment[index].access & ~0x60u) | cpl << 5;
}
inline void enter_protected_mode(CpuState& state) { state.cr0 |= cr0::kPe; }
/// 64-bit code at privilege level 0 with paging on.
inline void enter_long_mode(CpuState& state) {
  state.cr0 |= cr0::kPe | cr0::kPg;
  state.cr4 |= cr4::kPae;
  state.msr.efer |= efer::kLme | efer::kLma;
  state.segment[kCs].access |= Segment::kLong;
}
inline Insn instruction(Mnemonic mnemonic, std::initializer_list<Operand> operands = {}) {
  Insn insn;
  insn.mnemonic = mnemonic;
  insn.address_width = 8;
  std::ranges::copy(operands, insn.operands.begin());
  insn.operand_count = static_cast<std::uint8_t>(operands.size());
  return insn;
}
constexpr Operand gpr_operand(unsigned number, std::uint16_t width = 8) {
  return {OperandKind::kGpr, static_cast<std::uint8_t>(number), width};
}

template <class T>
::testing::AssertionResult faults_with(const OrFault<T>& result, const Fault& expected) {
  if (result) return ::testing::AssertionFailure() << "there is no fault";
  if (result.error() == expected) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "vector " << static_cast<int>(result.error().vector) << " code "
         << result.error().error_code << " dr6 " << result.error().dr6;
}
inline constexpr Fault kGp0{Vector::kGP, 0}, kUd{Vector::kUD};

}  // namespace vireo::x86
