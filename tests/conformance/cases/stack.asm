; mode: long-user
; native: yes

; case: push of {WHAT}
; columns: WHAT CODE SIZE VALUE
; row: a 64-bit register | push rax | 8 | 0x1111111111111111
; row: a 16-bit register | push ax | 2 | 0x1111
; row: an extended register | push r15 | 8 | 0
; row: an immediate byte, sign-extended | push byte -2 | 8 | 0xfffffffffffffffe
; row: an immediate doubleword, sign-extended | push dword -0x80000000 | 8 | 0xffffffff80000000
; row: a 16-bit immediate | push word 0x1234 | 2 | 0x1234
; row: memory | push qword [DATA] | 8 | 0x8877665544332211
; row: 16 bits of memory | push word [DATA] | 2 | 0x2211
; in: [DATA].8=0x8877665544332211
; expect: rsp=STACK_TOP-{SIZE}, [STACK_TOP-{SIZE}].{SIZE}={VALUE}
    {CODE}

; case: push rsp pushes the old value
; expect: rsp=STACK_TOP-8, [STACK_TOP-8].8=STACK_TOP
    push rsp

; case: pop rsp loads what was popped
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=DATA
; expect: rsp=DATA
    pop rsp

; case: push [rsp] reads before it moves
; in: [STACK_TOP].8=0x77
; expect: [STACK_TOP-8].8=0x77, rsp=STACK_TOP-8
    push qword [rsp]

; case: pop [rsp] writes after it moved
; in: rsp=STACK_TOP-16, [STACK_TOP-16].8=0x77
; expect: [STACK_TOP-8].8=0x77, rsp=STACK_TOP-8
    pop qword [rsp]

; case: pop [rsp+8] uses the moved stack pointer
; in: rsp=STACK_TOP-16, [STACK_TOP-16].8=0x77
; expect: [STACK_TOP].8=0x77, rsp=STACK_TOP-8
    pop qword [rsp+8]

; case: pop of 16 bits keeps the rest of the register
; in: rsp=STACK_TOP-2, [STACK_TOP-2].2=0x9999
; expect: rax=0x1111111111119999, rsp=STACK_TOP
    pop ax

; case: pop to an unwritable place leaves the stack pointer
; in: rsp=STACK_TOP-8, rdi=RO
; expect: fault=#PF, error=7, cr2=RO, rip=case_start, rsp=STACK_TOP-8
    pop qword [rdi]

; case: push from an unmapped place leaves the stack pointer
; in: rdi=HOLE
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start, rsp=STACK_TOP
    push qword [rdi]

; case: a push that cannot write leaves the stack pointer
; in: rsp=RO+8
; expect: fault=#PF, error=7, cr2=RO, rip=case_start, rsp=RO+8
    push rax

; case: push to a non-canonical stack is #SS
; in: rsp=0x8000000000000008
; expect: fault=#SS, error=0, rip=case_start, rsp=0x8000000000000008
    push rax

; case: a load over rbp from a non-canonical address is #SS
; in: rbp=0x8000000000000000
; expect: fault=#SS, error=0, rip=case_start
    mov rax, [rbp+0]

; case: a load over rax from a non-canonical address is #GP
; in: rax=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start
    mov rcx, [rax]

; case: an access that runs over the end of the canonical half is #GP
; in: rax=0x00007ffffffffffc
; native: no
; expect: fault=#GP, error=0, rip=case_start
    mov rcx, [rax]

; case: pushfq writes zero for RF and VM
; in: flags=cf|zf
; expect: [STACK_TOP-8].8=0x243
    pushfq

; case: popfq loads the arithmetic flags, DF, AC, NT and ID
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=cf|pf|af|zf|sf|df|of|nt|id
; expect: flags=cf|pf|af|zf|sf|of, df=1, nt=1, id=1, if=1, iopl=0
    popfq

; case: popfq at CPL 3 cannot change IF or IOPL
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=0x3000
; expect: if=1, iopl=0
    popfq

; case: popf of 16 bits keeps the upper flags
; in: rsp=STACK_TOP-2, ac=1, [STACK_TOP-2].2=0x0001
; expect: flags=cf, ac=1, rsp=STACK_TOP
    popfw

; case: lahf reads the low flags
; in: flags=cf|zf|sf|pf|af
; expect: ah=0xd7
    lahf

; case: sahf writes the low flags but not overflow
; in: ah=0x00, flags=cf|zf|of
; expect: flags=of
    sahf

; case: cmc inverts carry
; in: flags=cf|zf
; expect: flags=zf
    cmc

; case: std and cld
; expect: df=0, rsi=DATA-1
; in: rsi=DATA
    std
    lodsb
    cld

; case: enter with level 0
; expect: rbp=STACK_TOP-8, rsp=STACK_TOP-8-0x20, [STACK_TOP-8].8=0x6666666666666666
    enter 0x20, 0

; case: enter with level 1 pushes its own frame pointer
; expect: rbp=STACK_TOP-8, rsp=STACK_TOP-16-0x10, [STACK_TOP-16].8=STACK_TOP-8
    enter 0x10, 1

; case: enter with level 3 copies two frame pointers
; in: rbp=DATA+0x20, [DATA+0x18].8=0xaaa, [DATA+0x10].8=0xbbb
; expect: rbp=STACK_TOP-8, rsp=STACK_TOP-32, [STACK_TOP-16].8=0xaaa, [STACK_TOP-24].8=0xbbb, [STACK_TOP-32].8=STACK_TOP-8
    enter 0, 3

; case: enter takes its level modulo 32
; expect: rsp=STACK_TOP-8, rbp=STACK_TOP-8
    enter 0, 32

; case: enter with 16-bit operands
; expect: rsp=STACK_TOP-2-4, [STACK_TOP-2].2=0x6666
    db 0x66
    enter 4, 0

; case: leave restores the frame
; in: rbp=DATA, [DATA].8=0x42
; expect: rsp=DATA+8, rbp=0x42
    leave

; case: leave of 16 bits pops BP only
; in: rbp=DATA, [DATA].8=0x424344
; expect: rsp=DATA+2, rbp=0x24344
    db 0x66
    leave

; case: call pushes the return address
; expect: rsp=STACK_TOP-8, [STACK_TOP-8].8=back
    call case_end
back:
    nop

; case: call through memory
; in: [DATA].8=case_end, rdi=DATA
; expect: rsp=STACK_TOP-8, [STACK_TOP-8].8=back
    call [rdi]
back:
    nop

; case: call through rsp reads its target before it pushes
; in: [STACK_TOP-8].8=case_end, rsp=STACK_TOP-8
; expect: rsp=STACK_TOP-16
    call [rsp]
    nop

; case: ret imm16 drops arguments
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=case_end
; expect: rsp=STACK_TOP+0x20
    ret 0x20
    nop

; case: ret to a non-canonical address faults before it pops
; in: rsp=STACK_TOP-8, [STACK_TOP-8].8=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start, rsp=STACK_TOP-8
    ret

; case: jmp to a non-canonical address faults at the jump
; in: rax=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start
    jmp rax

; case: call to a non-canonical address leaves the stack pointer
; in: rax=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start, rsp=STACK_TOP
    call rax

; case: jmp to an unmapped page faults there
; in: rax=HOLE
; expect: fault=#PF, error=0x14, cr2=HOLE, rip=HOLE
    jmp rax

; case: jmp into a no-execute page faults there
; in: rax=NXP
; expect: fault=#PF, error=0x15, cr2=NXP, rip=NXP
    jmp rax
