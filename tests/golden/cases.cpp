#include "golden/cases.h"

#include <initializer_list>

namespace vireo::test {
namespace {

using Guest = Xbyak::CodeGenerator;
using namespace Xbyak::util;

constexpr GoldenCase kHeads[] = {
    {.name = "user code that kills the flags",
     .write = [](Guest& g) { g.xor_(eax, eax); },
     .whole = true},
    {.name = "user code that needs the flags",
     .write = [](Guest& g) { g.adc(eax, ebx); },
     .whole = true},
    {.name = "code that runs anywhere",
     .write = [](Guest& g) { g.xor_(eax, eax); },
     .relative = true,
     .supervisor = true,
     .whole = true},
    {.name = "code that runs anywhere and needs the flags",
     .write = [](Guest& g) { g.adc(eax, ebx); },
     .relative = true,
     .supervisor = true,
     .whole = true},
    {.name = "a stack window",
     .write = [](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.mov(rcx, ptr[rsp + 24]); },
     .whole = true},
    {.name = "a stack window under exact flags",
     .write = [](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.mov(rcx, ptr[rsp + 24]); },
     .exact_flags = true,
     .whole = true},
};

constexpr GoldenCase kMemory[] = {
    {.name = "load", .write = [](Guest& g) { g.mov(rcx, ptr[rax - 8]); }},
    {.name = "load at level 0",
     .write = [](Guest& g) { g.mov(rcx, ptr[rax - 8]); },
     .supervisor = true},
    {.name = "load with an index", .write = [](Guest& g) { g.mov(ecx, ptr[rax + rdx * 4 + 16]); }},
    {.name = "load with sign", .write = [](Guest& g) { g.movsx(rcx, byte[rbx]); }},
    {.name = "load of a byte into ah", .write = [](Guest& g) { g.mov(ah, ptr[rbx]); }},
    {.name = "store", .write = [](Guest& g) { g.mov(ptr[rdi], rsi); }},
    {.name = "store of an immediate",
     .write = [](Guest& g) { g.mov(dword[rdi + rcx * 8], 0x1234); }},
    {.name = "read, modify, write", .write = [](Guest& g) { g.add(qword[rdi + 8], rsi); }},
    {.name = "compare with memory", .write = [](Guest& g) { g.cmp(ptr[rdi], eax), g.setz(cl); }},
    {.name = "locked", .write = [](Guest& g) { g.lock(), g.xadd(ptr[rdi], ecx); }},
    {.name = "exchange", .write = [](Guest& g) { g.xchg(ptr[rdi], rcx); }},
    {.name = "compare and exchange", .write = [](Guest& g) { g.lock(), g.cmpxchg(ptr[rdi], rcx); }},
    {.name = "fs", .write = [](Guest& g) { g.putSeg(fs), g.mov(rax, ptr[rcx + 0x28]); }},
    {.name = "gs at an address",
     .write =
         [](Guest& g) { g.db(0x65), g.db(0x48), g.db(0x8b), g.db(0x04), g.db(0x25), g.dd(0x40); }},
    {.name = "relative to rip", .write = [](Guest& g) { g.mov(eax, ptr[rip + 0x500]); }},
    {.name = "relative to rip, anywhere",
     .write = [](Guest& g) { g.mov(eax, ptr[rip + 0x500]); },
     .relative = true},
    {.name = "an address that crosses its page",
     .write = [](Guest& g) { g.mov(rax, ptr[rip + 0xef2]); }},
};

constexpr GoldenCase kDisplaced[] = {
    {.name = "r10 and r11", .write = [](Guest& g) { g.add(r10, r11); }},
    {.name = "r10 of 32 bits", .write = [](Guest& g) { g.mov(r10d, eax); }},
    {.name = "r10 as an address", .write = [](Guest& g) { g.mov(rax, ptr[r10 + 8]); }},
    {.name = "r10 and r11 as an address",
     .write = [](Guest& g) { g.mov(rax, ptr[r10 + r11 * 2]); }},
    {.name = "load into r11", .write = [](Guest& g) { g.mov(r11, ptr[rax]); }},
    {.name = "store of r11 with an index", .write = [](Guest& g) { g.mov(ptr[rax + rcx], r11); }},
    {.name = "array on the stack", .write = [](Guest& g) { g.mov(rax, ptr[rsp + rcx * 8 + 16]); }},
    {.name = "rsp as data", .write = [](Guest& g) { g.mov(rbp, rsp); }},
    {.name = "rsp written", .write = [](Guest& g) { g.mov(rsp, rbp); }},
    {.name = "rsp aligned", .write = [](Guest& g) { g.and_(rsp, ~15u); }},
    {.name = "lea", .write = [](Guest& g) { g.lea(rax, ptr[rcx + rdx * 4 + 7]); }},
    {.name = "lea of rip", .write = [](Guest& g) { g.lea(rax, ptr[rip + 0x500]); }},
    {.name = "lea of rip, anywhere",
     .write = [](Guest& g) { g.lea(rax, ptr[rip + 0x500]); },
     .relative = true},
    {.name = "lea of rsp", .write = [](Guest& g) { g.lea(rdi, ptr[rsp + 16]); }},
    {.name = "lea of r10 into r11", .write = [](Guest& g) { g.lea(r11, ptr[r10 + 1]); }},
};

constexpr GoldenCase kStack[] = {
    {.name = "push and pop",
     .write = [](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.push(r10), g.push(7), g.pop(r11); }},
    {.name = "push and pop, careful",
     .write = [](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.pop(r11); },
     .careful = true},
    {.name = "prologue",
     .write =
         [](Guest& g) {
           g.push(rbp), g.mov(rbp, rsp), g.sub(rsp, 0x20), g.mov(ptr[rbp - 8], rdi);
         }},
    {.name = "add to rsp whose flags are used",
     .write = [](Guest& g) { g.add(rsp, 8), g.setz(al); }},
    {.name = "leave", .write = [](Guest& g) { g.leave(); }},
    {.name = "leave and return", .write = [](Guest& g) { g.xor_(eax, eax), g.leave(), g.ret(); }},
};

constexpr GoldenCase kBranches[] = {
    {.name = "jump behind itself", .write = [](Guest& g) { g.db(0xeb), g.db(0), g.inc(eax); }},
    {.name = "branch backward", .write = [](Guest& g) { g.dec(ecx), g.db(0x75), g.db(0xfc); }},
    {.name = "branch forward", .write = [](Guest& g) { g.test(eax, eax), g.db(0x74), g.db(0x10); }},
    {.name = "branch to another page",
     .write = [](Guest& g) { g.test(eax, eax), g.db(0x0f), g.db(0x84), g.dd(0x2000); }},
    {.name = "branch to another page, anywhere",
     .write = [](Guest& g) { g.test(eax, eax), g.db(0x0f), g.db(0x84), g.dd(0x2000); },
     .relative = true},
    {.name = "call", .write = [](Guest& g) { g.xor_(eax, eax), g.db(0xe8), g.dd(0x80); }},
    {.name = "call to another page, anywhere",
     .write = [](Guest& g) { g.xor_(eax, eax), g.db(0xe8), g.dd(0x2000); },
     .relative = true},
    {.name = "call, careful",
     .write = [](Guest& g) { g.xor_(eax, eax), g.db(0xe8), g.dd(0x80); },
     .careful = true},
    {.name = "call through a register", .write = [](Guest& g) { g.xor_(eax, eax), g.call(rax); }},
    {.name = "call through memory",
     .write = [](Guest& g) { g.xor_(eax, eax), g.call(ptr[rdi + 8]); }},
    {.name = "jump through a register", .write = [](Guest& g) { g.jmp(rax); }},
    {.name = "jump through a table", .write = [](Guest& g) { g.jmp(ptr[rdi + rax * 8]); }},
    {.name = "return", .write = [](Guest& g) { g.xor_(eax, eax), g.ret(); }},
    {.name = "return that releases", .write = [](Guest& g) { g.xor_(eax, eax), g.ret(16); }},
    {.name = "return, careful", .write = [](Guest& g) { g.ret(); }, .careful = true},
};

constexpr GoldenCase kFlags[] = {
    {.name = "dead across a load",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.mov(rcx, ptr[rdi]), g.xor_(eax, eax); }},
    {.name = "compare again behind a load",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.mov(rcx, ptr[rdi]), g.setz(al); }},
    {.name = "test of a result behind a load",
     .write = [](Guest& g) { g.and_(edx, 15), g.mov(rcx, ptr[rdi]), g.setz(al); }},
    {.name = "saved where what was compared changes",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.mov(rax, ptr[rdi]), g.setz(cl); }},
    {.name = "saved behind an addition",
     .write = [](Guest& g) { g.add(eax, ebx), g.mov(rcx, ptr[rdi]), g.adc(rdx, 0); }},
    {.name = "kept in part",
     .write = [](Guest& g) { g.add(eax, ebx), g.inc(qword[rdi]), g.setc(al); }},
    {.name = "exact across a load",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.mov(rcx, ptr[rdi]), g.xor_(eax, eax); },
     .exact_flags = true},
    {.name = "compare for a branch behind a store",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.mov(ptr[rdi], rcx), g.db(0x74), g.db(0x10); }},
};

