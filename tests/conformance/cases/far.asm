; mode: protected32

; case: a far jump loads CS
; expect: cs=0x90
    jmp 0x90:target
target:
    nop

; case: a far jump to {WHAT} is {F}
; columns: WHAT SEL F E
; row: null | 0 | #GP | 0
; row: data | 0x10 | #GP | 0x10
; row: absent code | 0xb8 | #NP | 0xb8
; row: user code | 0x18 | #GP | 0x18
; row: a selector past the GDT | 0x208 | #GP | 0x208
; expect: fault={F}, error={E}, rip=case_start
    jmp {SEL}:case_end

; case: a far jump past the limit is #GP
; in: gdt[0xf0]=desc(0, 0xfff, 0x409b)
; expect: fault=#GP, error=0, rip=case_start
    jmp 0xf0:0x2000

; case: a far call pushes CS and EIP
; expect: rsp=STACK_TOP-8, [STACK_TOP-8].4=back, [STACK_TOP-4].4=0x30, cs=0x90
    call 0x90:case_end
back:
    nop

; case: a far call of 16 bits pushes four bytes
; mode: protected16
; expect: rsp=0x7ffc, [STACK+0x7ffc].2=back, [STACK+0x7ffe].2=0x38
    call 0x38:case_end
back:
    nop

; case: a far return goes back
; in: rsp=STACK_TOP-8, [STACK_TOP-8].4=case_end, [STACK_TOP-4].4=0x90
; expect: cs=0x90, rsp=STACK_TOP
    retf

; case: a far return drops arguments
; in: rsp=STACK_TOP-16, [STACK_TOP-16].4=case_end, [STACK_TOP-12].4=0x30
; expect: rsp=STACK_TOP
    retf 8

; case: a far return to user code loads SS and ESP
; in: rsp=STACK_TOP-16, [STACK_TOP-16].4=target, [STACK_TOP-12].4=0x1b, [STACK_TOP-8].4=DATA+0x100, [STACK_TOP-4].4=0x23
; expect: fault=#BP, cs=0x1b, ss=0x23, rsp=DATA+0x100, ds=0
    retf
target:
    int3

; case: a far return cannot go to a higher privilege
; mode: protected32-user
; in: rsp=STACK_TOP-8, [STACK_TOP-8].4=case_end, [STACK_TOP-4].4=0x30
; expect: fault=#GP, error=0x30, rip=case_start, rsp=STACK_TOP-8
    retf

; case: a user cannot jump to kernel code
; mode: protected32-user
; expect: fault=#GP, error=0x30, rip=case_start
    jmp 0x33:case_end

; case: a user calls conforming code and keeps its level
; mode: protected32-user
; expect: cs=0x93
    jmp 0x90:case_end

; case: a call gate raises the privilege and copies parameters
; mode: protected32-user
; in: gdt[0xf0]=gate(target, kind=0xc, dpl=3)|(2<<32), rsp=STACK_TOP-8, [STACK_TOP-8].4=0xaaa, [STACK_TOP-4].4=0xbbb
; expect: stop=halt, cs=0x30, ss=0x10, rsp=KSTACK_TOP-24, [KSTACK_TOP-4].4=0x23, [KSTACK_TOP-8].4=STACK_TOP-8, [KSTACK_TOP-12].4=0xbbb, [KSTACK_TOP-16].4=0xaaa, [KSTACK_TOP-20].4=0x1b, [KSTACK_TOP-24].4=back
    call 0xf3:0
back:
    nop
target:
    hlt

; case: a call gate at the same level pushes only the return address
; in: gdt[0xf0]=gate(case_end, kind=0xc)
; expect: rsp=STACK_TOP-8, [STACK_TOP-8].4=back
    call 0xf0:0x1234
back:
    nop

; case: a call gate of DPL 0 is closed to users
; mode: protected32-user
; in: gdt[0xf0]=gate(case_end, kind=0xc, dpl=0)
; expect: fault=#GP, error=0xf0, rip=case_start
    call 0xf3:0

; case: an absent call gate is #NP
; in: gdt[0xf0]=gate(case_end, kind=0xc, present=0)
; expect: fault=#NP, error=0xf0, rip=case_start
    call 0xf0:0

; case: a jump through a call gate cannot raise the privilege
; mode: protected32-user
; in: gdt[0xf0]=gate(case_end, kind=0xc, dpl=3)
; expect: fault=#GP, error=0x30, rip=case_start
    jmp 0xf3:0

