#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/software/cpu.h"
#include "engine/software/soft_mmu.h"
#include "memory/guest_memory.h"

namespace vireo::engine::test {

inline std::span<const std::byte> bytes_of(const auto& data) {
  return std::as_bytes(std::span(&data, 1));
}

/// A clock that moves a little whenever it is read.
class StepClock final : public Clock {
 public:
  std::uint64_t now_ns() const override { return ++now_; }
  std::uint64_t tsc() const override { return ++now_; }
  std::uint64_t tsc_hz() const override { return 1'000'000'000; }
  std::int64_t epoch_at_start() const override { return 0; }

 private:
  mutable std::uint64_t now_ = 0;
};

/// A machine that writes down what the guest does to it. Device memory reads as its address: byte
/// n of it as the low byte of n.
class LoggingMachine final : public MachinePort {
 public:
  std::vector<std::string> log;
  std::optional<std::uint8_t> vector;  ///< the interrupt that is pending
  std::function<void(std::uint16_t)> on_out;
  std::function<void()> on_mmio_write;

  void mmio_read(PhysAddr address, std::span<std::byte> data) override {
    log.push_back(fmt::format("read{} {:#x}", data.size(), value(address)));
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<std::byte>(value(address) + i);
  }
  void mmio_write(PhysAddr address, std::span<const std::byte> data) override {
    std::uint64_t word = 0;
    std::memcpy(&word, data.data(), data.size());
    log.push_back(fmt::format("write{} {:#x} {:#x}", data.size(), value(address), word));
    if (on_mmio_write) on_mmio_write();
  }
  void pio_read(std::uint16_t, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0xff});
  }
  void pio_write(std::uint16_t port, std::span<const std::byte>) override {
    if (on_out) on_out(port);
  }
  std::optional<std::uint8_t> acknowledge_interrupt() override {
    return std::exchange(vector, std::nullopt);
  }
  bool interrupt_pending() override { return vector.has_value(); }
  std::uint8_t read_cr8() override { return 0; }
  void write_cr8(std::uint8_t) override {}
  std::optional<std::uint64_t> read_msr(std::uint32_t) override { return {}; }
  bool write_msr(std::uint32_t, std::uint64_t) override { return false; }
};

/// 4-level page tables built as they are needed, in memory from kTables on.
class PageTables {
 public:
  static constexpr std::uint64_t kTables = 0x100000;
  static constexpr std::uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kLarge = 0x80,
                                 kG = 0x100;

  explicit PageTables(memory::GuestMemory& memory) : memory_(memory) {}

  std::uint64_t root() const { return kTables; }
  void map(std::uint64_t linear, std::uint64_t physical, std::uint64_t flags = kP | kW) {
    put(entry(linear, 12), physical | flags);
  }
  void map_large(std::uint64_t linear, std::uint64_t physical, std::uint64_t flags = kP | kW) {
    put(entry(linear, 21), physical | flags | kLarge);
  }
  /// Where the entry is that maps a page of 1 << `shift` bytes.
  std::uint64_t entry(std::uint64_t linear, unsigned shift = 12) {
    std::uint64_t table = kTables;
    for (unsigned level = 39;; level -= 9) {
      const std::uint64_t at = table + ((linear >> level) & 511) * 8;
      if (level == shift) return at;
      if (get(at) == 0) put(at, (kTables + (used_++ << 12)) | kP | kW | kU);
      table = get(at) & ~0xfffull;
    }
  }
  std::uint64_t get(std::uint64_t at) const {
    std::uint64_t word = 0;
    memory_.read_value(PhysAddr{at}, word);
    return word;
  }
  void put(std::uint64_t at, std::uint64_t word) { memory_.write_value(PhysAddr{at}, word); }

 private:
  memory::GuestMemory& memory_;
  std::uint64_t used_ = 1;
};

constexpr std::uint64_t kRamSize = 0x1000000, kRom = 0x2000000, kDevice = 0x3000000;
constexpr std::uint64_t kDeviceBytes = 0x10000;  ///< of memory that a device has

inline std::unique_ptr<memory::GuestMemory> make_memory() {
  return memory::GuestMemory::create({{PhysAddr{0}, kRamSize, memory::RegionKind::kRam, "ram"},
                                      {PhysAddr{kRom}, 0x10000, memory::RegionKind::kRom, "rom"}},
                                     kDeviceBytes)
      .value();
}

/// 64-bit mode at level 0 with flat segments and paging on.
inline x86::CpuState long_mode(std::uint64_t cr3) {
  x86::CpuState state;
  state.cr0 = x86::cr0::kPe | x86::cr0::kPg | x86::cr0::kWp | x86::cr0::kNe;
  state.cr4 = x86::cr4::kPae | x86::cr4::kOsfxsr | x86::cr4::kDe;
  state.msr.efer = x86::efer::kLme | x86::efer::kLma;
  state.cr3 = cr3;
  state.segment.fill({0x10, 0xc093, 0xffffffff, 0});
  state.segment[x86::kCs] = {0x08, 0xa09b, 0xffffffff, 0};
  return state;
}

/// Counts the writes to watched pages that listeners are told of.
class WriteCounter final : public memory::PageListener {
 public:
  explicit WriteCounter(memory::GuestMemory& memory) : memory_(memory) {
    memory_.add_listener(*this);
  }
  ~WriteCounter() override { memory_.remove_listener(*this); }
  bool on_watch(PhysAddr) override { return false; }
  void on_watched_write(PhysAddr, std::size_t) override { ++writes; }
  bool on_move() override { return false; }
  unsigned writes = 0;

 private:
  memory::GuestMemory& memory_;
};

}  // namespace vireo::engine::test
