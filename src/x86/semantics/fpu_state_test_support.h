#pragma once
#include <array>
#include <cstring>
#include <vector>

#include "x86/cpuid/host_features.h"
#include "x86/semantics/handler.h"

namespace vireo::x86::test {

/// Other vendors' silicon keeps the x87's last instruction and operand only for an exception that
/// is pending, and has another mask of MXCSR.
inline void keep_what_all_silicon_keeps(FpuState& fpu) {
  if (host_vendor() == Vendor::kIntel) return;
  fpu.opcode = 0;
  fpu.instruction_pointer = fpu.data_pointer = 0;
  fpu.mxcsr_mask = 0;
}

/// Linear memory of a few pages at kBase, each of which can be absent or read-only. All else
/// faults.
class PagedPort final : public CpuPort {
 public:
  static constexpr std::uint64_t kBase = 0x10000, kPages = 4;
  enum class Page { kWritable, kReadOnly, kAbsent };

  std::vector<std::byte> bytes = std::vector<std::byte>(kPages * kPageSize);
  std::array<Page, kPages> pages{};
  int mode_changes = 0;

  std::byte* at(std::uint64_t address) { return &bytes[address - kBase]; }

  using CpuPort::read;
  OrFault<> read(LinearAddr address, std::span<std::byte> data, Privilege) override {
    TRY(check(value(address), data.size(), false));
    std::memcpy(data.data(), at(value(address)), data.size());
    return Unit{};
  }
  OrFault<> write(LinearAddr address, std::span<const std::byte> data, Privilege) override {
    TRY(check(value(address), data.size(), true));
    std::memcpy(at(value(address)), data.data(), data.size());
    return Unit{};
  }
  OrFault<> check_write(LinearAddr address, std::size_t size, Privilege) override {
    return check(value(address), size, true);
  }
  OrFault<bool> compare_exchange(LinearAddr, std::span<std::byte>, std::span<const std::byte>,
                                 Privilege) override {
    return undefined_opcode();
  }
  std::uint64_t read_physical(PhysAddr, std::size_t) override { return 0; }
  void pio_read(std::uint16_t, std::span<std::byte>) override {}
  void pio_write(std::uint16_t, std::span<const std::byte>) override {}
  std::uint64_t clock_tsc() override { return 0; }
  std::optional<std::uint64_t> read_platform_msr(std::uint32_t) override { return std::nullopt; }
  bool write_platform_msr(std::uint32_t, std::uint64_t) override { return false; }
  std::uint8_t read_cr8() override { return 0; }
  void write_cr8(std::uint8_t) override {}
  const CpuidModel& cpuid() const override { return cpuid_; }
  void flush_tlb(TlbFlush) override {}
  void invalidate_page(LinearAddr) override {}
  void mode_changed() override { ++mode_changes; }

 private:
  OrFault<> check(std::uint64_t address, std::size_t size, bool write) const {
    for (std::uint64_t i = address; i < address + size; ++i) {
      const bool inside = i >= kBase && i < kBase + kPages * kPageSize;
      const Page page = inside ? pages[(i - kBase) / kPageSize] : Page::kAbsent;
      if (page == Page::kWritable || (page == Page::kReadOnly && !write)) continue;
      const std::uint32_t code = (page == Page::kReadOnly ? 1u : 0u) | (write ? 2u : 0u);
      return tl::unexpected(Fault{Vector::kPF, code, i});
    }
    return Unit{};
  }

  CpuidModel cpuid_ = *CpuidModel::parse("host", {});
};

/// 64-bit code with every unit enabled.
inline CpuState state64() {
  CpuState state;
  state.cr0 = cr0::kPe | cr0::kPg | cr0::kNe | cr0::kEt;
  state.cr4 = cr4::kPae | cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kOsxsave | cr4::kPke;
  state.msr.efer = efer::kLme | efer::kLma | efer::kSce | efer::kNxe;
  state.xcr0 = xcr0::kX87 | xcr0::kSse | xcr0::kAvx;
  for (Segment& segment : state.segment) segment = {0x10, 0xc093, 0xffffffff, 0};
  state.segment[kCs] = {0x8, 0xa09b, 0xffffffff, 0};
  state.rip = 0x401000;
  return state;
}

/// Protected mode with flat 32-bit segments.
inline CpuState state32() {
  CpuState state = state64();
  state.msr.efer = 0;
  state.segment[kCs].access = 0xc09b;
  return state;
}

}  // namespace vireo::x86::test