constexpr GoldenCase kVectors[] = {
    {.name = "registers", .write = [](Guest& g) { g.paddd(xmm0, xmm1), g.pxor(xmm2, xmm2); }},
    {.name = "aligned load", .write = [](Guest& g) { g.movaps(xmm0, ptr[rax]); }},
    {.name = "unaligned store", .write = [](Guest& g) { g.movups(ptr[rax + 16], xmm3); }},
    {.name = "scalar with memory", .write = [](Guest& g) { g.addsd(xmm0, ptr[rax + rcx * 8]); }},
    {.name = "avx with memory", .write = [](Guest& g) { g.vpaddd(ymm0, ymm1, ptr[rsi]); }},
    {.name = "from r10", .write = [](Guest& g) { g.movq(xmm0, r10); }},
    {.name = "to the stack", .write = [](Guest& g) { g.xor_(eax, eax), g.movups(ptr[rsp], xmm0); }},
};

constexpr GoldenCase kX87[] = {
    {.name = "registers", .write = [](Guest& g) { g.fld1(), g.fmul(st0, st3), g.fxch(); }},
    {.name = "load and store",
     .write = [](Guest& g) { g.fld(qword[rax]), g.fstp(qword[rbx + 8]); }},
    {.name = "the stack",
     .write = [](Guest& g) { g.xor_(eax, eax), g.db(0xdb), g.db(0x2c), g.db(0x24); }},
    {.name = "anywhere", .write = [](Guest& g) { g.fadd(dword[rip + 0x500]); }, .relative = true},
    {.name = "an address in fs", .write = [](Guest& g) { g.putSeg(fs), g.fild(word[rcx]); }},
    {.name = "an address that changes",
     .write = [](Guest& g) { g.fadd(qword[rax]), g.add(rax, 8), g.fadd(st0, st1); }},
    {.name = "a branch behind it",
     .write = [](Guest& g) { g.fadd(st0, st1), g.dec(ecx), g.db(0x75), g.db(0xfa); }},
    {.name = "a call of c++ behind it", .write = [](Guest& g) { g.fadd(st0, st1), g.cpuid(); }},
    {.name = "compare into the flags",
     .write = [](Guest& g) { g.fcomip(st0, st1), g.setz(al), g.fcmovb(st0, st1); }},
    {.name = "status", .write = [](Guest& g) { g.fwait(), g.db(0xdf), g.db(0xe0); }},
    {.name = "another rounding and back",
     .write = [](Guest& g) { g.fldcw(word[rdi]), g.fistp(qword[rdi + 8]), g.fldcw(word[rsp]); }},
    {.name = "mmx", .write = [](Guest& g) { g.movq(mm0, ptr[rax]), g.paddb(mm0, mm1), g.emms(); }},
    {.name = "mmx and general registers",
     .write = [](Guest& g) { g.movd(mm0, r10d), g.pmovmskb(r11d, mm0); }},
    {.name = "mmx and sse", .write = [](Guest& g) { g.cvtpi2ps(xmm0, mm1), g.movq2dq(xmm1, mm0); }},
};

