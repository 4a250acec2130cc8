#pragma once
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "support/fake_cpu_port.h"
#include "support/run_instruction.h"
#include "x86/delivery/descriptor.h"
#include "x86/delivery/descriptor_query.h"
#include "x86/delivery/far_transfer.h"
#include "x86/delivery/interrupt_delivery.h"
#include "x86/delivery/iret.h"
#include "x86/delivery/syscall.h"
#include "x86/delivery/table_registers.h"
#include "x86/semantics/flags_transfer.h"
#include "x86/semantics/segment.h"

namespace vireo::x86 {

/// A CPU in protected mode with descriptor tables, stacks and a TSS, for tests of what changes
/// segments and privilege. Selectors are those without RPL.
struct DeliveryWorld {
  static constexpr std::uint64_t kGdt = 0x1000, kIdt = 0x2000, kTssBase = 0x3000, kLdtBase = 0x4000,
                                 kOtherTssBase = 0x5000;
  static constexpr std::uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x18, kData3 = 0x20,
                                 kCode1 = 0x28, kData1 = 0x30, kConforming0 = 0x38, kCode64 = 0x40,
                                 kCode64User = 0x48, kTss = 0x50, kOtherTss = 0x60, kLdt = 0x70,
                                 kCode16 = 0x80, kData16User = 0x88, kFree = 0x90;
  static constexpr std::uint64_t kStack0 = 0x8000, kStack1 = 0x9000, kStack3 = 0xa000,
                                 kIst1 = 0xb008, kHandler = 0x6000, kProgram = 0x7000;

  FakeCpuPort port;
  CpuState state;

  DeliveryWorld() {
    set_gdt(kCode0, 0x00cf9b000000ffff);
    set_gdt(kData0, 0x00cf93000000ffff);
    set_gdt(kCode3, 0x00cffb000000ffff);
    set_gdt(kData3, 0x00cff3000000ffff);
    set_gdt(kCode1, 0x00cfbb000000ffff);
    set_gdt(kData1, 0x00cfb3000000ffff);
    set_gdt(kConforming0, 0x00cf9f000000ffff);
    set_gdt(kCode64, 0x00af9b000000ffff);
    set_gdt(kCode64User, 0x00affb000000ffff);
    set_gdt(kTss, system(0x8b, kTssBase, 0x107));
    set_gdt(kOtherTss, system(0x89, kOtherTssBase, 0x67));
    set_gdt(kLdt, system(0x82, kLdtBase, 0xff));
    set_gdt(kCode16, 0x000f9b000000ffff);
    set_gdt(kData16User, 0x0000f3000000ffff);
    state.gdtr = {0xff, kGdt};
    state.idtr = {0xfff, kIdt};
    state.tr = {kTss, 0x8b, 0x107, kTssBase};
    state.ldtr = {0, 0x10082, 0, 0};
    state.cr0 |= cr0::kPe;
    state.rip = kProgram;
    state.gpr[kRsp] = kStack3;
    port.poke<std::uint32_t>(kTssBase + 4, kStack0);
    port.poke<std::uint16_t>(kTssBase + 8, kData0);
    port.poke<std::uint32_t>(kTssBase + 12, kStack1);
    port.poke<std::uint16_t>(kTssBase + 16, kData1 | 1);
  }

  static constexpr std::uint64_t system(std::uint8_t type, std::uint64_t base,
                                        std::uint32_t limit) {
    return limit | (base & 0xffffff) << 16 | std::uint64_t{type} << 40 | (base & 0xff000000) << 32;
  }
  /// Type byte: P, DPL, and 0xe for an interrupt gate, 0xf for a trap gate and so on.
  static constexpr std::uint64_t gate(std::uint8_t type, std::uint16_t selector,
                                      std::uint64_t offset, unsigned count = 0) {
    return (offset & 0xffff) | std::uint64_t{selector} << 16 | std::uint64_t{count} << 32 |
           std::uint64_t{type} << 40 | (offset & 0xffff0000) << 32;
  }
  void set_gdt(std::uint16_t selector, std::uint64_t low) {
    port.poke(kGdt + (selector & 0xfff8u), low);
  }
  std::uint64_t gdt(std::uint16_t selector) const {
    return port.peek<std::uint64_t>(kGdt + (selector & 0xfff8u));
  }
  void set_gate(std::uint8_t vector, std::uint64_t low) { port.poke(kIdt + vector * 8u, low); }
  void set_gate64(std::uint8_t vector, std::uint64_t low, std::uint64_t high = 0) {
    port.poke(kIdt + vector * 16u, low);
    port.poke(kIdt + vector * 16u + 8, high);
  }
  Segment from_gdt(std::uint16_t selector) const {
    return Descriptor{gdt(selector), 0, {}}.segment(selector);
  }

