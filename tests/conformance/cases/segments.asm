; mode: protected32

; case: a {WHAT} past the limit of a segment is {F}
; columns: WHAT SEG CODE F
; row: read | 0x40 | mov eax, [fs:0xfffd] | #GP
; row: write | 0x40 | mov [fs:0x10000], al | #GP
; row: read at the very end that crosses | 0x40 | mov ax, [fs:0xffff] | #GP
; in: rcx={SEG}
; expect: fault={F}, error=0, rip=bad
    mov fs, cx
bad:
    {CODE}

; case: the last byte of a segment can be read
; in: rcx=0x40, [DATA+0xffff].1=0x77
; expect: al=0x77
    mov fs, cx
    mov al, [fs:0xffff]

; case: a base is added
; in: rcx=0x40, [DATA+0x10].4=0x1234
; expect: rax=0x1234
    mov fs, cx
    mov eax, [fs:0x10]

; case: an expand-down segment begins behind its limit
; in: rcx=0x80, [DATA].4=0x55
; expect: rax=0x55
    mov fs, cx
    mov eax, [fs:DATA]

; case: below the limit of an expand-down segment is #GP
; in: rcx=0x80
; expect: fault=#GP, error=0, rip=bad
    mov fs, cx
bad:
    mov eax, [fs:DATA-4]

; case: an expand-down segment of 16 bits ends at 64 KiB
; in: gdt[0xf0]=desc(0, 0xfff, 0x0097), rcx=0xf0
; expect: fault=#GP, error=0, rip=bad
    mov fs, cx
    mov eax, [fs:0x8000]
bad:
    mov eax, [fs:0x10000]

; case: a write to a {WHAT} segment is #GP
; columns: WHAT SEL
; row: read-only | 0x88
; row: code | 0x30
; in: rcx={SEL}
; expect: fault=#GP, error=0, rip=bad
    mov fs, cx
    mov eax, [fs:DATA]
bad:
    mov [fs:DATA], eax

; case: execute-only code cannot be loaded for data
; in: rcx=0x98
; expect: fault=#GP, error=0x98, rip=bad
bad:
    mov fs, cx

; case: a read through an execute-only CS is #GP
; expect: fault=#GP, error=0, rip=bad
    jmp 0x98:next
next:
bad:
    mov eax, [cs:DATA]

; case: an access through a null selector is #GP
; in: rcx=3
; expect: fault=#GP, error=0, rip=bad
    mov fs, cx
bad:
    mov eax, [fs:0]

; case: an access past SS is #SS
; in: gdt[0xf0]=desc(0, 0x3ffff, 0x4093), rcx=0xf0
; expect: fault=#SS, error=0, rip=bad
    mov ss, cx
    nop
bad:
    mov eax, [esp+0x8000]

; case: loading {S} with {WHAT} is {F}
; columns: S WHAT SEL F E
; row: ss | null | 0 | #GP | 0
; row: ss | a read-only segment | 0x88 | #GP | 0x88
; row: ss | code | 0x30 | #GP | 0x30
; row: ss | an absent segment | 0xb0 | #SS | 0xb0
; row: ss | a user segment | 0x23 | #GP | 0x20
; row: ss | an RPL that is not CPL | 0x13 | #GP | 0x10
; row: ds | an absent segment | 0xb0 | #NP | 0xb0
; row: ds | a system segment | 0x50 | #GP | 0x50
; row: ds | a selector past the GDT | 0x200 | #GP | 0x200
; row: ds | a selector past the LDT | 0x44 | #GP | 0x44
; row: es | execute-only code | 0x98 | #GP | 0x98
; in: rcx={SEL}
; expect: fault={F}, error={E}, rip=case_start
    mov {S}, cx

; case: a user cannot load a kernel data segment
; mode: protected32-user
; in: rcx=0x13
; expect: fault=#GP, error=0x10, rip=case_start
    mov ds, cx

; case: a user can load conforming code for data
; mode: protected32-user
; in: gdt[0xf0]=desc(0, 0xfffff, 0xc09f), rcx=0xf3, [DATA].4=7
; expect: rax=7
    mov fs, cx
    mov eax, [fs:DATA]

; case: loading a segment sets its accessed bit
; in: gdt[0xf0]=desc(0, 0xfffff, 0xc092), rcx=0xf0
; expect: fs.access=0xc093, [GDT+0xf5].1=0x93
    mov fs, cx

; case: loading from the LDT
; in: ldt[8]=desc(DATA, 0xffff, 0x4093), rcx=0x0c, [DATA].4=9
; expect: rax=9, fs.base=DATA
    mov fs, cx
    mov eax, [fs:0]

; case: a segment register keeps its descriptor until it is loaded
; in: rcx=0x40, [DATA].4=9
; expect: rax=9
    mov fs, cx
    mov dword [GDT+0x40], 0
    mov dword [GDT+0x44], 0
    mov eax, [fs:0]

; case: mov from a segment register to 32 bits clears the upper half
; expect: rax=0x10, rbx=0x44440010
    mov eax, ds
    mov bx, ds

; case: push of a segment register writes two bytes of its four
; in: [STACK_TOP-4].4=0xaaaaaaaa
; expect: rsp=STACK_TOP-4, [STACK_TOP-4].2=0x10
    push ds

; case: pop of a segment register takes four bytes
; in: rsp=STACK_TOP-4, [STACK_TOP-4].4=0xaaaa0040
; expect: fs=0x40, rsp=STACK_TOP
    pop fs

