; mode: long-kernel

; case: an exception that waits is interrupt 13 in front of the next {WHAT}
; columns: WHAT INSN
; row: x87 instruction | fld1
; row: FWAIT | fwait
; row: load | fld dword [rdi]
; row: MMX instruction | paddb mm0, mm1
; row: EMMS | emms
; row: conversion to MMX | cvtps2pi mm0, xmm0
; row: FLDCW | fldcw [rdi]
; row: FRSTOR | frstor [rdi]
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, rdi=DATA, rax=5
; expect: vector=0x75, rip=bad, fpu.status=0xb084, rax=6, tf=0
; ports: ferr asserted
    fld1
    fldz
    fdivp
    inc eax
bad:
    {INSN}

; case: in {MODE} too
; mode: {MODE}
; columns: MODE
; row: real
; row: protected16
; row: protected32
; row: compat-kernel
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b
; expect: vector=0x75, rip=bad
; ports: ferr asserted
    fld1
    fldz
    fdivp
bad:
    fwait

; case: at privilege level 3 too
; mode: long-user
; in: cr0&=0xffffffdf, fpu.control=0x37b
; expect: vector=0x75, rip=bad
; ports: ferr asserted
    fld1
    fldz
    fdivp
bad:
    fwait

; case: with interrupts disabled the CPU freezes
; in: cr0&=0xffffffdf, fpu.control=0x37b
; expect: stop=halt, rip=bad, ferr=1
; ports: ferr asserted
    fld1
    fldz
    fdivp
bad:
    fwait

; case: {WHAT} does not wait
; columns: WHAT INSN STATUS
; row: FNSTSW | fnstsw ax | 0xb084
; row: FNSTCW | fnstcw [rdi] | 0xb084
; row: FNCLEX | fnclex | 0x3000
; row: FNINIT | fninit | 0
; row: FNSAVE | fnsave [rdi] | 0
; row: FNSTENV | fnstenv [rdi] | 0x3004
; row: FXSAVE | fxsave [rdi] | 0xb084
; row: an SSE instruction | addps xmm0, xmm1 | 0xb084
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, rdi=DATA
; expect: fpu.status={STATUS}, ferr=0, rip=case_end+1
; ports:
    fld1
    fldz
    fdivp
    {INSN}

; case: with CR0.NE set it is #MF
; in: if=1, fpu.control=0x37b
; expect: fault=#MF, rip=bad, ferr=0
; ports:
    fld1
    fldz
    fdivp
bad:
    fwait

; case: a handler ends the error by {INSN} and the program goes on
; columns: INSN
; row: fnclex
; row: fninit
; row: fnsave [rdi]
; row: fnstenv [rdi]
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, rdi=DATA, gate[0x75]=handler
; expect: rax=1, rcx=0xb084, ferr=0
; ports: ferr asserted; out8 0xf0 0x0; ferr deasserted
    xor ebx, ebx
    fld1
    fldz
    fdivp
    xor eax, eax
    fld1
    inc eax
    jmp done
handler:
    push rax
    fnstsw ax
    movzx ecx, ax
    xor eax, eax
    out 0xf0, al
    {INSN}
    pop rax
    iretq
done:

; case: behind port 0xf0 instructions ignore the exception until it is over
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, rdi=DATA, gate[0x75]=handler, rax=0, rcx=0
; expect: rcx=2, rdx=0x9884, ferr=0, st0=0, [DATA].8=f64(1.0), fpu.status=0x2020
; ports: ferr asserted; out8 0xf0 0x0; ferr deasserted; ferr asserted; out8 0xf0 0x0; ferr deasserted
    fld1
    fldz
    fdivp
    fld1
    fldz
    fdivp
    fwait
    fldpi
    fist dword [rdi+8]
    fstp st0
    jmp done
handler:
    push rax
    inc ecx
    out 0xf0, al
    fld1
    fld1
    fstp qword [rdi]
    fwait
    fnstsw ax
    movzx edx, ax
    fstp st0
    fnclex
    pop rax
    iretq
done:

; case: an error that is over when port 0xf0 is written is not ignored the next time
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, gate[0x75]=handler, rax=0, rcx=0
; expect: rcx=2
; ports: ferr asserted; ferr deasserted; out8 0xf0 0x0; ferr asserted; ferr deasserted; out8 0xf0 0x0
    fld1
    fldz
    fdivp
    fwait
    fld1
    fldz
    fdivp
    fwait
    jmp done
handler:
    inc ecx
    fnclex
    out 0xf0, al
    iretq
done:

; case: a handler that leaves the error comes again
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, gate[0x75]=handler, rcx=0
; expect: stop=halt, rip=bad, rcx=1, ferr=1
; ports: ferr asserted
    fld1
    fldz
    fdivp
bad:
    fwait
handler:
    inc ecx
    iretq

; case: behind port 0xf0 {WHAT}
; columns: WHAT CODE STATUS
; row: MMX runs and leaves the exception | movq mm0, [rdi] | 0x8084
; row: a store to memory of MMX runs | movq [rdi], mm1 | 0x8084
; row: EMMS runs | emms | 0x8084
; row: FLDCW can mask the exception | fldcw [rdi+4] | 0x3004
; row: FLDENV replaces the exception | fldenv [rdi+0x100] | 0x0001
; row: FRSTOR replaces the exception | frstor [rdi+0x100] | 0x0001
; row: another exception is added | fsqrt | 0xb085
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37a, rdi=DATA, gate[0x75]=handler, [DATA+4].2=0x37f, [DATA+0x100].4=0x37f, [DATA+0x104].4=1, [DATA+0x108].4=0xffff
; expect: rip=case_end+1, fpu.status={STATUS}
    fld1
    fchs
    fldz
    fdivp
    fwait
handler:
    out 0xf0, al
    fxch
    {CODE}

; case: a trap comes behind an instruction that ignores the exception
; in: cr0&=0xffffffdf, if=1, fpu.control=0x37b, gate[0x75]=handler, [DATA].8=0x102
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0, st0=f80(1.0)
    fld1
    fldz
    fdivp
    fwait
handler:
    out 0xf0, al
    mov rsp, DATA
    popfq
    fld1
behind:
    nop

; case: no trap comes in front of an instruction that waits
; in: cr0&=0xffffffdf, fpu.control=0x37b, tf=1, rcx=0, gate[1]=handler
; expect: stop=halt, rip=bad, rcx=4
; ports: ferr asserted
    fld1
    fldz
    fdivp
    nop
bad:
    fwait
handler:
    inc ecx
    iretq
