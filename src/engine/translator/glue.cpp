#include "engine/translator/glue.h"

#include <array>
#include <bit>

#include "engine/translator/assembler.h"

namespace vireo::engine::translator {
namespace {

/// What the monitor's own code runs with.
constexpr std::uint32_t kHostMxcsr = 0x1f80;

class Writer : Assembler {
 public:
  explicit Writer(CodeMemory& memory)
      : Assembler(memory.writable(), memory.room()), memory_(memory) {}

  Glue write(const SiteCallbacks& callbacks) {
    Glue glue;
    glue.load_vectors = here();
    load_vectors();
    jump_to_field(at::kResume);

    glue.enter = std::bit_cast<decltype(glue.enter)>(here());
    enter();
    L(leave_);
    leave();

    glue.exit = here();
    exit(r11, true);
    glue.exit_saved = here();
    exit(r11, false);
    for (const bool saved : {false, true}) {
      (saved ? glue.indirect_saved : glue.indirect) = here();
      indirect(callbacks.quick_indirect, !saved);
    }

    glue.miss = here();
    call_out_quickly(callbacks.quick_miss, callbacks.miss, true);
    glue.miss_saved = here();
    call_out_quickly(callbacks.quick_miss, callbacks.miss, false);
    glue.window = here();
    call_out_quickly(callbacks.quick_window, callbacks.window, false);
    glue.call = here();
    call_out(callbacks.call, true);
    glue.call_saved = here();
    call_out(callbacks.call, false);

    align(16);
    L(host_mxcsr_);
    dd(kHostMxcsr);
    ready();
    memory_.commit(getSize());
    return glue;
  }

 private:
  const std::uint8_t* here() {
    align(16);
    return memory_.executable(getCurr());
  }

  // Registers that C++ may overwrite, and those that it keeps. RAX is stored apart: the flags go
  // through it.
  static constexpr std::array kVolatile{1, 2, 6, 7, 8, 9};
  static constexpr std::array kKept{3, 5, 12, 13, 14, 15};

  template <class Registers>
  void store_each(const Registers& registers) {
    for (const int n : registers) store(at::gpr(static_cast<unsigned>(n)), Xbyak::Reg64(n));
  }
  template <class Registers>
  void load_each(const Registers& registers) {
    for (const int n : registers) load(Xbyak::Reg64(n), at::gpr(static_cast<unsigned>(n)));
  }
  template <class Each>
  static void for_each_vector(Each each) {
    for (unsigned n = 0; n < 16; ++n) each(n);
  }
  static Xbyak::Xmm xmm_of(unsigned n) { return Xbyak::Xmm(static_cast<int>(n)); }
  static Xbyak::Ymm ymm_of(unsigned n) { return Xbyak::Ymm(static_cast<int>(n)); }

  /// And the stack is the host's.
  void save_volatile(bool with_flags) {
    store(at::gpr(0), rax);
    if (with_flags) take_flags();
    store_each(kVolatile);
    store(at::kRsp, rsp);
    load(rsp, at::kHostRsp);
  }

  void save_state(bool with_flags) {
    save_volatile(with_flags);
    store_each(kKept);
  }

  void restore_volatile() {
    load(rsp, at::kRsp);
    load_each(kVolatile);
    bring_flags();
    load(rax, at::gpr(0));
  }

  void restore_state() {
    load_each(kKept);
    restore_volatile();
  }

  /// Upper halves that are all zero are left in their initial state: otherwise every change between
  /// SSE and AVX code would cost the host a transition (Intel's optimization manual, 15.3).
  /// Spoils the flags.
  void load_vectors() {
    Label uppers, loaded;
    if (avx_) {
      constexpr unsigned kStep = 2;  // upper halves in one register
      putSeg(gs);
      vmovups(ymm0, field(at::ymm_high(0), 256));
      for (unsigned n = kStep; n < 16; n += kStep) {
        putSeg(gs);
        vorps(ymm0, ymm0, field(at::ymm_high(n), 256));
      }
      vptest(ymm0, ymm0);
      vzeroupper();
      jnz(uppers);
    }
    for_each_vector([&](unsigned n) {
      putSeg(gs);
      if (avx_)
        vmovaps(xmm_of(n), field(at::xmm(n), 128));
      else
        movaps(xmm_of(n), field(at::xmm(n), 128));
    });
    if (avx_) {
      jmp(loaded);
      L(uppers);
      for_each_vector([&](unsigned n) {
        putSeg(gs);
        vmovaps(xmm_of(n), field(at::xmm(n), 128));
        putSeg(gs);
        vinsertf128(ymm_of(n), ymm_of(n), field(at::ymm_high(n), 128), 1);
      });
      L(loaded);
    }
    putSeg(gs);
    ldmxcsr(dword_at(at::kMxcsr));
    putSeg(gs);
    mov(byte_at(at::kVectorsLoaded), 1);
  }

