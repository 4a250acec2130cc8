; The seventeen instructions that J. S. Robin and C. E. Irvine (2000) found sensitive but not
; privileged: user code of the guest must see the guest's state, never the machine's.

; case: SGDT stores the guest's table
; mode: long-user
; expect: [DATA].2=0x1ff, [DATA+2].8=GDT
    sgdt [DATA]

; case: SGDT of 32-bit code stores six bytes
; mode: protected32-user, compat
; in: [DATA+6].2=0xaaaa
; expect: [DATA].2=0x1ff, [DATA+2].4=GDT, [DATA+6].2=0xaaaa
    sgdt [DATA]

; case: SIDT stores the guest's table
; mode: long-user
; expect: [DATA].2=0xfff, [DATA+2].8=IDT
    sidt [DATA]

; case: SIDT of 32-bit code stores the guest's table
; mode: protected32-user
; expect: [DATA].2=0x7ff, [DATA+2].4=IDT
    sidt [DATA]

; case: SLDT shows the guest's selector
; mode: long-user, protected32-user, compat
; in: rax=0xffffffff
; expect: rax=0x60
    sldt eax

; case: SMSW shows the guest's CR0
; mode: long-user
; in: cr0|=8
; expect: rax=0x8005003b
    smsw rax

; case: SMSW to memory stores two bytes of the guest's CR0
; mode: protected32-user
; in: [DATA].4=0xaaaaaaaa
; expect: [DATA].4=0xaaaa0033
    smsw [DATA]

; case: STR shows the guest's selector
; mode: long-user, protected32-user, compat
; expect: rax=0x50
    str eax

; case: with UMIP {OP} is #GP for users
; mode: long-user
; columns: OP
; row: sgdt [DATA]
; row: sidt [DATA]
; row: sldt eax
; row: smsw eax
; row: str eax
; in: cr4|=0x800
; expect: fault=#GP, error=0, rip=case_start
    {OP}

; case: with UMIP the kernel still may
; mode: long-kernel
; in: cr4|=0x800
; expect: rax=0x50
    str eax

; case: PUSHF shows the guest's IF and IOPL: {WHAT}
; mode: long-user
; columns: WHAT IF IOPL R
; row: interrupts on | 1 | 0 | 0x202
; row: interrupts off | 0 | 0 | 0x002
; row: IOPL 3 | 1 | 3 | 0x3202
; in: if={IF}, iopl={IOPL}, flags=0
; expect: [STACK_TOP-8].8={R}
    pushfq

; case: POPF with IOPL 3 changes the guest's IF
; mode: long-user, protected32-user
; in: iopl=3, rsp=STACK_TOP-8, [STACK_TOP-8].8=0x3002
; expect: if=0, iopl=3
    db 0x9d

; case: POPF without IOPL leaves the guest's IF
; mode: protected32-user
; in: rsp=STACK_TOP-4, [STACK_TOP-4].4=0x3002
; expect: if=1, iopl=0
    popf

; case: LAR reads the guest's descriptors
; mode: long-user
; in: rax=0x23
; expect: rcx=0xcff300, zf=1
    lar ecx, eax

; case: LSL reads the guest's descriptors
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0x1234, 0x40f3), rax=0xf3
; expect: rcx=0x1234, zf=1
    lsl ecx, eax

; case: VERR judges by the guest's descriptors
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0x1234, 0x40f3), rax=0xf3
; expect: zf=1
    verr ax

; case: VERW judges by the guest's descriptors
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0x1234, 0x40f1), rax=0xf3
; expect: zf=0
    verw ax

; case: POP of a segment register loads the guest's descriptor
; mode: protected32-user
; in: gdt[0xf0]=desc(DATA, 0xffff, 0x40f3), rsp=STACK_TOP-4, [STACK_TOP-4].4=0xf3, [DATA].4=7
; expect: rax=7, fs=0xf3
    pop fs
    mov eax, [fs:0]

