; mode: real

; case: int pushes six bytes
; in: if=1, cf=1
; expect: vector=0x21, at.rsp=0x7ffa, rip=2, cs=0x1000, cf=1, at.if=0
    int 0x21

; case: iret pops six bytes
; in: rsp=0x7ffa, [STACK+0x7ffa].2=case_end, [STACK+0x7ffc].2=0x1000, [STACK+0x7ffe].2=0x0003
; expect: rsp=0x8000, cf=1
    iret

; case: a word at the end of the segment is #GP
; in: rbx=0xffff
; expect: fault=#GP, rip=case_start
    mov ax, [bx]

; case: a word at the end of the stack segment is #SS
; in: rbp=0xffff
; expect: fault=#SS, rip=case_start
    mov ax, [bp]

; case: 16-bit effective addresses wrap
; in: rbx=0xfff0, rsi=0x20, [DATA+0x10].2=0x1234
; expect: ax=0x1234
    mov ax, [bx+si]

; case: a 32-bit effective address past 64 KiB is #GP
; in: rbx=0x10000
; expect: fault=#GP, rip=case_start
    mov al, [ebx]

; case: with big segments it works
; mode: real-big
; in: rbx=0x10000, [DATA+0x10000].1=0x55
; expect: al=0x55
    mov al, [ebx]

; case: a segment register load is times sixteen
; in: rax=0x2345, [0x23450].2=0x1234
; expect: ds.base=0x23450, bx=0x1234
    mov ds, ax
    mov bx, [0]

; case: addresses go beyond 1 MiB with A20 on
; in: rax=0xffff, [0x100000].1=0x77
; expect: bl=0x77
    mov ds, ax
    mov bl, [0x10]

; case: a far call pushes segment and offset
; expect: stop=halt, rip=case_end-15, rsp=0x7ffc, [STACK+0x7ffe].2=0x1000, [STACK+0x7ffc].2=5, cs=0x1001
    call 0x1001:case_end-16
back:
    times 20 nop
case_end:
    hlt

; case: push decrements SP and wraps
; in: rsp=0
; expect: rsp=0xfffe, [STACK+0xfffe].2=0x1111
    push ax

; case: a push with 32-bit operands uses SP
; in: rsp=0x12340004
; expect: rsp=0x12340000, [STACK].4=0x11111111
    push eax

; case: near jumps wrap IP at 64 KiB
; expect: fault=#GP, rip=0xffff
    jmp near 0xffff

; case: lidt moves the vector table
; in: [DATA].2=0x3ff, [DATA+2].4=0x40000, [0x40000+0x21*4].4=0x10000000|handler
; expect: stop=halt, rip=handler+1
    lidt [0]
    int 0x21
handler:
    hlt

; case: a vector beyond the table's limit is #GP
; in: idtr.limit=0x7f
; expect: fault=#GP, rip=case_start
    int 0x21

; case: into protected mode
; in: gdt[0x30]=desc(0, 0xfffff, 0xc09b), gdt[0x10]=desc(0, 0xfffff, 0xc093)
; expect: stop=halt, cs=0x30, rax=0x12345678, ss=0x10
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword 0x30:target+CODE_LINEAR
bits 32
target:
    mov ax, 0x10
    mov ss, ax
    mov eax, 0x12345678
    hlt
bits 16

; case: loop uses CX
; in: rcx=0x10001
; expect: rcx=0x10000
    loop case_start
    nop

; case: a jump with 32-bit operands past the limit is #GP
; in: rax=0x10000
; expect: fault=#GP, rip=case_start
    jmp eax

; case: division errors push the address of the instruction
; in: rcx=0
; expect: fault=#DE, rip=1
    nop
    div cl

; case: pusha of 16 bits
; expect: rsp=0x7ff0, [STACK+0x7ff6].2=0x8000, [STACK+0x7ff0].2=0x8888
    pusha

; case: the address size prefix uses 32-bit registers for strings
; in: rsi=0x100, rdi=0x200, rcx=2, [DATA+0x100].2=0x2211
; expect: [EXTRA+0x200].2=0x2211, rcx=0
    a32 rep movsb

; case: lmsw enters protected mode
; expect: cr0=0x11
; in: rax=1
    lmsw ax