  void save_vectors() {
    for_each_vector([&](unsigned n) {
      putSeg(gs);
      if (avx_) {
        vmovaps(field(at::xmm(n), 128), xmm_of(n));
        putSeg(gs);
        vextractf128(field(at::ymm_high(n), 128), ymm_of(n), 1);
      } else {
        movaps(field(at::xmm(n), 128), xmm_of(n));
      }
    });
    putSeg(gs);
    stmxcsr(dword_at(at::kMxcsr));
    ldmxcsr(ptr[rip + host_mxcsr_]);
    if (avx_) vzeroupper();
    putSeg(gs);
    mov(byte_at(at::kVectorsLoaded), 0);
  }

  void save_vectors_if_loaded() {
    Label none;
    putSeg(gs);
    cmp(byte_at(at::kVectorsLoaded), 0);
    je(none);
    save_vectors();
    L(none);
  }

  /// What C++ must find true even while the registers stay where they are.
  void save_x87_words() {
    Label none;
    putSeg(gs);
    cmp(byte_at(at::kX87Loaded), 0);
    je(none);
    putSeg(gs);
    fnstcw(word_at(at::kX87Control));
    putSeg(gs);
    fnstsw(word_at(at::kX87Status));
    L(none);
  }

  void enter() {
    for (const auto& reg : {rbx, rbp, r12, r13, r14, r15}) push(reg);
    sub(rsp, 8);  // the stack is aligned wherever C++ is called
    store(at::kHostRsp, rsp);
    store(at::kResume, rsi);
    restore_state();
    jump_to_field(at::kResume);
  }

  /// The guest's state is saved and RSP the host's.
  void leave() {
    add(rsp, 8);
    for (const auto& reg : {r15, r14, r13, r12, rbp, rbx}) pop(reg);
    ret();
  }

  void exit(const Xbyak::Reg64& why, bool with_flags) {
    save_state(with_flags);
    leave_because(why);
  }
  void leave_because(const Xbyak::Reg64& why) {
    store(at::kExit, why);
    save_x87_words();
    save_vectors_if_loaded();
    jmp(leave_);
  }

  void call(SiteCallback callback) {
    load(rdi, at::kSelf);
    mov(esi, r11d);
    mov(rax, std::bit_cast<std::uint64_t>(callback));
    Xbyak::CodeGenerator::call(rax);
    test(rax, rax);
  }

  /// To the target in R10, or out of translated code.
  void indirect(SiteCallback quick, bool with_flags) {
    Label unknown;
    store(at::kTarget, r10);
    save_volatile(with_flags);
    call(quick);
    jz(unknown);
    store(at::kResume, rax);
    restore_volatile();
    jump_to_field(at::kResume);
    L(unknown);
    store_each(kKept);
    mov(rax, TranslatorCpu::kIndirect);
    leave_because(rax);
  }

  void call_out_quickly(SiteCallback quick, SiteCallback other, bool with_flags) {
    Label unknown;
    save_volatile(with_flags);
    sub(rsp, 16);
    mov(ptr[rsp], r11);
    call(quick);
    mov(r11, ptr[rsp]);
    lea(rsp, ptr[rsp + 16]);
    jz(unknown);
    store(at::kResume, rax);
    restore_volatile();
    jump_to_field(at::kResume);
    L(unknown);
    store_each(kKept);
    call_saved(other);
  }

  void call_out(SiteCallback callback, bool with_flags) {
    save_state(with_flags);
    call_saved(callback);
  }

  void call_saved(SiteCallback callback) {
    save_x87_words();
    putSeg(gs);
    mov(al, byte_at(at::kVectorsLoaded));
    putSeg(gs);
    mov(byte_at(at::kVectorsWanted), al);
    save_vectors_if_loaded();
    call(callback);
    jz(leave_);
    store(at::kResume, rax);
    Label without;
    putSeg(gs);
    cmp(byte_at(at::kVectorsWanted), 0);
    je(without);
    load_vectors();
    L(without);
    restore_state();
    jump_to_field(at::kResume);
  }

  CodeMemory& memory_;
  Label leave_;
  Xbyak::Label host_mxcsr_;
  const bool avx_ = __builtin_cpu_supports("avx") != 0;
};

}  // namespace

Glue Glue::write(CodeMemory& memory, const SiteCallbacks& callbacks) {
  Glue glue = Writer(memory).write(callbacks);
  write_window_glue(memory, glue);
  write_system_glue(memory, glue);
  return glue;
}

}  // namespace vireo::engine::translator