; case: PUSH of CS shows the guest's level
; mode: protected32-user
; expect: [STACK_TOP-4].2=0x1b
    push cs

; case: MOV from CS shows the guest's selector
; mode: long-user
; expect: rax=0x2b
    mov eax, cs

; case: MOV from SS shows the guest's selector
; mode: compat
; expect: rax=0x23
    mov eax, ss

; case: MOV to a segment register loads the guest's descriptor
; mode: compat
; in: gdt[0xf0]=desc(DATA, 0xffff, 0x40f3), rax=0xf3, [DATA].4=7
; expect: rax=7, es=0xf3, es.base=DATA
    mov es, ax
    mov eax, [es:0]

; case: CALL through a gate of the guest reaches the guest's kernel
; mode: protected32-user
; in: gdt[0xf0]=gate(target, kind=0xc, dpl=3)
; expect: stop=halt, cs=0x30, rsp=KSTACK_TOP-16
    call 0xf3:0
target:
    hlt

; case: JMP to a segment of the guest loads it
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0xfffff, 0xc0fb)
; expect: cs=0xf3
    jmp 0xf3:case_end

; case: INT n goes to the guest's handler
; mode: long-user, protected32-user, compat
; expect: vector=0x81
    int 0x81

; case: RET far obeys the guest's descriptors
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0xfffff, 0xc0fb), rsp=STACK_TOP-8, [STACK_TOP-8].4=case_end, [STACK_TOP-4].4=0xf3
; expect: cs=0xf3
    retf

; case: IRET at CPL 3 stays at CPL 3
; mode: protected32-user
; in: rsp=STACK_TOP-12, [STACK_TOP-12].4=case_end, [STACK_TOP-8].4=0x1b, [STACK_TOP-4].4=0x3203
; expect: cs=0x1b, cf=1, iopl=0
    iret

; case: IRET to the kernel's level is #GP
; mode: protected32-user
; in: rsp=STACK_TOP-12, [STACK_TOP-12].4=case_end, [STACK_TOP-8].4=0x30, [STACK_TOP-4].4=0x3203
; expect: fault=#GP, error=0x30, rip=case_start
    iret

; case: {OP} of 16-bit code stores the guest's
; mode: v86
; columns: OP LIMIT BASE
; row: sgdt | 0x1ff | GDT
; row: sidt | 0x7ff | IDT
; expect: [DATA].2={LIMIT}, [DATA+2].4={BASE}
    {OP} [DATA]

; case: {OP} needs protected mode
; mode: v86
; columns: OP
; row: sldt ax
; row: str ax
; row: lar cx, ax
; row: lsl cx, ax
; row: verr ax
; row: verw ax
; expect: fault=#UD, rip=case_start
    {OP}

; case: {OP} stores the guest's selector to memory
; mode: long-user, protected32-user, compat
; columns: OP R
; row: sldt | 0x60
; row: str | 0x50
; in: [DATA].4=0xaaaaaaaa
; expect: [DATA].4=0xaaaa0000|{R}
    {OP} [DATA]

; The host's own system has its user code at 0x33 and its user data at 0x2b; the guest has its
; kernel's code there, and its user code.

; case: {OP} does not see the host's segments
; mode: long-user, protected32-user, compat
; columns: OP SEL
; row: lar ecx, eax | 0x33
; row: lsl ecx, eax | 0x33
; row: verr ax | 0x33
; row: verw ax | 0x2b
; in: rax={SEL}, rcx=5, zf=1
; expect: rcx=5, zf=0
    {OP}

; case: MOV to {S} does not load the host's segment
; mode: long-user, protected32-user, compat
; columns: S
; row: ds
; row: es
; row: fs
; row: gs
; in: rax=0x33
; expect: fault=#GP, error=0x30, rip=case_start
    mov {S}, eax

; case: MOV to SS does not load the host's segment
; mode: long-user, protected32-user, compat
; in: rax=0x2b
; expect: fault=#GP, error=0x28, rip=case_start
    mov ss, eax