constexpr GoldenCase kCalls[] = {
    {.name = "string", .write = [](Guest& g) { g.rep(), g.movsb(); }},
    {.name = "system call", .write = [](Guest& g) { g.syscall(); }},
    {.name = "cpuid with flags kept",
     .write = [](Guest& g) { g.cmp(eax, ebx), g.cpuid(), g.setz(al); }},
    {.name = "x87", .write = [](Guest& g) { g.fninit(); }},
    {.name = "nothing", .write = [](Guest& g) { g.nop(), g.endbr64(), g.prefetcht0(ptr[rax]); }},
};

void bytes(Guest& g, std::initializer_list<int> code) {
  for (const int byte : code) g.db(byte);
}

constexpr GoldenCase kSystem[] = {
    {.name = "flags to the stack and back",
     .write = [](Guest& g) { g.xor_(eax, eax), g.pushfq(), g.pop(rbx), g.push(rbx), g.popfq(); },
     .supervisor = true},
    {.name = "flags to the stack and back, careful",
     .write = [](Guest& g) { g.pushfq(), g.popfq(); },
     .supervisor = true,
     .careful = true},
    {.name = "flags from the stack at level 3", .write = [](Guest& g) { g.popfq(); }},
    {.name = "cli", .write = [](Guest& g) { g.cli(); }, .supervisor = true},
    {.name = "cli at level 3", .write = [](Guest& g) { g.cli(); }},
    {.name = "sti", .write = [](Guest& g) { g.sti(), g.nop(); }, .supervisor = true},
    {.name = "cld and std", .write = [](Guest& g) { g.cld(), g.std(); }},
    {.name = "access to user memory",
     .write =
         [](Guest& g) {
           bytes(g, {0x0f, 0x01, 0xcb}), g.mov(rax, ptr[rdi]), bytes(g, {0x0f, 0x01, 0xca}),
               g.mov(rax, ptr[rdi]);
         },
     .supervisor = true},
    {.name = "swapgs",
     .write =
         [](Guest& g) {
           bytes(g, {0x0f, 0x01, 0xf8});
         },
     .supervisor = true},
    {.name = "bases of segments",
     .write =
         [](Guest& g) {
           bytes(g, {0xf3, 0x49, 0x0f, 0xae, 0xca, 0xf3, 0x48, 0x0f, 0xae, 0xd0}),
               bytes(g, {0xf3, 0x0f, 0xae, 0xc1, 0xf3, 0x0f, 0xae, 0xda});
         }},
    {.name = "time", .write = [](Guest& g) { g.rdtsc(), g.rdtscp(); }},
    {.name = "system registers",
     .write =
         [](Guest& g) {
           bytes(g, {0x0f, 0x20, 0xd0, 0x41, 0x0f, 0x20, 0xdb}), g.mov(ecx, es), g.mov(r10w, fs);
         },
     .supervisor = true},
    {.name = "bits of memory",
     .write =
         [](Guest& g) { g.bt(dword[rdi], eax), g.setc(al), g.lock(), g.bts(qword[rdi], r10); }},
    {.name = "sixteen bytes", .write = [](Guest& g) { g.lock(), g.cmpxchg16b(ptr[rdi]); }},
    {.name = "push of memory", .write = [](Guest& g) { g.xor_(eax, eax), g.push(qword[rdi + 8]); }},
    {.name = "push of memory, careful",
     .write = [](Guest& g) { g.xor_(eax, eax), g.push(qword[rdi + 8]); },
     .careful = true},
    {.name = "pop of rsp", .write = [](Guest& g) { g.xor_(eax, eax), g.pop(rsp); }},
    {.name = "pop of rsp, careful", .write = [](Guest& g) { g.pop(rsp); }, .careful = true},
    {.name = "fill", .write = [](Guest& g) { g.rep(), g.stosq(), g.stosb(); }},
    {.name = "move", .write = [](Guest& g) { g.rep(), g.movsb(); }},
    {.name = "protection keys",
     .write =
         [](Guest& g) {
           bytes(g, {0x0f, 0x01, 0xee, 0x0f, 0x01, 0xef});
         }},
    {.name = "sysret", .write = [](Guest& g) { g.db(0x48), g.sysret(); }, .supervisor = true},
};

