#pragma once
#include <xbyak/xbyak.h>

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <span>

#include "x86/cpu_state.h"

namespace vireo::engine::test {

/// For tests: one instruction executed by the silicon as it stands, with every register from a
/// CpuState and everything stored back. RSP and R15 are not the state's. Knows nothing about what
/// the instruction does.
class Oracle : Xbyak::CodeGenerator {
 public:
  explicit Oracle(std::span<const std::uint8_t> insn) : CodeGenerator(4096) {
    for (const auto& reg : saved()) push(reg);
    mov(r15, rdi);
    fxrstor64(ptr[r15 + kFpu]);
    for (int n = 0; n < 16; ++n) vinsertf128(Xbyak::Ymm(n), Xbyak::Ymm(n), ptr[r15 + high(n)], 1);
    push(qword[r15 + offsetof(x86::CpuState, rflags)]);
    popfq();
    for (int n = 0; n < 15; ++n)
      if (n != 4) mov(Xbyak::Reg64(n), ptr[r15 + gpr(n)]);
    for (const std::uint8_t byte : insn) db(byte);
    for (int n = 0; n < 15; ++n)
      if (n != 4) mov(ptr[r15 + gpr(n)], Xbyak::Reg64(n));
    pushfq();
    pop(qword[r15 + offsetof(x86::CpuState, rflags)]);
    for (int n = 0; n < 16; ++n) vextractf128(ptr[r15 + high(n)], Xbyak::Ymm(n), 1);
    fxsave64(ptr[r15 + kFpu]);
    leave_clean();
    for (std::size_t i = saved().size(); i-- > 0;) pop(saved()[i]);
    ret();
    ready();
  }

  /// False if the instruction raised an unmasked SIMD exception: then of the state only MXCSR and
  /// the x87's may have changed, as the silicon left them.
  bool run(x86::CpuState& state) {
    trapped_ = &state;
    x86::CpuState working = state;
    if (sigsetjmp(jump_, 0) != 0) {
      const std::uint32_t mxcsr = 0x1f80;
      asm volatile("fninit\n\tldmxcsr %0\n\tvzeroupper" : : "m"(mxcsr) : "memory");
      return false;
    }
    getCode<void (*)(x86::CpuState*)>()(&working);
    working.rflags &= x86::rflags::kArithmetic | 2;
    state = working;
    return true;
  }

  /// SIGFPE belongs to the oracles while this lives.
  class Trap {
   public:
    Trap() {
      struct sigaction action {};
      action.sa_sigaction = on_sigfpe;
      action.sa_flags = SA_SIGINFO | SA_NODEFER;
      sigaction(SIGFPE, &action, &old_);
    }
    ~Trap() { sigaction(SIGFPE, &old_, nullptr); }
    Trap(const Trap&) = delete;

   private:
    struct sigaction old_ {};
  };

 private:
  static constexpr std::size_t kFpu = offsetof(x86::CpuState, fpu);
  static std::size_t high(int n) {
    return kFpu + offsetof(x86::FpuState, ymm_high) + static_cast<std::size_t>(n) * 16;
  }
  static std::size_t gpr(int n) {
    return offsetof(x86::CpuState, gpr) + static_cast<std::size_t>(n) * 8;
  }
  std::array<Xbyak::Reg64, 6> saved() const { return {rbx, rbp, r12, r13, r14, r15}; }
  void leave_clean() {
    fninit();
    mov(dword[rsp - 8], 0x1f80);
    ldmxcsr(ptr[rsp - 8]);
    vzeroupper();
  }
  void fxrstor64(const Xbyak::Address& address) { fxop(address, 1); }
  void fxsave64(const Xbyak::Address& address) { fxop(address, 0); }
  void fxop(const Xbyak::Address& address, unsigned extension) {
    lea(rax, address);  // free: it has been saved or is not loaded yet
    db(0x48), db(0x0f), db(0xae), db(static_cast<int>(extension << 3));
  }
  static void on_sigfpe(int, siginfo_t*, void* context) {
    const auto* user = static_cast<const ucontext_t*>(context);
    const auto& image = *user->uc_mcontext.fpregs;
    trapped_->fpu.mxcsr = image.mxcsr;
    trapped_->fpu.status = image.swd;
    trapped_->fpu.tag = static_cast<std::uint8_t>(image.ftw);
    std::memcpy(trapped_->fpu.st.data(), image._st, sizeof trapped_->fpu.st);
    siglongjmp(jump_, 1);
  }

  static inline thread_local sigjmp_buf jump_;
  static inline thread_local x86::CpuState* trapped_ = nullptr;
};

}  // namespace vireo::engine::test
