; mode: long-kernel

; case: an interrupt gate clears IF
; in: if=1
; expect: vector=0x80, rip=behind, at.if=0, if=1
    int 0x80
behind:
    nop

; case: a trap gate keeps IF
; in: if=1, gate[0x80]=gate(HANDLERS+0x800, kind=0xf, dpl=3)
; expect: vector=0x80, at.if=1
    int 0x80

; case: a gate clears TF, NT and RF
; in: nt=1, rf=1
; expect: vector=0x80, at.nt=0, at.rf=0, at.tf=0, nt=1
    int 0x80

; case: the stack pointer is pushed as it was and aligned
; in: rsp=STACK_TOP-3
; expect: vector=0x80, rsp=STACK_TOP-3, at.rsp=((STACK_TOP-3)&~15)-40
    int 0x80

; case: an error code takes eight bytes of the stack
; expect: fault=#GP, error=0, at.rsp=STACK_TOP-48
    mov cr8, rax

; case: an interrupt stack table entry is used even at the same level
; in: gate[0x80]=gate(HANDLERS+0x800, dpl=3, ist=2)
; expect: vector=0x80, at.rsp=IST2_TOP-40, rsp=STACK_TOP
    int 0x80

; case: from user mode the stack is RSP0, and SS is null
; mode: long-user
; expect: vector=0x80, at.rsp=KSTACK_TOP-40, at.ss=0, at.cs=8, rsp=STACK_TOP, ss=0x23, cs=0x2b
    int 0x80

; case: from compatibility mode the handler runs 64-bit code
; mode: compat
; expect: vector=0x80, at.rsp=KSTACK_TOP-40, at.cs=8, cs=0x1b, rip=behind
    int 0x80
behind:
    nop

; case: from a 32-bit ring 3 the stack is SS0:ESP0
; mode: protected32-user
; expect: vector=0x80, at.rsp=KSTACK_TOP-20, at.ss=0x10, at.cs=0x30, rsp=STACK_TOP, ss=0x23, cs=0x1b
    int 0x80

; case: a 32-bit interrupt at the same level pushes three words
; mode: protected32
; expect: vector=0x80, at.rsp=STACK_TOP-12, [STACK_TOP-4].4=0x2, [STACK_TOP-8].4=0x30
    int 0x80

; case: a 16-bit gate pushes 16-bit words
; mode: protected32
; in: gate[0x80]=gate(handler&0xffff, kind=6, dpl=3, selector=0xf0), gdt[0xf0]=desc(CODE, 0xffff, 0x9b), rsp=STACK_TOP
; expect: stop=halt, rsp=STACK_TOP-6, [STACK_TOP-6].2=behind&0xffff, [STACK_TOP-4].2=0x30, [STACK_TOP-2].2=2, cs=0xf0
    int 0x80
behind:
    nop
    hlt
handler equ halt - CODE_LINEAR
halt:
    hlt

; case: a gate that is not present is #NP
; in: gate[0x80]=gate(HANDLERS, present=0, dpl=3)
; expect: fault=#NP, error=0x402, rip=case_start
    int 0x80

; case: a vector beyond the IDT is #GP
; in: idtr.limit=0x7ff
; expect: fault=#GP, error=0x402, rip=case_start
    int 0x80

; case: a descriptor that is no gate is #GP
; in: gate[0x80]=gate(HANDLERS, kind=2, dpl=3)
; expect: fault=#GP, error=0x402, rip=case_start
    int 0x80

; case: a task gate in long mode is #GP
; in: gate[0x80]=gate(HANDLERS, kind=5, dpl=3)
; expect: fault=#GP, error=0x402, rip=case_start
    int 0x80

; case: a gate with a null selector is #GP(0)
; in: gate[0x80]=gate(HANDLERS, selector=0)
; expect: fault=#GP, error=0, rip=case_start
    int 0x80

; case: a gate to {WHAT} is {F}
; columns: WHAT SEL F E
; row: a data segment | 0x10 | #GP | 0x10
; row: a code segment of 32 bits | 0x30 | #GP | 0x30
; row: an absent code segment | 0xf0 | #NP | 0xf0
; row: a segment beyond the GDT | 0x300 | #GP | 0x300
; row: a user code segment | 0x28 | #GP | 0x28
; in: gate[0x80]=gate(HANDLERS, selector={SEL}), gdt[0xf0]=desc(0, 0xfffff, 0xa01b)
; expect: fault={F}, error={E}, rip=case_start
    int 0x80

; case: a handler at a non-canonical address is #GP(0)
; in: gate[0x80]=gate(0x8000000000000000)
; expect: fault=#GP, error=0, rip=case_start
    int 0x80

; case: the selector of a gate may have any RPL
; in: gate[0x80]=gate(HANDLERS+0x800, selector=0x0b)
; expect: vector=0x80, at.cs=8
    int 0x80

; case: a benign exception whose gate is absent becomes #NP with EXT
; in: gate[6]=gate(HANDLERS, present=0)
; expect: fault=#NP, error=6*8+3, rip=case_start
    ud2

