; mode: long-user

; case: the last of several x87 instructions is the one that fxsave shows
; native: intel
; in: rdi=DATA
; expect: [DATA+8].8=last, [DATA+6].2=0
    fld1
    fld1
last:
    fmulp
    mov eax, 1
    fxsave64 [rdi]

; case: the last x87 instruction is known behind a {WHAT}
; native: intel
; columns: WHAT CODE
; row: branch that is taken | jz over
; row: branch that is not taken | jnz over
; row: jump | jmp over
; row: jump through a register | jmp rbx
; in: rdi=DATA, rbx=over
; expect: [DATA+8].8=last
    fld1
last:
    fld1
    xor eax, eax
    {CODE}
    nop
over:
    fxsave64 [rdi]

; case: the last x87 instruction is known behind a call
; native: intel
; in: rdi=DATA
; expect: [DATA+8].8=last
    fld1
    call function
    fxsave64 [rdi]
    jmp done
function:
last:
    fld1
    ret
done:

; case: control instructions are not the last x87 instruction
; native: intel
; in: rdi=DATA, [DATA+2].2=0x37f
; expect: [DATA+16+8].8=last
last:
    fld1
    fnstcw [rdi]
    fldcw [rdi+2]
    fnstsw ax
    fnclex
    add rdi, 16
    fxsave64 [rdi]

; case: the operand's address is known though its register has changed
; direct: intel-operand
; in: rdi=DATA, rsi=DATA+0x400, rcx=2
; expect: [DATA+16].8=DATA+0x418, [DATA+8].8=last
    fld qword [rsi+rcx*8+8]
    mov rsi, 5
    mov ecx, 7
last:
    fld1
    fxsave64 [rdi]

; case: the operand's address on the stack is known behind a push
; direct: intel-operand
; in: rdi=DATA
; expect: [DATA+16].8=STACK_TOP-8
    push rax
    fild qword [rsp]
    push rax
    pop rax
    pop rax
    fxsave64 [rdi]

; case: the operand's address is an offset in its segment
; mode: long-kernel
; in: rdi=DATA, rsi=0x10, fs.base=DATA
; expect: [DATA+16].8=0x18
    fld qword fs:[rsi+8]
    fxsave64 [rdi]

; case: an 80-bit store into a missing page changes nothing
; direct: intel
; in: rdi=HOLE-4
; expect: fault=#PF, error=6, cr2=HOLE, rip=bad, fpu.status=0x3000, fpu.tag=0xc0, fpu.instruction_pointer=last, st1=f80(1.0)
    fld1
last:
    fldpi
    nop
bad:
    fstp tword [rdi]

; case: a load from a missing page changes nothing
; direct: intel-operand
; in: rdi=HOLE, [DATA].4=f32(1.0), rsi=DATA
; expect: fault=#PF, error=4, cr2=HOLE, rip=bad, fpu.status=0x3800, fpu.instruction_pointer=last, fpu.data_pointer=DATA
last:
    fld dword [rsi]
bad:
    fadd qword [rdi]

; case: an 80-bit store reaches into the next page
; native: yes
; in: rdi=DATA+0xffc
; expect: [DATA+0xffc].8=0x8000000000000000, [DATA+0x1004].2=0x3fff, fpu.tag=0
    fld1
    fstp tword [rdi]

; case: a load from device memory between x87 instructions
; mode: long-kernel
; in: rdi=MMIO
; expect: st0=f80(67305987.0)
; ports: mmio-read32 0x900000
    fld1
    fiadd dword [rdi]
    fld1
    faddp

; case: an integer load from device memory between x87 instructions
; mode: long-kernel
; in: rdi=MMIO, fpu.control=0xf7f
; expect: st0=f80(2.0), rax=0x04030201, fpu.control=0xf7f
; ports: mmio-read32 0x900000
    fld1
    mov eax, [rdi]
    fadd st0, st0

; case: a port between x87 instructions
; mode: long-kernel
; in: fpu.control=0xf7f
; expect: st0=f80(2.0), al=0x61, fpu.control=0xf7f
; ports: in8 0x60
    fld1
    in al, 0x60
    fadd st0, st0

; case: setting TS between x87 instructions makes the next one #NM
; mode: long-kernel
; expect: fault=#NM, rip=bad, st0=f80(1.0)
    fld1
    mov rax, cr0
    or eax, 8
    mov cr0, rax
    nop
bad:
    fadd st0, st0

; case: clearing TS between x87 instructions
; mode: long-kernel
; expect: st0=f80(2.0)
    fld1
    mov rax, cr0
    or eax, 8
    mov cr0, rax
    clts
    fadd st0, st0

; case: setting EM between MMX instructions makes the next one #UD
; mode: long-kernel
; expect: fault=#UD, rip=bad
    movq mm0, mm1
    mov rax, cr0
    or eax, 4
    mov cr0, rax