; case: pop of a bad segment leaves the stack pointer
; in: rsp=STACK_TOP-4, [STACK_TOP-4].4=0x200
; expect: fault=#GP, error=0x200, rip=case_start, rsp=STACK_TOP-4
    pop fs

; case: lds loads register and segment
; in: [DATA].4=0x12345678, [DATA+4].2=0x40
; expect: rbx=0x12345678, es=0x40, es.base=DATA
    les ebx, [DATA]

; case: les of a bad selector loads nothing
; in: [DATA].4=0x12345678, [DATA+4].2=0x200
; expect: fault=#GP, error=0x200, rbx=0x44444444, es=0x10
    les ebx, [DATA]

; case: a write through DS to a page of a 16-bit stack wraps SP
; mode: protected16
; in: rsp=2
; expect: rsp=0xfffe, [STACK+0xfffe].2=0x2222, [STACK].2=0x1111
    push ax
    push cx

; case: in 64-bit mode segment limits do not count
; mode: long-kernel
; in: rcx=0x40, [0x123456].4=9
; expect: rax=9
    mov ds, cx
    mov eax, [0x123456]

; case: in 64-bit mode a null SS can be loaded at CPL 0
; mode: long-kernel
; in: rcx=0
; expect: ss=0, rsp=STACK_TOP-8
    mov ss, cx
    push rax

; case: in 64-bit mode DS may be null
; mode: long-kernel
; in: rcx=0, [DATA].4=9
; expect: rax=9
    mov ds, cx
    mov eax, [DATA]

; case: {OP} of {WHAT}
; columns: OP WHAT SEL ZF R
; row: lar | kernel data | 0x10 | 1 | 0x00cf9300
; row: lar | an absent segment | 0xb0 | 1 | 0x00cf1300
; row: lar | a TSS | 0x50 | 1 | 0x00008b00
; row: lar | null | 0 | 0 | 0x22222222
; row: lar | a selector past the GDT | 0x200 | 0 | 0x22222222
; row: lsl | kernel data | 0x10 | 1 | 0xffffffff
; row: lsl | a byte-granular segment | 0x40 | 1 | 0xffff
; row: lsl | a TSS | 0x50 | 1 | 0x2fff
; row: lsl | null | 0 | 0 | 0x22222222
; in: rax={SEL}
; expect: rcx={R}, zf={ZF}
    {OP} ecx, eax

; case: {OP} of {WHAT} says {ZF}
; columns: OP WHAT SEL ZF
; row: verr | data | 0x10 | 1
; row: verr | readable code | 0x30 | 1
; row: verr | execute-only code | 0x98 | 0
; row: verr | a TSS | 0x50 | 0
; row: verr | null | 0 | 0
; row: verw | data | 0x10 | 1
; row: verw | read-only data | 0x88 | 0
; row: verw | code | 0x30 | 0
; in: rax={SEL}
; expect: zf={ZF}
    {OP} ax

; case: a user's lar of a kernel segment says no
; mode: protected32-user
; in: rax=0x10
; expect: zf=0, rcx=0x22222222
    lar ecx, eax

; case: lgdt with 16-bit operands takes 24 bits of base
; mode: protected16
; in: [DATA].2=0x1ff, [DATA+2].4=0xff001000
; expect: gdtr.base=0x1000, gdtr.limit=0x1ff
    lgdt [0]

; case: lgdt and sgdt in 64-bit mode use ten bytes
; mode: long-kernel
; expect: [DATA].2=0x1ff, [DATA+2].8=0x1000, gdtr.base=0x1000
    sgdt [DATA]
    lgdt [DATA]

; case: lgdt of a non-canonical base is #GP
; mode: long-kernel
; in: [DATA].2=0xff, [DATA+2].8=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start
    lgdt [DATA]

; case: lldt of a null selector makes the LDT unusable
; in: rax=0
; expect: fault=#GP, error=4, rip=bad
    lldt ax
    mov ax, 4
bad:
    mov fs, ax

; case: lldt of a segment that is no LDT is #GP
; in: rax=0x10
; expect: fault=#GP, error=0x10, rip=case_start
    lldt ax

; case: ltr marks the TSS busy
; in: rax=0x70
; expect: tr=0x70, [GDT+0x75].1=0x8b
    ltr ax

; case: ltr of a busy TSS is #GP
; in: rax=0x50
; expect: fault=#GP, error=0x50, rip=case_start
    ltr ax

; case: ltr of null is #GP
; in: rax=0
; expect: fault=#GP, error=0, rip=case_start
    ltr ax

; case: {INSN} of a descriptor that begins at {WHERE} is #GP
; mode: long-kernel
; columns: INSN WHERE BASE
; row: mov fs, ax | no canonical address | 0x7ffffffffff0
; row: mov fs, ax | no canonical address of the upper half | 0xffff7fffffffffe0
; row: mov fs, ax | a canonical address and ends at none | 0x7fffffffffec
; in: ldtr.base={BASE}, ldtr.limit=0x1f, rax=0x14
; expect: fault=#GP, error=0, rip=case_start
    {INSN}

; case: a descriptor at the last canonical address is looked for there
; mode: long-kernel
; in: ldtr.base=0x7fffffffffe8, ldtr.limit=0x1f, rax=0x14
; expect: fault=#PF, error=0, cr2=0x7ffffffffff8, rip=case_start
    mov fs, ax
