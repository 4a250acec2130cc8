; mode: long-user
; native: yes

; case: j{CC} is taken with flags {FL}
; columns: CC FL
; row: o | of
; row: no | none
; row: c | cf
; row: nc | none
; row: z | zf
; row: nz | none
; row: be | cf
; row: be | zf
; row: a | none
; row: s | sf
; row: ns | none
; row: p | pf
; row: np | none
; row: l | sf
; row: l | of
; row: ge | sf+of
; row: le | zf
; row: le | of
; row: g | sf+of
; in: flags={FL}
; expect: rax=0x1111111111111111
    j{CC} case_end
    mov eax, 1

; case: j{CC} falls through with flags {FL}
; columns: CC FL
; row: o | cf
; row: c | zf
; row: z | cf
; row: be | sf
; row: a | cf
; row: a | zf
; row: s | of
; row: p | none
; row: l | sf+of
; row: ge | sf
; row: le | sf+of
; row: g | zf
; row: g | of
; in: flags={FL}
; expect: rax=1
    j{CC} near case_end
    mov eax, 1

; case: jrcxz looks at all of RCX
; in: rcx=0x100000000
; expect: rax=1
    jrcxz case_end
    mov eax, 1

; case: jecxz looks at ECX only
; in: rcx=0x100000000
; expect: rax=0x1111111111111111
    jecxz case_end
    mov eax, 1

; case: loop counts RCX down
; in: rcx=5, rax=0
; expect: rcx=0, rax=5
again:
    inc rax
    loop again

; case: loop with a 32-bit address size counts ECX and clears the upper half
; in: rcx=0xffffffff00000002
; expect: rcx=1
    a32 loop case_end
    nop

; case: loop changes no flag
; in: rcx=1, flags=cf|zf
; expect: rcx=0, flags=cf|zf
    loop case_start

; case: loope ends when ZF is clear
; in: rcx=5, zf=0
; expect: rcx=4, rax=1
    loope case_end
    mov eax, 1

; case: loopne ends when ZF is set
; in: rcx=5, zf=1
; expect: rcx=4, rax=1
    loopne case_end
    mov eax, 1

; case: loop with RCX 0 wraps around
; in: rcx=0
; expect: rcx=0xffffffffffffffff, rax=0x1111111111111111
    loop case_end
    mov eax, 1

; case: a jump backwards
; expect: rax=7
    jmp forward
back:
    mov eax, 7
    jmp case_end
forward:
    jmp back

; case: jmp through a register
; in: rbx=case_end
; expect: rax=0x1111111111111111
    jmp rbx
    mov eax, 1

; case: a return to the next instruction, from a slot on two pages
; in: rsp=STACK+0x1ffc, [STACK+0x1ffc].8=next, rcx=0
; expect: rcx=1, rsp=STACK+0x2004
    ret
next:
    inc ecx

; case: a jump to the next instruction, through an operand on two pages
; in: rbx=DATA+0xffd, [DATA+0xffd].8=next, rcx=0
; expect: rcx=1
    jmp [rbx]
next:
    inc ecx

; case: flags survive jumps between places that a table may take for each other
; in: [CODE+0x2000]=bytes("31 c0 41 ff e4"), [CODE+0x16f]=bytes("0f 92 c0 41 ff e4"), rcx=200, rdx=0
; expect: rdx=200, rcx=0
    ; The first sets the flags (xor eax, eax; jmp r12), the second reads them (setb al; jmp r12). The
    ; CRC-32C of both addresses has the same low 16 bits.
again:
    lea r12, [rel second]
    mov ebx, CODE+0x2000
    jmp rbx
second:
    lea r12, [rel done]
    mov ebx, CODE+0x16f
    stc
    jmp rbx
done:
    movzx eax, al
    add edx, eax
    dec ecx
    jnz again

; case: jmp through RIP-relative memory
; expect: rax=0x1111111111111111
    jmp [rel target]
target:
    dq case_end

; case: a 66 prefix does not shorten a near jump in 64-bit mode
; native: intel
; expect: rax=0x1111111111111111
    db 0x66, 0xe9
    dd case_end - next
next:
    mov eax, 1

; case: a loop of a million rounds ends
; in: rcx=1000000, rax=0
; expect: rax=1000000, rcx=0
again:
    add rax, 1
    dec rcx
    jnz again

; case: int3 is a trap
; in: rax=1
; expect: fault=#BP, rip=behind
    int3
behind:
    nop