constexpr GoldenCase kLooks[] = {
    {.name = "fields of a structure",
     .write =
         [](Guest& g) { g.mov(eax, ptr[rdi + 8]), g.add(rcx, ptr[rdi + 24]), g.inc(dword[rdi]); }},
    {.name = "a write that may not come",
     .write =
         [](Guest& g) {
           Xbyak::Label out;
           g.mov(eax, ptr[rdi]), g.test(eax, eax), g.jz(out), g.mov(ptr[rdi], ecx), g.L(out);
         }},
    {.name = "a pointer that moves",
     .write =
         [](Guest& g) {
           g.mov(eax, ptr[rsi]), g.add(rsi, 4), g.mov(ecx, ptr[rsi]), g.mov(rdx, rsi),
               g.mov(edx, ptr[rdx + 4]);
         }},
    {.name = "an index",
     .write = [](Guest& g) { g.mov(eax, ptr[rsi + rcx * 8]), g.mov(edx, ptr[rsi + rcx * 8 + 4]); }},
    {.name = "an index, two registers with the base",
     .write =
         [](Guest& g) {
           g.mov(eax, ptr[rsi + rcx]), g.mov(rdx, rsi), g.mov(ebx, ptr[rdx + rcx + 4]);
         }},
    {.name = "aligned vectors",
     .write = [](Guest& g) { g.movups(xmm0, ptr[rdi + 8]), g.movaps(xmm1, ptr[rdi + 32]); }},
    {.name = "two at a time",
     .write =
         [](Guest& g) {
           g.movups(xmm0, ptr[rsi + rcx]), g.movups(xmm1, ptr[rdi + rcx]);
           g.paddd(xmm0, ptr[rsi + rcx + 16]), g.paddd(xmm1, ptr[rdi + rcx + 16]);
           g.mov(rsi, rdi), g.pxor(xmm0, xmm1), g.movups(ptr[rdi + rcx + 8], xmm0);
         }},
    {.name = "one page",
     .write =
         [](Guest& g) {
           g.mov(eax, ptr[Xbyak::RegExp(0x8000)]), g.mov(ptr[Xbyak::RegExp(0x8ff0)], ecx);
         }},
    {.name = "one page",
     .write = [](Guest& g) { g.mov(eax, ptr[rip + 0x100]), g.mov(ecx, ptr[rip + 0x200]); },
     .relative = true},
    {.name = "displaced registers",
     .write = [](Guest& g) { g.mov(rax, ptr[r10]), g.mov(r11, ptr[r10 + 8]); }},
    {.name = "flags that live on",
     .write =
         [](Guest& g) {
           g.mov(rax, ptr[rdi]), g.sub(rax, 1), g.mov(ptr[rdi + 8], rax), g.setz(cl);
         }},
    {.name = "each on its own",
     .write = [](Guest& g) { g.mov(eax, ptr[rdi + 8]), g.mov(ecx, ptr[rdi]); },
     .careful = true},
};

constexpr GoldenFile kFiles[] = {
    {"heads", kHeads},       {"memory", kMemory}, {"displaced", kDisplaced}, {"stack", kStack},
    {"branches", kBranches}, {"flags", kFlags},   {"vectors", kVectors},     {"x87", kX87},
    {"calls", kCalls},       {"system", kSystem}, {"looks", kLooks}};

}  // namespace

std::span<const GoldenFile> golden_files() { return kFiles; }

}  // namespace vireo::test