; case: #GP whose gate is absent becomes #DF
; in: gate[13]=gate(HANDLERS, present=0)
; expect: fault=#DF, error=0, at.rsp=IST1_TOP-48, rip=case_start
    mov cr8, rax

; case: #PF whose gate is absent becomes #DF
; in: gate[14]=gate(HANDLERS, present=0), rdi=HOLE
; expect: fault=#DF, error=0, rip=case_start, cr2=HOLE
    mov rax, [rdi]

; case: #PF while delivering #DE is delivered as #PF
; in: gate[0]=gate(HANDLERS, ist=3), tss[0x34].8=HOLE+0x10, rbx=0
; expect: fault=#PF, error=2, cr2=HOLE+8
    div rbx

; case: #PF while delivering #PF becomes #DF
; in: gate[14]=gate(HANDLERS+14*16, ist=3), tss[0x34].8=HOLE+0x10, rdi=HOLE+0x800
; expect: fault=#DF, error=0, cr2=HOLE+8
    mov rax, [rdi]

; case: a fault while delivering #DF is a triple fault
; in: gate[8]=gate(HANDLERS, present=0), gate[13]=gate(HANDLERS, present=0)
; expect: stop=triple
    mov cr8, rax

; case: without an IDT the first exception is a triple fault
; in: idtr.limit=0
; expect: stop=triple
    ud2

; case: a non-canonical interrupt stack is #SS
; in: gate[0x80]=gate(HANDLERS, ist=3), tss[0x34].8=0x8000000000000000
; expect: fault=#SS, error=0, rip=case_start
    int 0x80

; case: an interrupt is taken soon after it was raised
; in: if=1, rax=0x30
; expect: vector=0x30, if=1
    out 0xe0, al
    nop
    jmp case_end

; case: an interrupt waits while IF is clear
; in: if=0, rax=0x30
; expect: rbx=1
    out 0xe0, al
    mov ebx, 1
    jmp case_end

; case: sti lets one more instruction run
; in: if=0, rax=0x30, rbx=0
; expect: vector=0x30, rip=behind, rbx=1
    out 0xe0, al
    sti
    inc rbx
behind:
    inc rbx
    jmp case_end

; case: sti, cli lets nothing in
; in: if=0, rax=0x30
; expect: if=0
    out 0xe0, al
    sti
    cli
    jmp case_end

; case: sti with IF already set has no shadow
; in: if=1, rax=0x30, rbx=0
; expect: vector=0x30
    sti
    out 0xe0, al
    inc rbx
    jmp case_end

; case: popf that sets IF lets an interrupt in at once
; in: if=0, rax=0x30, rbx=0, [STACK_TOP-8].8=0x202, rsp=STACK_TOP-8
; expect: vector=0x30, rip=behind, rbx=0
    out 0xe0, al
    popfq
behind:
    inc rbx
    jmp case_end

; case: mov to SS holds an interrupt back for one instruction
; in: if=1, rax=0x30, rbx=0x10
; expect: vector=0x30, rip=behind, rcx=0
    xor ecx, ecx
    mov ss, bx
    out 0xe0, al
behind:
    inc ecx
    jmp case_end

; case: hlt wakes up to an interrupt and returns behind itself
; in: if=0, rax=0x30
; expect: vector=0x30, rip=behind
    out 0xe2, al
    sti
    hlt
behind:
    nop

; case: hlt with IF clear does not wake up
; in: if=0, rax=0x30
; expect: stop=halt, rip=behind
    out 0xe2, al
    hlt
behind:
    nop
    nop

; case: an interrupt handler returns and the code goes on
; in: if=1, rax=0x30, rbx=0, rcx=0, gate[0x30]=handler
; expect: rbx=3, rcx=1, if=1, rsp=STACK_TOP
    out 0xe0, al
    add ebx, 3
    jmp case_end
handler:
    inc ecx
    iretq

; case: an interrupt reaches a loop that does nothing
; in: if=1, rax=0x30, rbx=0, gate[0x30]=handler
; expect: rbx=1
    out 0xe0, al
wait_here:
    test ebx, ebx
    jz wait_here
    jmp case_end
handler:
    inc ebx
    iretq

; case: two pending interrupts are taken one after the other
; in: if=0, rax=0x30, rbx=0, gate[0x30]=first, gate[0x31]=second
; expect: rbx=0x12
    out 0xe0, al
    inc eax
    out 0xe0, al
    sti
    nop
    nop
    jmp case_end
first:
    shl ebx, 4
    or ebx, 1
    iretq
second:
    shl ebx, 4
    or ebx, 2
    iretq

; case: an NMI comes with IF clear
; in: if=0
; expect: vector=2
    out 0xe1, al
    nop
    jmp case_end

; case: a second NMI waits for IRET
; in: rbx=0, gate[2]=handler
; expect: rbx=2, rcx=1
    xor ecx, ecx
    out 0xe1, al
    nop
    jmp case_end
handler:
    inc ebx
    cmp ebx, 1
    jne second
    out 0xe1, al
    nop
    mov ecx, ebx
