#include "engine/software/host_stub_emitter.h"

#include <xbyak/xbyak.h>

#include <cstddef>

namespace vireo::engine {
namespace {

using Width = StubPlan::Width;

/// What the monitor's own code runs with.
constexpr std::uint32_t kHostMxcsr = 0x1f80;

constexpr std::size_t kRflags = offsetof(x86::CpuState, rflags);
constexpr std::size_t kFpu = offsetof(x86::CpuState, fpu);
constexpr std::size_t kMxcsr = kFpu + offsetof(x86::FpuState, mxcsr);
constexpr std::size_t kStatus = kFpu + offsetof(x86::FpuState, status);
constexpr std::size_t kControl = kFpu + offsetof(x86::FpuState, control);

std::size_t gpr_offset(unsigned n) { return offsetof(x86::CpuState, gpr) + n * 8; }
std::size_t low_offset(unsigned n) { return kFpu + offsetof(x86::FpuState, xmm) + n * 16; }
std::size_t high_offset(unsigned n) { return kFpu + offsetof(x86::FpuState, ymm_high) + n * 16; }

/// RDI is the state, RSI the operand; RAX, RCX and RDX are the instruction's general registers; R8
/// is scratch. Every vector register is the caller's to save.
class Emitter : Xbyak::CodeGenerator {
 public:
  Emitter(const StubPlan& plan, std::array<std::uint8_t, kMaxStubSize>& buffer)
      : CodeGenerator(buffer.size(), buffer.data()), plan_(plan) {}

  std::span<const std::uint8_t> emit() {
    if (plan_.flags_in) load_flags();
    if (uses_mxcsr()) ldmxcsr(ptr[rdi + kMxcsr]);
    load_registers();
    for (const std::uint8_t byte : plan_.code()) db(byte);
    store_registers();  // touches no flags
    if (uses_mxcsr()) store_mxcsr();
    if (plan_.flags_out) store_flags();
    if (uses_x87()) store_x87_words();
    if (plan_.uses_ymm) vzeroupper();
    ret();
    return {getCode(), getSize()};
  }

 private:
  bool uses_mxcsr() const {
    return plan_.stub.floating_point && plan_.stub.unit != VectorUnit::kX87;
  }
  bool uses_x87() const {
    return plan_.stub.unit == VectorUnit::kX87 || plan_.stub.unit == VectorUnit::kMmx;
  }

  void load_flags() {
    mov(eax, ptr[rdi + kRflags]);
    and_(eax, static_cast<std::uint32_t>(x86::rflags::kArithmetic));
    push(rax);
    popfq();
  }

  void store_flags() {
    constexpr auto arithmetic = static_cast<std::uint32_t>(x86::rflags::kArithmetic);
    pushfq();
    pop(rax);
    mov(rcx, ptr[rdi + kRflags]);
    and_(eax, arithmetic);
    and_(rcx, ~arithmetic);  // sign-extended
    or_(rcx, rax);
    mov(ptr[rdi + kRflags], rcx);
  }

  /// Legacy and VEX encodings must not be mixed while upper halves are in use: that is slow.
  void load_low(int number) {
    const auto source = ptr[rdi + low_offset(static_cast<unsigned>(number))];
    if (plan_.stub.unit == VectorUnit::kAvx)
      vmovups(Xbyak::Xmm(number), source);
    else
      movups(Xbyak::Xmm(number), source);
  }
  void store_low(int number) {
    const auto target = ptr[rdi + low_offset(static_cast<unsigned>(number))];
    if (plan_.stub.unit == VectorUnit::kAvx)
      vmovups(target, Xbyak::Xmm(number));
    else
      movups(target, Xbyak::Xmm(number));
  }

  void load_registers() {
    for (unsigned n = 0; n < 16; ++n) {
      const Xbyak::Ymm ymm(static_cast<int>(n));
      if (plan_.loads[n] != Width::kNone) load_low(ymm.getIdx());
      if (plan_.loads[n] == Width::kYmm) vinsertf128(ymm, ymm, ptr[rdi + high_offset(n)], 1);
    }
    for (const auto& use : gprs())
      if (use.read) mov(Xbyak::Reg64(use.host), ptr[rdi + gpr_offset(use.guest)]);
  }

  void store_registers() {
    for (unsigned n = 0; n < 16; ++n) {
      const Xbyak::Ymm ymm(static_cast<int>(n));
      if (plan_.stores[n] != Width::kNone) store_low(ymm.getIdx());
      if (plan_.stores[n] == Width::kYmm) vextractf128(ptr[rdi + high_offset(n)], ymm, 1);
      if (plan_.stores[n] == Width::kXmmClearingUpper)
        for (unsigned half = 0; half < 16; half += 8) mov(qword[rdi + high_offset(n) + half], 0);
    }
    for (const auto& use : gprs())
      if (use.written) store_gpr(use);
  }

  std::span<const StubPlan::GprUse> gprs() const {
    return std::span(plan_.gpr).first(plan_.gpr_count);
  }

  void store_gpr(const StubPlan::GprUse& use) {
    if (use.width == 2)
      mov(ptr[rdi + gpr_offset(use.guest)], Xbyak::Reg16(use.host));
    else
      mov(ptr[rdi + gpr_offset(use.guest)], Xbyak::Reg64(use.host));
  }

  void store_mxcsr() {
    mov(dword[rsp - 8], kHostMxcsr);  // in the red zone
    stmxcsr(ptr[rdi + kMxcsr]);
    ldmxcsr(ptr[rsp - 8]);
  }

  void store_x87_words() {
    fnstsw(ptr[rdi + kStatus]);
    if (plan_.writes_control) fnstcw(ptr[rdi + kControl]);
  }

  const StubPlan& plan_;
};

}  // namespace

std::span<const std::uint8_t> emit_stub(const StubPlan& plan,
                                        std::array<std::uint8_t, kMaxStubSize>& buffer) {
  return Emitter(plan, buffer).emit();
}

}  // namespace vireo::engine