bad:
    paddb mm0, mm0

; case: unmasking invalid operation makes one wait for the next instruction
; native: yes
; in: [DATA].2=0x37e, rdi=DATA
; expect: fault=#MF, rip=bad, fpu.status=0xb081, fpu.opcode=0x6f9
    fldz
    fldz
    fldcw [rdi]
    fdivp
    nop
bad:
    fld1

; case: unmasking what is flagged makes the next instruction fault
; native: yes
; in: [DATA].2=0x37e, rdi=DATA
; expect: fault=#MF, rip=bad, fpu.status=0xb881
    fldz
    fldz
    fdivp
    fldcw [rdi]
bad:
    fwait

; case: clearing and masking again goes on
; native: yes
; in: [DATA].2=0x37e, [DATA+2].2=0x37f, rdi=DATA
; expect: fpu.control=0x37f, fpu.status=0x3801, st0=0xffffc000000000000000
    fldz
    fldz
    fldcw [rdi]
    fdivp
    fnclex
    fldcw [rdi+2]
    fdivp

; case: fnstenv masks what was unmasked
; native: yes
; in: fpu.control=0x37e, rdi=DATA
; expect: fpu.control=0x37f, fpu.status=0x3801, [DATA].2=0x37e
    fldz
    fnstenv [rdi]
    fldz
    fdivp
    fwait

; case: fldenv unmasks
; native: yes
; in: rdi=DATA, [DATA].4=0x37e, [DATA+8].4=0xffff
; expect: fault=#MF, rip=bad
    fldenv [rdi]
    fldz
    fldz
    fdivp
bad:
    fld1

; case: fninit between x87 instructions
; native: yes
; in: fpu.control=0xf7f
; expect: fpu.control=0x37f, fpu.tag=0x80, fpu.status=0x3800, st0=f80(1.0)
    fldpi
    fldpi
    fninit
    fld1

; case: fxrstor between x87 instructions brings other registers
; native: yes
; in: rdi=DATA
; expect: st0=f80(2.0), fpu.tag=0x80
    fld1
    fxsave64 [rdi]
    fldpi
    fldpi
    fxrstor64 [rdi]
    fadd st0, st0

; case: xsave between x87 instructions sees them in use
; native: yes
; in: rdi=DATA, rax=1, rdx=0, cr4|=0x40000, xcr0=7
; expect: [DATA+512].8=1, [DATA+0x20].8=0x8000000000000000, st0=f80(2.0)
    fld1
    xsave64 [rdi]
    fadd st0, st0

; case: rounding is changed for one conversion, as compilers do
; native: yes
; in: rdi=DATA, [DATA].8=f64(2.9)
; expect: [DATA+8].4=2, [DATA+12].4=3, fpu.control=0x37f
    fld qword [rdi]
    fnstcw [rdi+16]
    movzx eax, word [rdi+16]
    or ah, 0xc
    mov [rdi+18], ax
    fldcw [rdi+18]
    fist dword [rdi+8]
    fldcw [rdi+16]
    fistp dword [rdi+12]

; case: MMX sees the significands of x87 registers
; native: yes
; expect: rax=0xc90fdaa22168c235, rbx=0x8000000000000000, fpu.status=0, fpu.tag=0xff
    fld1
    fldpi
    movq rax, mm6
    movq rbx, mm7

; case: x87 behind MMX without emms finds no room
; native: yes
; expect: fpu.status=0x3a41, st0=0xffffc000000000000000
    movq mm0, mm1
    fld1

; case: x87 behind emms
; native: yes
; expect: fpu.status=0x3800, fpu.tag=0x80, st0=f80(1.0)
    movq mm0, mm1
    emms
    fld1

; case: MMX and SSE registers exchange numbers
; native: yes
; in: rax=0x0000000500000002, xmm2=0x1122334455667788
; expect: xmm0=0x40a0000040000000, xmm1=0x0000000500000002, rbx=0x1122334455667788
    movq mm0, rax
    xorps xmm0, xmm0
    cvtpi2ps xmm0, mm0
    movq2dq xmm1, mm0
    movdq2q mm3, xmm2
    movq rbx, mm3

; case: a conversion to MMX from memory notes an inexact result
; native: yes
; in: rdi=DATA, [DATA].4=f32(1.5), [DATA+4].4=f32(-3.0)
; expect: mm5=0xfffffffd00000001, fpu.mxcsr=0x1fa0
    cvttps2pi mm5, qword [rdi]

; case: an MMX instruction waits for a pending exception
; native: yes
; in: [DATA].2=0x37e, rdi=DATA
; expect: fault=#MF, rip=bad
    fldz
    fldz
    fldcw [rdi]
    fdivp
bad:
    paddb mm0, mm1