; case: {OP} in real mode is #UD
; columns: OP
; row: lar ax, bx
; row: verr ax
; row: str ax
; row: sldt ax
; row: lldt ax
; row: arpl ax, bx
; expect: fault=#UD, rip=case_start
    {OP}

; case: {OP} in real mode is #GP
; columns: OP
; row: sysenter
; row: sysexit
; expect: fault=#GP, rip=case_start
    {OP}

; case: bound in real mode
; in: rax=4, [DATA].2=5, [DATA+2].2=7
; expect: fault=#BR, rip=case_start
    bound ax, [0]

; case: V86: a software interrupt goes through the IDT to the kernel
; mode: v86
; expect: vector=0x80, at.rsp=KSTACK_TOP-36, cs=0x1000, vm=1, at.vm=0, at.ds=0, [KSTACK_TOP-12].4=0x2000, [KSTACK_TOP-16].4=0x4000, rip=2
    int 0x80

; case: V86: {OP} with IOPL below 3 is #GP
; mode: v86
; columns: OP
; row: cli
; row: sti
; row: pushf
; row: popf
; row: iret
; row: int 0x80
; in: iopl=0
; expect: fault=#GP, error=0, rip=case_start
    {OP}

; case: V86: int3 does not look at IOPL
; mode: v86
; in: iopl=0
; expect: fault=#BP, rip=1
    int3
    nop

; case: V86: cli works with IOPL 3
; mode: v86
; expect: if=0
    cli

; case: V86: pushf shows IOPL 3 and no VM
; mode: v86
; in: flags=0
; expect: [STACK+0x7ffe].2=0x3202
    pushf

; case: V86: hlt is #GP
; mode: v86
; expect: fault=#GP, error=0, rip=case_start
    hlt

; case: V86: {OP} is #UD
; mode: v86
; columns: OP
; row: lar ax, bx
; row: arpl ax, bx
; row: str ax
; expect: fault=#UD, rip=case_start
    {OP}

; case: V86: segment loads are times sixteen
; mode: v86
; in: rax=0x2100, [DATA+0x1000].2=0x99
; expect: bx=0x99
    mov fs, ax
    mov bx, [fs:0]

; case: VME: cli with IOPL 0 clears VIF
; mode: v86
; in: cr4|=1, iopl=0, vif=1
; expect: vif=0, if=1
    cli

; case: VME: sti with IOPL 0 sets VIF
; mode: v86
; in: cr4|=1, iopl=0, vif=0
; expect: vif=1
    sti

; case: VME: sti with VIP set is #GP
; mode: v86
; in: cr4|=1, iopl=0, vip=1
; expect: fault=#GP, error=0, rip=case_start
    sti

; case: VME: pushf shows VIF as IF and IOPL 3
; mode: v86
; in: cr4|=1, iopl=0, vif=0, flags=0
; expect: [STACK+0x7ffe].2=0x3002
    pushf

; case: VME: popf writes IF to VIF
; mode: v86
; in: cr4|=1, iopl=0, rsp=0x7ffe, [STACK+0x7ffe].2=0x0201
; expect: vif=1, if=1, cf=1, rsp=0x8000
    popf

; case: VME: a redirected interrupt goes to the 8086 handler
; mode: v86
; in: cr4|=1, iopl=0, vif=1, [0x84].4=0x10000000|handler
; expect: vif=0, rsp=0x7ffa, [STACK+0x7ffa].2=2, [STACK+0x7ffc].2=0x1000
    int 0x21
    nop
handler:
    nop

; case: VME: an interrupt that is not redirected is #GP without IOPL 3
; mode: v86
; in: cr4|=1, iopl=0, tss[0x68+4].1=2
; expect: fault=#GP, error=0, rip=case_start
    int 0x21

; case: iret into V86 mode
; mode: protected32
; in: rsp=DATA, [DATA].4=0, [DATA+4].4=0x1200, [DATA+8].4=0x23002, [DATA+12].4=0x100, [DATA+16].4=0x3000, [DATA+20].4=0x4000, [DATA+24].4=0x2000, [DATA+28].4=0, [DATA+32].4=0, [0x12000]=bytes("cd 80")
; expect: vector=0x80, cs=0x1200, ss=0x3000, rsp=0x100, vm=1, rip=2
    iret