; case: MOV to a segment register loads from the guest's local table
; mode: long-user, protected32-user, compat
; in: rax=7
; expect: es=7, es.access=0xc0f3
    mov es, eax

; case: MOV from {S} shows the guest's selector
; mode: long-user, protected32-user, compat
; columns: S
; row: ds
; row: es
; row: ss
; row: fs
; row: gs
; expect: rax=0x23
    mov eax, {S}

; case: PUSH of {S} shows the guest's selector
; mode: protected32-user, compat
; columns: S
; row: ds
; row: es
; row: ss
; row: fs
; row: gs
; expect: [STACK_TOP-4].2=0x23
    push {S}

; case: PUSH of {S} in 64-bit code shows the guest's selector
; mode: long-user
; columns: S
; row: fs
; row: gs
; expect: [STACK_TOP-8].2=0x23
    push {S}

; case: POP of FS does not load the host's segment
; mode: long-user, protected32-user, compat
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=0x33
; expect: fault=#GP, error=0x30, rip=case_start
    pop fs

; case: {OP} does not reach the host's code
; mode: protected32-user, compat
; columns: OP
; row: jmp 0x33:case_end
; row: call 0x33:case_end
; row: jmp far [EXTRA]
; row: call far [EXTRA]
; in: [EXTRA].4=case_end, [EXTRA+4].2=0x33
; expect: fault=#GP, error=0x30, rip=case_start
    {OP}

; case: {OP} through memory does not reach the host's code
; mode: long-user
; columns: OP
; row: jmp
; row: call
; in: [EXTRA].8=case_end, [EXTRA+8].2=0x33
; expect: fault=#GP, error=0x30, rip=case_start
    {OP} far [EXTRA]

; case: {OP} does not return to the host's code
; mode: protected32-user, compat
; columns: OP
; row: retf
; row: iret
; in: rsp=STACK_TOP-20, [STACK_TOP-20].4=case_end, [STACK_TOP-16].4=0x33, [STACK_TOP-12].4=0x202
; expect: fault=#GP, error=0x30, rip=case_start
    {OP}

; case: {OP} of 64-bit code does not return to the host's code
; mode: long-user
; columns: OP
; row: o64 retf
; row: iretq
; in: rsp=STACK_TOP-40, [STACK_TOP-40].8=case_end, [STACK_TOP-32].8=0x33, [STACK_TOP-24].8=0x202
; in: [STACK_TOP-16].8=STACK_TOP, [STACK_TOP-8].8=0x2b
; expect: fault=#GP, error=0x30, rip=case_start
    {OP}

; case: INT 0x80 is no system call of the host
; mode: long-user, protected32-user, compat
; in: rax=1, rbx=0
; expect: vector=0x80, at.rax=1
    int 0x80

; case: INT n through a gate that the guest has closed is #GP
; mode: long-user, protected32-user, compat
; expect: fault=#GP, error=0x10a, rip=case_start
    int 0x21

; case: POPF without IOPL changes neither IF nor IOPL
; mode: long-user, compat
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=0x3002
; expect: if=1, iopl=0
    db 0x9d

; case: POPF that clears IF holds back the guest's interrupts
; mode: long-user, protected32-user, compat
; in: iopl=3, rsp=STACK_TOP-8, [STACK_TOP-8].8=0x3002, rax=0x41, rcx=0
; expect: rcx=1, if=0
    db 0x9d
    out 0xe0, al
    nop
    mov ecx, 1

; case: POPF that sets IF lets the guest's interrupts in
; mode: long-user, protected32-user, compat
; in: iopl=3, if=0, rsp=STACK_TOP-8, [STACK_TOP-8].8=0x3202, rax=0x41
; expect: vector=0x41, rip=behind
    out 0xe0, al
    db 0x9d
behind:
    nop

; case: CPUID shows the guest's CPU and not the host's
; mode: long-user
; cpu: baseline
; in: rax=1, rcx=0
; expect: rcx=0
    cpuid
    and ecx, (1 << 28) | (1 << 12) | (1 << 20)