; case: in long mode a call gate enters 64-bit code
; mode: compat
; in: gdt[0xf0].16=gate(target, kind=0xc, dpl=3)
; expect: stop=halt, cs=8, rsp=KSTACK_TOP-32, [KSTACK_TOP-8].8=0x23, [KSTACK_TOP-16].8=STACK_TOP, [KSTACK_TOP-24].8=0x1b, [KSTACK_TOP-32].8=back
    call 0xf3:0
back:
    nop
target:
    hlt

; case: a user in 64-bit mode jumps to compatibility mode
; mode: long-user
; in: [DATA].4=target, [DATA+4].2=0x1b
; expect: cs=0x1b, rax=0x12345678
    db 0xff, 0x2c, 0x25
    dd DATA
bits 32
target:
    mov eax, 0x12345678
bits 64

; case: a far jump with REX.W takes a 64-bit offset
; mode: long-user
; in: [DATA].8=case_end, [DATA+8].2=0x2b
; expect: cs=0x2b
    o64 jmp far [DATA]

; case: a far jump to a code segment with both L and D is #GP
; mode: long-kernel
; in: gdt[0xf0]=desc(0, 0xfffff, 0xe09b), [DATA].4=case_end, [DATA+4].2=0xf0
; expect: fault=#GP, error=0xf0, rip=case_start
    db 0xff, 0x2c, 0x25
    dd DATA

; case: a task switch by jump loads the new task
; in: [TSS2+0x1c].4=0, [TSS2+0x20].4=target, [TSS2+0x24].4=0x203, [TSS2+0x28].4=0xaaa, [TSS2+0x38].4=DATA+0x800, [TSS2+0x48].4=0x10, [TSS2+0x4c].4=0x30, [TSS2+0x50].4=0x10, [TSS2+0x54].4=0x10, [TSS2+0x58].4=0, [TSS2+0x5c].4=0, [TSS2+0x60].4=0
; expect: rax=0xaaa, rsp=DATA+0x800, cf=1, nt=0, tr=0x70, [GDT+0x55].1=0x89, [GDT+0x75].1=0x8b, [TSS+0x28].4=0x11111111, [TSS+0x20].4=back, cr0=0x5003b, fs=0
    jmp 0x70:0
back:
    nop
target:
    nop

; case: a task switch by call links back and sets NT
; in: [TSS2+0x20].4=target, [TSS2+0x24].4=2, [TSS2+0x38].4=DATA+0x800, [TSS2+0x48].4=0x10, [TSS2+0x4c].4=0x30, [TSS2+0x50].4=0x10, [TSS2+0x54].4=0x10, [TSS2+0x58].4=0, [TSS2+0x5c].4=0, [TSS2+0x60].4=0
; expect: nt=1, [TSS2].2=0x50, [GDT+0x55].1=0x8b, [GDT+0x75].1=0x8b
    call 0x70:0
target:
    nop

; case: iret with NT returns to the calling task
; in: [TSS2+0x20].4=target, [TSS2+0x24].4=2, [TSS2+0x38].4=DATA+0x800, [TSS2+0x48].4=0x10, [TSS2+0x4c].4=0x30, [TSS2+0x50].4=0x10, [TSS2+0x54].4=0x10, [TSS2+0x58].4=0, [TSS2+0x5c].4=0, [TSS2+0x60].4=0
; expect: rax=0x11111111, rsp=STACK_TOP, nt=0, tr=0x50, [GDT+0x75].1=0x89, [TSS2+0x28].4=0x77
    call 0x70:0
    jmp case_end
target:
    mov eax, 0x77
    iret

; case: a jump to a busy task is #GP
; in: gdt[0x70]=desc(TSS2, 0x67, 0x8b)
; expect: fault=#GP, error=0x70, rip=case_start
    jmp 0x70:0

; case: a task state segment that is too small is #TS
; in: gdt[0x70]=desc(TSS2, 0x66, 0x89)
; expect: fault=#TS, error=0x70
    jmp 0x70:0

; case: far returns to compatibility mode from 64-bit mode
; mode: long-user
; in: rsp=STACK_TOP-16, [STACK_TOP-16].8=target, [STACK_TOP-8].8=0x1b
; expect: cs=0x1b, rax=5, rsp=STACK_TOP
    o64 retf
bits 32
target:
    mov eax, 5
bits 64
