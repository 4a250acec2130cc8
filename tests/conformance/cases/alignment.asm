; mode: long-user
; native: yes

; case: {INSN} of an operand that is not aligned is #AC and does nothing
; columns: INSN
; row: fistp word [rdi]
; row: fistp dword [rdi]
; row: fistp qword [rdi]
; row: fisttp qword [rdi]
; row: fstp dword [rdi]
; row: fstp qword [rdi]
; row: fst qword [rdi]
; row: fnstcw [rdi]
; row: fnstsw [rdi]
; row: fld qword [rdi]
; row: fild word [rdi]
; row: movq [rdi], xmm0
; row: stmxcsr [rdi]
; row: ldmxcsr [rdi]
; row: add [rdi], eax
; row: lock add [rdi], rax
; row: xchg [rdi], rax
; row: cmpxchg8b [rdi]
; row: push qword [rdi]
; row: pop qword [rdi]
; row: movsq
; row: stosd
; row: movbe [rdi], eax
; row: call qword [rdi]
; in: ac=1, cr0|=0x40000, rdi=DATA+1, rsi=DATA+0x101, fpu.tag=0xff
; expect: fault=#AC, error=0, rip=case_start, fpu.status=0, fpu.tag=0xff, rsp=STACK_TOP, rdi=DATA+1
    {INSN}

; case: {INSN} is #AC where the new top of stack is not aligned
; columns: INSN
; row: enter 4, 0
; row: enter 1, 1
; row: o16 enter 1, 0
; in: ac=1, cr0|=0x40000, rbp=5
; expect: fault=#AC, error=0, rip=case_start, rsp=STACK_TOP, rbp=5
    {INSN}

; case: o16 enter aligns the new top of stack to 2
; in: ac=1, cr0|=0x40000
; expect: rsp=STACK_TOP-4
    o16 enter 2, 0

; case: {INSN} of an operand that is not aligned to {TO} is #AC and does nothing
; native: intel
; columns: INSN AT TO
; row: fstp tword [rdi] | 4 | 8
; row: fld tword [rdi] | 4 | 8
; row: fbstp [rdi] | 4 | 8
; row: fbld [rdi] | 4 | 8
; row: fnstenv [rdi] | 2 | 4
; row: fldenv [rdi] | 2 | 4
; row: fnsave [rdi] | 2 | 4
; row: frstor [rdi] | 2 | 4
; row: o16 fnstenv [rdi] | 1 | 2
; row: o16 fldenv [rdi] | 1 | 2
; row: o16 fnsave [rdi] | 1 | 2
; row: o16 frstor [rdi] | 1 | 2
; row: fxsave [rdi] | 2 | 4
; row: fxrstor64 [rdi] | 2 | 4
; row: xsave [rdi] | 2 | 4
; row: xrstor [rdi] | 2 | 4
; row: maskmovdqu xmm0, xmm1 | 4 | 8
; row: maskmovdqu xmm0, xmm2 | 4 | 8
; row: maskmovq mm0, mm1 | 4 | 8
; in: ac=1, cr0|=0x40000, rdi=DATA+{AT}, fpu.tag=0xff, cr4|=0x40000, xcr0=7, xmm2=0x80
; expect: fault=#AC, error=0, rip=case_start, fpu.status=0, fpu.tag=0xff
    {INSN}

; case: {INSN} of an operand that is aligned to {TO} is fine
; columns: INSN TO
; row: fstp tword [rdi] | 8
; row: fbstp [rdi] | 8
; row: fnstenv [rdi] | 4
; row: fnsave [rdi] | 4
; row: o16 fnstenv [rdi] | 2
; row: o16 fnsave [rdi] | 2
; row: maskmovdqu xmm0, xmm1 | 8
; row: maskmovq mm0, mm1 | 8
; in: ac=1, cr0|=0x40000, rdi=DATA+{TO}
; expect: rip=case_end+1
    {INSN}

; case: {INSN} of an operand of 16 bytes or more may lie anywhere
; native: intel
; columns: INSN
; row: movups xmm0, [rdi]
; row: movdqu [rdi], xmm0
; row: lddqu xmm0, [rdi]
; row: vmovdqu [rdi], ymm0
; row: vaddps ymm0, ymm0, [rdi]
; in: ac=1, cr0|=0x40000, rdi=DATA+1, cr4|=0x40000, xcr0=7
; expect: rip=case_end+1
    {INSN}

