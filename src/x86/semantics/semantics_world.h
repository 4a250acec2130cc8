#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "support/fake_cpu_port.h"
#include "support/run_instruction.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {

/// A CPU with flat memory, for tests of what single instructions do. 64-bit code at level 0 unless
/// a test says otherwise.
struct SemanticsWorld {
  static constexpr std::uint64_t kCode = 0x1000, kData = 0x4000, kStack = 0x8000;

  FakeCpuPort port;
  CpuState state;

  SemanticsWorld() {
    state.cr0 |= cr0::kPe;
    state.msr.efer = efer::kLme | efer::kLma;
    state.segment.fill({0x10, 0xc093, 0xffffffff, 0});
    state.segment[kCs] = {0x08, 0xa09b, 0xffffffff, 0};
    state.rip = kCode;
    state.gpr = {};
    state.gpr[kRsp] = kStack;
  }
  /// 32- or 16-bit protected mode.
  void make_legacy(bool big) {
    state.msr.efer = 0;
    state.segment.fill({0x10, big ? 0xc093u : 0x93u, big ? 0xffffffff : 0xffff, 0});
    state.segment[kCs] = {0x08, big ? 0xc09bu : 0x9bu, big ? 0xffffffff : 0xffff, 0};
  }

  OrFault<> run(std::initializer_list<std::uint8_t> bytes) { return run_on(port, bytes); }
  OrFault<> run_on(CpuPort& on, const std::vector<std::uint8_t>& code) {
    return run_instruction(state, on, code, find);
  }
  /// Runs an instruction that must fault and change nothing, and answers with the fault.
  Fault fault_of(std::initializer_list<std::uint8_t> bytes) {
    const CpuState before = state;
    const auto memory = port.memory();
    const auto outcome = run(bytes);
    EXPECT_EQ(state, before);
    EXPECT_EQ(port.memory(), memory);
    if (outcome) ADD_FAILURE() << "no fault";
    return outcome ? Fault{Vector::kNMI} : outcome.error();
  }
  bool flag(std::uint64_t flag) const { return (state.rflags & flag) != 0; }

 private:
  static Handler find(const Insn& insn) {
    for (const auto rows :
         {integer_handlers(), bit_handlers(), decimal_handlers(), stack_handlers(),
          branch_handlers(), string_handlers(), miscellaneous_handlers()})
      for (const HandlerRow& row : rows)
        if (row.mnemonic == insn.mnemonic) return row.handler;
    return nullptr;
  }
};

/// Passes everything on; tests override what they are about.
class ForwardingPort : public CpuPort {
 public:
  explicit ForwardingPort(FakeCpuPort& memory) : memory_(memory) {}
  OrFault<> read(LinearAddr a, std::span<std::byte> data, Privilege p) override {
    return memory_.read(a, data, p);
  }
  OrFault<> write(LinearAddr a, std::span<const std::byte> data, Privilege p) override {
    return memory_.write(a, data, p);
  }
  OrFault<> check_write(LinearAddr a, std::size_t size, Privilege p) override {
    return memory_.check_write(a, size, p);
  }
  OrFault<bool> compare_exchange(LinearAddr a, std::span<std::byte> expected,
                                 std::span<const std::byte> desired, Privilege p) override {
    return memory_.compare_exchange(a, expected, desired, p);
  }
  std::uint64_t read_physical(PhysAddr a, std::size_t size) override {
    return memory_.read_physical(a, size);
  }
  void pio_read(std::uint16_t port, std::span<std::byte> d) override { memory_.pio_read(port, d); }
  void pio_write(std::uint16_t, std::span<const std::byte>) override {}
  std::uint64_t clock_tsc() override { return 0; }
  std::optional<std::uint64_t> read_platform_msr(std::uint32_t) override { return {}; }
  bool write_platform_msr(std::uint32_t, std::uint64_t) override { return false; }
  std::uint8_t read_cr8() override { return 0; }
  void write_cr8(std::uint8_t) override {}
  const CpuidModel& cpuid() const override { return memory_.cpuid(); }
  void flush_tlb(TlbFlush) override {}
  void invalidate_page(LinearAddr) override {}
  void mode_changed() override {}

 protected:
  FakeCpuPort& memory_;
};

/// Another processor: changes a word right before the first compare-and-exchange looks at it.
class RacingPort final : public ForwardingPort {
 public:
  RacingPort(FakeCpuPort& memory, std::uint64_t address, std::uint32_t word)
      : ForwardingPort(memory), address_(address), word_(word) {}
  OrFault<> write(LinearAddr a, std::span<const std::byte> data, Privilege p) override {
    ++writes;
    return memory_.write(a, data, p);
  }
  OrFault<bool> compare_exchange(LinearAddr a, std::span<std::byte> expected,
                                 std::span<const std::byte> desired, Privilege p) override {
    if (exchanges++ == 0) memory_.poke(address_, word_);
    return memory_.compare_exchange(a, expected, desired, p);
  }
  bool is_device(LinearAddr) override { return device; }

  bool device = false;
  unsigned exchanges = 0, writes = 0;

 private:
  std::uint64_t address_;
  std::uint32_t word_;
};

}  // namespace vireo::x86