  /// 32-bit protected mode at privilege level 0, 1 or 3.
  void enter_protected(unsigned cpl) {
    const std::uint16_t code[] = {kCode0, kCode1 | 1, 0, kCode3 | 3};
    const std::uint16_t data[] = {kData0, kData1 | 1, 0, kData3 | 3};
    const std::uint64_t stack[] = {kStack0, kStack1, 0, kStack3};
    for (const SegmentIndex index : {kEs, kSs, kDs, kFs, kGs})
      state.segment[index] = from_gdt(data[cpl]);
    state.segment[kCs] = from_gdt(code[cpl]);
    state.gpr[kRsp] = stack[cpl];
  }
  void enter_virtual8086(unsigned iopl) {
    for (std::size_t i = 0; i < kSegmentCount; ++i)
      state.segment[i] = {static_cast<std::uint16_t>(0x100 * (i + 1)), 0xf3, 0xffff,
                          0x1000 * (i + 1)};
    state.rflags |= rflags::kVm | iopl << rflags::kIoplShift;
    state.gpr[kRsp] = 0x8000;  // at linear 0x3000 + 0x8000
    state.rip = 0x100;
  }
  /// IA-32e mode: 64-bit code, or 32-bit code in compatibility mode.
  void enter_long(unsigned cpl, bool code64 = true) {
    enter_protected(cpl);
    state.cr0 |= cr0::kPg;
    state.cr4 |= cr4::kPae;
    state.msr.efer |= efer::kLme | efer::kLma | efer::kSce;
    if (code64)
      state.segment[kCs] =
          from_gdt(static_cast<std::uint16_t>(cpl == 0 ? kCode64 : kCode64User | 3));
    port.poke<std::uint64_t>(kTssBase + 4, kStack0 + 8);
    port.poke<std::uint64_t>(kTssBase + 12, kStack1);
    port.poke<std::uint64_t>(kTssBase + 36, kIst1);
  }
  void enter_real() {
    state.cr0 &= ~cr0::kPe;
    for (std::size_t i = 0; i < kSegmentCount; ++i)
      state.segment[i] = {static_cast<std::uint16_t>(0x100 * (i + 1)), i == kCs ? 0x9bu : 0x93u,
                          0xffff, 0x1000 * (i + 1)};
    state.idtr = {0x3ff, 0};
    state.gpr[kRsp] = 0x8000;
    state.rip = 0x100;
  }

  static Handler find(const Insn& insn) {
    const bool segment = insn.operands[0].kind == OperandKind::kSegment ||
                         insn.operands[1].kind == OperandKind::kSegment;
    std::vector<std::span<const HandlerRow>> tables;
    if (insn.far)
      tables = {far_transfer_handlers()};
    else if (segment)
      tables = {segment_move_handlers()};
    else
      tables = {far_pointer_handlers(),      iret_handlers(),           syscall_handlers(),
                descriptor_query_handlers(), table_register_handlers(), flags_transfer_handlers()};
    for (const auto table : tables)
      for (const HandlerRow& row : table)
        if (row.mnemonic == insn.mnemonic) return row.handler;
    return nullptr;
  }
  OrFault<> run(std::initializer_list<std::uint8_t> bytes) {
    return run_instruction(state, port, bytes, find);
  }
  OrFault<> interrupt(std::uint8_t vector) {
    return deliver_event(state, port, Event::external_interrupt(vector));
  }

  void push_values(unsigned width, std::initializer_list<std::uint64_t> from_the_top) {
    std::uint64_t at = stack_top();
    for (const std::uint64_t value : from_the_top) {
      for (unsigned i = 0; i < width; ++i)
        port.poke(at + i, static_cast<std::uint8_t>(value >> (i * 8)));
      at += width;
    }
  }
  std::uint64_t stack_top() const {
    return state.code64() ? state.gpr[kRsp] : state.segment[kSs].base + state.gpr[kRsp];
  }
  template <class T>
  std::vector<std::uint64_t> stack(std::size_t count) const {
    std::vector<std::uint64_t> values;
    for (std::size_t i = 0; i < count; ++i)
      values.push_back(port.peek<T>(stack_top() + i * sizeof(T)));
    return values;
  }
};

/// The fault that the outcome is, or a vector that does not exist.
inline Fault fault_of(const OrFault<>& outcome) {
  return outcome ? Fault{static_cast<Vector>(0xff)} : outcome.error();
}

inline void PrintTo(const Fault& fault, std::ostream* out) {
  *out << "vector " << static_cast<int>(fault.vector) << " code " << fault.error_code << " address "
       << fault.address;
}

#define EXPECT_FAULT(outcome, ...) EXPECT_EQ(fault_of(outcome), (Fault{__VA_ARGS__}))
#define EXPECT_OK(outcome)                                                       \
  do {                                                                           \
    const auto ok_outcome_ = (outcome);                                          \
    EXPECT_TRUE(ok_outcome_) << ::testing::PrintToString(fault_of(ok_outcome_)); \
  } while (false)

}  // namespace vireo::x86
