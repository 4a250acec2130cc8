#include "engine/translator/assembler.h"
#include "engine/translator/glue.h"
#include "engine/translator/system_offsets.h"
#include "x86/control_registers.h"
#include "x86/flags.h"

namespace vireo::engine::translator {
namespace {

namespace rflags = x86::rflags;

constexpr std::uint32_t low(std::uint64_t bits) { return static_cast<std::uint32_t>(bits); }

/// SYSCALL and SYSRET between 64-bit code. What is not the common case goes to C++ with everything
/// as it was; RAX is kept in CpuState meanwhile.
class SystemWriter : Assembler {
 public:
  SystemWriter(CodeMemory& memory, const Glue& glue)
      : Assembler(memory.writable(), memory.room()), memory_(memory), glue_(glue) {}

  void write(Glue& glue) {
    glue.syscall = here();
    save_flags();
    glue.syscall_saved = here();
    syscall_64();
    glue.sysret = here();
    save_flags();
    glue.sysret_saved = here();
    sysret_64();
    ready();
    memory_.commit(getSize());
  }

 private:
  const std::uint8_t* here() {
    align(16);
    return memory_.executable(getCurr());
  }
  void save_flags() {
    store(at::kScratch, rax);
    take_flags();
    load(rax, at::kScratch);
  }

  void slow_path(Label& slow, bool with_rcx) {
    L(slow);
    load(rax, at::gpr(x86::kRax));
    if (with_rcx) load(rcx, at::gpr(x86::kRcx));
    jmp(memory_.writable(glue_.call_saved), T_NEAR);
  }

  /// What both need: spoils RAX and the flags.
  void check_system(bool to_user, Label& slow) {
    putSeg(gs);
    test(dword_at(at::kEfer), low(x86::efer::kSce));
    jz(slow);
    load(rax, at::kStar);
    putSeg(gs);
    cmp(rax, qword_at(at::kKnownStar));
    jne(slow);
    load(rax, at::kWindowEpoch);
    putSeg(gs);
    cmp(rax, qword_at(at::window(to_user, offsetof(Shortcuts::Window, epoch))));
    jne(slow);
    putSeg(gs);
    movzx(eax, byte_at(at::kPairsKnown));
    putSeg(gs);
    test(byte_at(at::kHalvesAgree), al);
    jz(slow);
  }

  void copy(std::size_t to, std::size_t from, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += 8) {
      load(r11, from + i);
      store(to + i, r11);
    }
  }

  /// Segments, translation cache and stack window of the other privilege. Spoils R11 and keeps the
  /// flags.
  void change_privilege(bool to_user) {
    const std::size_t pair = to_user ? at::kSysretPair : at::kSyscallPair;
    copy(at::segment(x86::kCs), pair + offsetof(Shortcuts::FlatPair, cs), sizeof(x86::Segment));
    copy(at::segment(x86::kSs), pair + offsetof(Shortcuts::FlatPair, ss), sizeof(x86::Segment));
    const TlbIndex who = to_user ? TlbIndex::kUser : TlbIndex::kSupervisor;
    putSeg(gs);
    mov(byte_at(at::kCurrentTlb), static_cast<std::uint32_t>(who));
    putSeg(gs);
    mov(byte_at(at::kPrivilegeChanged), 1);
    load(r11, at::kSelf);
    lea(r11, ptr[r11 + at::kOrigin + at::tlb(who, 0)]);
    store(at::kTlbPointer, r11);
    load(r11, at::kNegativeDelta);
    lea(rsp, ptr[rsp + r11]);
    load(r11, at::window(to_user, offsetof(Shortcuts::Window, delta)));
    store(at::kStackDelta, r11);
    lea(rsp, ptr[rsp + r11]);
    load(r11, at::window(to_user, offsetof(Shortcuts::Window, negative_delta)));
    store(at::kNegativeDelta, r11);
    load(r11, at::window(to_user, offsetof(Shortcuts::Window, window)));
    store(at::kWindow, r11);
  }

  /// To the address in R10, with the arithmetic flags of the new RFLAGS in EAX; RAX comes back.
  void go(bool user) {
    mov(r11d, eax);
    shl(r11d, 8);
    shr(eax, 11);
    and_(eax, 1);
    or_(eax, r11d);
    putSeg(gs);
    mov(word_at(at::kFlags), ax);
    add(al, 0x7f);
    sahf();
    load(rax, at::gpr(x86::kRax));
    change_privilege(user);
    mov(r11d, 0);
    crc32(r11, r10);
    movzx(r11d, r11w);
    putSeg(gs);
    jmp(ptr[r11 * 8 + (at::kBranchCode + at::branch_half(user))]);
  }

  /// R10: where the next instruction is. SDM vol. 2B, SYSCALL.
  void syscall_64() {
    Label slow;
    store(at::gpr(x86::kRax), rax);
    store(at::gpr(x86::kRcx), rcx);
    check_system(false, slow);
    load(rax, at::kLstar);
    sar(rax, 47);
    add(rax, 1);
    cmp(rax, 1);
    ja(slow);
    load(rcx, at::kRflags);
    and_(rcx, low(~rflags::kArithmetic));
    putSeg(gs);
    movzx(eax, word_at(at::kFlags));
    imul(eax, eax, 1u << 19 | 1);
    shr(eax, 8);
    and_(eax, low(rflags::kArithmetic));
    or_(rcx, rax);
    load(rax, at::kFmask);
    not_(rax);
    and_(rax, rcx);
    test(eax, low(rflags::kAc | rflags::kTf | rflags::kRf));
    jnz(slow);
    or_(eax, low(rflags::kFixed1));
    store(at::gpr(x86::kR11), rcx);
    store(at::kRflags, rax);
    putSeg(gs);
    inc(qword_at(at::kSystemCalls));
    mov(rcx, r10);
    load(r10, at::kLstar);
    go(false);
    slow_path(slow, true);
  }

  /// To an address of the lower half. SDM vol. 2B, SYSRET.
  void sysret_64() {
    constexpr std::uint64_t kTaken = 0x3c7fd7 & rflags::kAll;
    Label slow, disabled;
    store(at::gpr(x86::kRax), rax);
    putSeg(gs);
    cmp(byte_at(at::kUserInPlace), 0);
    je(slow);
    check_system(true, slow);
    mov(rax, rcx);
    shr(rax, 47);
    jnz(slow);
    load(rax, at::gpr(x86::kR11));
    and_(eax, low(kTaken));
    test(eax, low(rflags::kAc | rflags::kTf));
    jnz(slow);
    test(eax, low(rflags::kIf));
    jz(disabled);
    putSeg(gs);
    cmp(byte_at(at::kInterruptHint), 0);
    jne(slow);
    L(disabled);
    or_(eax, low(rflags::kFixed1));
    store(at::kRflags, rax);
    mov(r10, rcx);
    go(true);
    slow_path(slow, false);
  }

  CodeMemory& memory_;
  const Glue& glue_;
};

}  // namespace

void write_system_glue(CodeMemory& memory, Glue& glue) {
  const Glue before = glue;
  SystemWriter(memory, before).write(glue);
}

}  // namespace vireo::engine::translator