; case: the two-byte breakpoint int 3 works like int3
; expect: fault=#BP, rip=behind
    db 0xcd, 0x03
behind:
    nop

; case: {OP} at CPL 3 is #GP
; columns: OP
; row: hlt
; row: cli
; row: sti
; row: clts
; row: invd
; row: wbinvd
; row: mov rax, cr0
; row: mov cr0, rax
; row: mov rax, dr7
; row: lgdt [rdi]
; row: lidt [rdi]
; row: lldt ax
; row: ltr ax
; row: lmsw ax
; row: invlpg [rdi]
; row: swapgs
; row: rdmsr
; row: wrmsr
; row: in al, 0x60
; row: out 0x80, al
; row: insb
; row: outsb
; row: sysexit
; row: o64 sysret
; row: xsetbv
; in: rdi=DATA, rsi=DATA, rcx=0x10, rdx=0x60, cr4|=0x40000
; expect: fault=#GP, error=0, rip=case_start
    {OP}

; case: int {N} at CPL 3 through a kernel gate is #GP with the gate
; columns: N
; row: 0x20
; row: 0x0e
; row: 0xff
; expect: fault=#GP, error={N}*8+2, rip=case_start
    int {N}

; case: single step stops behind the next instruction
; in: tf=1
; expect: fault=#DB, rip=behind, tf=1
    nop
behind:
    nop

; case: a jump is stepped to its target
; in: tf=1
; expect: fault=#DB, rip=case_end
    jmp case_end
    nop

; case: a repeated string instruction is stepped after each round
; in: tf=1, rcx=3, rdi=DATA
; expect: fault=#DB, rip=case_start, rcx=2
    rep stosb

; case: popf that sets TF steps the instruction after it
; in: [STACK_TOP-8].8=0x102, rsp=STACK_TOP-8
; expect: fault=#DB, rip=behind
    popfq
    nop
behind:
    nop

; case: popf that clears TF is itself still stepped
; in: tf=1, [STACK_TOP-8].8=0x2, rsp=STACK_TOP-8
; expect: fault=#DB, rip=behind, tf=0
    popfq
behind:
    nop

; case: code that changes the next instruction runs the new one
; in: rdi=target
; expect: al=0x22
    mov byte [rdi], 0xb0
    mov byte [rdi+1], 0x22
target:
    nop
    nop

; case: code that changes a byte later in its block runs the new one
; in: rdi=target+1, rax=0
; expect: rax=0x77
    nop
    mov byte [rdi], 0x77
    nop
    nop
target:
    mov eax, 0x11

; case: code changed after it ran runs anew
; in: rbx=0, rcx=2
; expect: rbx=0x33
again:
    call function
    mov byte [function+2], 0x22
    loop again
    jmp case_end
function:
    add ebx, 0x11
    ret

; case: code changed in another page runs anew
; in: rcx=2, rbx=0, [CODE+0x3000]=bytes("83 c3 11 c3")
; expect: rbx=0x33
again:
    mov eax, CODE+0x3000
    call rax
    mov byte [CODE+0x3002], 0x22
    loop again

; case: an instruction across a page boundary runs
; in: [CODE+0xffe]=bytes("48 c7 c0 78 56 34 12 c3")
; expect: rax=0x12345678
    mov ebx, CODE+0xffe
    call rbx

; case: an instruction across a page boundary whose second page changes runs anew
; in: [CODE+0xffe]=bytes("48 c7 c0 78 56 34 12 c3"), rcx=2
; expect: rax=0x12345677
again:
    mov ebx, CODE+0xffe
    call rbx
    mov byte [CODE+0x1001], 0x77
    loop again

; case: an instruction that runs into an unmapped page faults at the page
; native: no
; in: page[CODE+0x1000]=0, [CODE+0xffe]=bytes("48 c7")
; expect: fault=#PF, error=0x14, cr2=CODE+0x1000, rip=CODE+0xffe
    mov ebx, CODE+0xffe
    jmp rbx

; case: an instruction that ends at an unmapped page runs
; native: no
; in: page[CODE+0x1000]=0, [CODE+0xffd]=bytes("48 ff c0")
; expect: fault=#PF, error=0x14, cr2=CODE+0x1000, rip=CODE+0x1000, rax=0x1111111111111112
    mov ebx, CODE+0xffd
    jmp rbx

; case: rep stosb over its own code finishes the repetition
; in: rdi=target, rcx=4, rax=0x90
; expect: rbx=0x4444444444444444, rcx=0
    rep stosb
target:
    mov bl, 1
    mov bh, 1