; case: elements of {INSN} may lie anywhere
; columns: INSN EXPECT
; row: vmaskmovps [rdi], xmm1, xmm0 | [DATA+1].4=0x80000005, [DATA+5].4=0, [DATA+9].4=0x80000006
; row: vpmaskmovq [rdi], xmm4, xmm0 | [DATA+1].8=0x80000005
; row: vmaskmovps xmm2, xmm1, [rdi] | xmm2=0x77
; row: vgatherdps xmm2, [rdi+xmm3*4], xmm1 | xmm2=0x00000000000000770000000000000077
; row: vpgatherdq xmm2, [rdi+xmm3*4], xmm4 | xmm2=0x77
; in: ac=1, cr0|=0x40000, rdi=DATA+1, [DATA+1].4=0x77, cr4|=0x40000, xcr0=7, xmm0=0x00000000800000060000000080000005, xmm1=0x00000000800000000000000080000000, xmm2=0, xmm3=0, xmm4=0x8000000000000000
; expect: {EXPECT}
    {INSN}

; case: {INSN} that faults leaves the top of the x87 stack where MMX has it
; native: intel
; columns: INSN AT FAULT
; row: movq [rdi], mm0 | DATA+1 | #AC
; row: movd [rdi], mm0 | DATA+1 | #AC
; row: movntq [rdi], mm0 | HOLE | #PF
; row: movq [rdi], mm0 | RO | #PF
; row: movq [rdi], mm0 | 1<<63 | #GP
; in: ac=1, cr0|=0x40000, rdi={AT}, fpu.tag=0x55, fpu.status=0x3000, st0=f80(1.0), st2=f80(2.0)
; expect: fault={FAULT}, rip=case_start, fpu.status=0, fpu.tag=0x55, st0=f80(2.0), st6=f80(1.0)
    {INSN}

; case: {INSN} is #GP if not aligned to 16 but to 4
; columns: INSN
; row: fxsave [rdi]
; row: fxrstor [rdi]
; row: xsave [rdi]
; row: xsavec [rdi]
; row: xrstor [rdi]
; in: ac=1, cr0|=0x40000, rdi=DATA+4, cr4|=0x40000, xcr0=7
; expect: fault=#GP, error=0, rip=case_start
    {INSN}

; case: {INSN} is #GP if not aligned to 16 at all
; columns: INSN
; row: movaps xmm0, [rdi]
; row: paddb xmm0, [rdi]
; row: vmovaps ymm0, [rdi]
; row: cmpxchg16b [rdi]
; in: ac=1, cr0|=0x40000, rdi=DATA+1, cr4|=0x40000, xcr0=7
; expect: fault=#GP, error=0, rip=case_start
    {INSN}

; case: with CR0.AM clear nothing is checked
; native: no
; in: ac=1, cr0&=0xfffbffff, rdi=DATA+1, fpu.tag=0xff
; expect: fpu.tag=0xfe
    fistp qword [rdi]

; case: with EFLAGS.AC clear nothing is checked
; in: ac=0, cr0|=0x40000, rdi=DATA+1, fpu.tag=0xff
; expect: fpu.tag=0xfe
    fistp qword [rdi]

; case: at privilege level 0 nothing is checked
; mode: long-kernel
; native: no
; in: ac=1, cr0|=0x40000, rdi=DATA+1, fpu.tag=0xff
; expect: fpu.tag=0xfe
    fistp qword [rdi]

; case: alignment is looked at before the page in {INSN}
; native: intel
; columns: INSN
; row: mov [rdi], eax
; row: mov eax, [rdi]
; row: fistp qword [rdi]
; row: fstp tword [rdi]
; row: lock add [rdi], rax
; row: add [rdi], rax
; row: inc dword [rdi]
; row: shl word [rdi], 3
; row: fnsave [rdi]
; row: xsave [rdi]
; in: ac=1, cr0|=0x40000, rdi=RO+1, fpu.tag=0xff, cr4|=0x40000, xcr0=7
; expect: fault=#AC, error=0, rip=case_start, fpu.status=0, fpu.tag=0xff
    {INSN}
