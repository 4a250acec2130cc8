#pragma once
#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "x86/cpu_port.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {

/// A CpuPort over a flat array of bytes, for tests of semantics: linear address = physical address.
/// Accesses behind the array and to pages that a test has taken away are page faults.
class FakeCpuPort final : public CpuPort {
 public:
  explicit FakeCpuPort(std::size_t size = 0x40000) : memory_(size) {}

  using CpuPort::read;

  OrFault<> read(LinearAddr address, std::span<std::byte> data, Privilege privilege) override {
    if (auto page = faulting_page(address, data.size(), false))
      return page_fault(*page, false, privilege);
    std::memcpy(data.data(), &memory_[value(address)], data.size());
    ++reads;
    return Unit{};
  }
  OrFault<> write(LinearAddr address, std::span<const std::byte> data,
                  Privilege privilege) override {
    if (auto page = faulting_page(address, data.size(), true))
      return page_fault(*page, true, privilege);
    std::memcpy(&memory_[value(address)], data.data(), data.size());
    ++writes;
    return Unit{};
  }
  OrFault<> check_write(LinearAddr address, std::size_t size, Privilege privilege) override {
    if (auto page = faulting_page(address, size, true)) return page_fault(*page, true, privilege);
    return Unit{};
  }
  OrFault<bool> compare_exchange(LinearAddr address, std::span<std::byte> expected,
                                 std::span<const std::byte> desired, Privilege privilege) override {
    if (auto page = faulting_page(address, expected.size(), true))
      return page_fault(*page, true, privilege);
    std::byte* target = &memory_[value(address)];
    if (std::memcmp(target, expected.data(), expected.size()) != 0) {
      std::memcpy(expected.data(), target, expected.size());
      return false;
    }
    std::memcpy(target, desired.data(), desired.size());
    return true;
  }

  /// Null unless a test sets `directly`.
  std::byte* direct(LinearAddr address, std::size_t size, bool write) override {
    const bool one_page = (value(address) & kPageMask) + size <= kPageSize;
    if (!directly || !one_page || faulting_page(address, size, write)) return nullptr;
    return &memory_[value(address)];
  }
  void set_ferr(bool asserted) override { ferr_levels.push_back(asserted); }
  std::vector<bool> ferr_levels;

  std::uint64_t read_physical(PhysAddr address, std::size_t size) override {
    std::uint64_t result = ~0ull;
    if (value(address) + size <= memory_.size())
      std::memcpy(&result, &memory_[value(address)], size);
    return result;
  }
  void pio_read(std::uint16_t, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0xff});
  }
  void pio_write(std::uint16_t, std::span<const std::byte>) override {}
  std::uint64_t clock_tsc() override { return 0; }
  std::optional<std::uint64_t> read_platform_msr(std::uint32_t) override { return std::nullopt; }
  bool write_platform_msr(std::uint32_t, std::uint64_t) override { return false; }
  std::uint8_t read_cr8() override { return 0; }
  void write_cr8(std::uint8_t) override {}
  const CpuidModel& cpuid() const override { return model_; }
  void flush_tlb(TlbFlush kind) override { flushes.push_back(kind); }
  void invalidate_page(LinearAddr) override {}
  void mode_changed() override { ++mode_changes; }

  template <class T>
  T peek(std::uint64_t address) const {
    T result;
    std::memcpy(&result, &memory_.at(address), sizeof(T));
    return result;
  }
  template <class T>
  void poke(std::uint64_t address, T data) {
    std::memcpy(&memory_.at(address + sizeof(T) - 1) - (sizeof(T) - 1), &data, sizeof(T));
  }
  /// From now on every access, or every write, to the 4 KiB page that holds the address faults.
  void take_away(std::uint64_t address) { absent_.insert(address >> kPageShift); }
  void write_protect(std::uint64_t address) { read_only_.insert(address >> kPageShift); }

  const std::vector<std::byte>& memory() const { return memory_; }

  /// The machine is an AMD one from now on.
  void make_amd() {
    model_ =
        CpuidModel::parse("baseline", {.cpus = 1, .tsc_hz = 1, .vendor = Vendor::kAmd}).value();
  }

  /// Whether accesses of Privilege::kCurrent count as user mode in error codes.
  bool user = false;
  bool directly = false;
  unsigned reads = 0, writes = 0, mode_changes = 0;
  std::vector<TlbFlush> flushes;

 private:
  /// The first byte of the access that cannot be reached.
  std::optional<std::uint64_t> faulting_page(LinearAddr address, std::size_t size,
                                             bool write) const {
    for (std::uint64_t at = value(address), left = size; left > 0;) {
      const std::uint64_t page = at >> kPageShift;
      if (at >= memory_.size() || absent_.contains(page) || (write && read_only_.contains(page)))
        return at;
      const std::uint64_t step = std::min(left, kPageSize - (at & kPageMask));
      at += step;
      left -= step;
    }
    return std::nullopt;
  }
  tl::unexpected<Fault> page_fault(std::uint64_t address, bool write, Privilege privilege) const {
    const bool present = read_only_.contains(address >> kPageShift);
    std::uint32_t code = (present ? 1u : 0u) | (write ? 2u : 0u);
    if (privilege == Privilege::kCurrent && user) code |= 4;
    return tl::unexpected(Fault{Vector::kPF, code, address});
  }

  std::vector<std::byte> memory_;
  std::set<std::uint64_t> absent_, read_only_;
  CpuidModel model_;
};

}  // namespace vireo::x86