second:
    iretq

; case: iretq loads RSP, SS and flags even at the same level
; in: rsp=DATA+0x100, [DATA+0x100].8=case_end, [DATA+0x108].8=8, [DATA+0x110].8=0x203, [DATA+0x118].8=DATA+0x300, [DATA+0x120].8=0x10
; expect: rsp=DATA+0x300, cf=1, if=1, ss=0x10
    iretq

; case: iretq to user mode
; in: page[CODE]=CODE|P|W|U, rsp=DATA+0x100, [DATA+0x100].8=target, [DATA+0x108].8=0x2b, [DATA+0x110].8=0x202, [DATA+0x118].8=DATA+0x300, [DATA+0x120].8=0x23
; expect: fault=#BP, rip=behind, cs=0x2b, ss=0x23, rsp=DATA+0x300, if=1
    iretq
target:
    int3
behind:
    hlt

; case: iretq to compatibility mode
; in: page[CODE]=CODE|P|W|U, rsp=DATA+0x100, [DATA+0x100].8=target, [DATA+0x108].8=0x1b, [DATA+0x110].8=0x202, [DATA+0x118].8=DATA+0x300, [DATA+0x120].8=0x23
; expect: fault=#BP, cs=0x1b, rax=0x12345678
    iretq
bits 32
target:
    mov eax, 0x12345678
    int3
bits 64
    hlt

; case: iretq with {WHAT} is {F}
; columns: WHAT RIP CS SS F E
; row: a null CS | target | 0 | 0x10 | #GP | 0
; row: a data segment in CS | target | 0x10 | 0x10 | #GP | 0x10
; row: an absent code segment | target | 0xb8 | 0x10 | #NP | 0xb8
; row: CS beyond the GDT | target | 0x308 | 0x10 | #GP | 0x308
; row: a non-canonical RIP | 0x8000000000000000 | 8 | 0x10 | #GP | 0
; row: a null SS for 32-bit user code | target | 0x1b | 0 | #GP | 0
; row: an SS of the wrong level | target | 0x2b | 0x10 | #GP | 0x10
; row: an absent SS | target | 8 | 0xb0 | #SS | 0xb0
; in: rsp=DATA+0x100, [DATA+0x100].8={RIP}, [DATA+0x108].8={CS}, [DATA+0x110].8=0x2, [DATA+0x118].8=DATA, [DATA+0x120].8={SS}
; expect: fault={F}, error={E}, rip=case_start, rsp=DATA+0x100
    iretq
target:
    nop

; case: iretq with NT set is #GP in long mode
; in: nt=1
; expect: fault=#GP, error=0, rip=case_start
    iretq

; case: iretq at CPL 3 cannot change IF or IOPL
; mode: long-user
; in: rsp=DATA+0x100, [DATA+0x100].8=case_end, [DATA+0x108].8=0x2b, [DATA+0x110].8=0x3003, [DATA+0x118].8=STACK_TOP, [DATA+0x120].8=0x23
; expect: if=1, iopl=0, cf=1, rsp=STACK_TOP
    iretq

; case: iret at ring 0 loads IOPL and IF
; mode: protected32
; in: rsp=DATA, [DATA].4=case_end, [DATA+4].4=0x30, [DATA+8].4=0x3202
; expect: iopl=3, if=1, rsp=DATA+12
    iret

; case: iret to ring 3 makes segments of ring 0 null
; mode: protected32
; in: rsp=DATA, [DATA].4=target, [DATA+4].4=0x1b, [DATA+8].4=2, [DATA+12].4=DATA+0x100, [DATA+16].4=0x23
; expect: fault=#BP, ds=0, es=0, cs=0x1b, ss=0x23, rsp=DATA+0x100
    iret
target:
    int3

; case: popping into a read-only stack during delivery is #DF through the IST
; in: rsp=RO+0x1000
; expect: fault=#DF, error=0, at.rsp=IST1_TOP-48
    mov rax, [HOLE]

; case: a software interrupt that cannot push is an ordinary page fault
; in: rsp=HOLE+0x100, gate[14]=gate(HANDLERS+14*16, ist=2)
; expect: fault=#PF, error=2, cr2=HOLE+0xf8, rip=case_start
    int 0x80

; case: int3 at CPL 3 through a kernel gate is #GP
; mode: long-user
; in: gate[3]=gate(HANDLERS+0x30)
; expect: fault=#GP, error=3*8+2, rip=case_start
    int3

; case: icebp ignores the gate's level
; mode: long-user
; expect: fault=#DB, rip=behind
    db 0xf1
behind:
    nop

; case: cli and sti at CPL 3 with IOPL 3 work
; mode: long-user
; in: iopl=3
; expect: if=0
    cli

; case: the CPL checks come before the gate's presence
; mode: long-user
; in: gate[0x20]=gate(HANDLERS, present=0)
; expect: fault=#GP, error=0x102, rip=case_start
    int 0x20

; case: task priority reads back
; in: rax=7
; expect: rbx=7
    mov cr8, rax
    mov rbx, cr8
