; mode: protected32, compat

; case: an address wraps at 4 GiB
; in: rbx=0xfffffff0, [DATA+8].4=0x1234
; expect: rax=0x1234
    mov eax, [ebx+DATA+0x18]

; case: an index wraps at 4 GiB
; in: rbx=DATA, rcx=0xfffffffe, [DATA].4=0x1234
; expect: rax=0x1234
    mov eax, [ebx+ecx*4+8]

; case: the upper half of an address does not count
; in: rbx=0x8765432100000000+DATA, rcx=0xffff000000000004, [DATA+4].4=0x1234
; expect: rax=0x1234
    mov eax, [ebx+ecx]

; case: the upper half of RSP does not count, and a push clears it
; in: rsp=0x1234567800000000+STACK_TOP
; expect: rsp=STACK_TOP-4, [STACK_TOP-4].4=0x11111111
    push eax

; case: the upper half of RSP does not count in a frame
; in: rsp=0x1234567800000000+STACK_TOP, rbp=0xffff0000aaaaaaaa
; expect: rsp=STACK_TOP, rbp=0xaaaaaaaa, rcx=0x22222222
    push ebp
    mov ebp, esp
    sub esp, 16
    mov [esp+4], ecx
    mov ecx, [ebp-12]
    leave

; case: R8 to R15 are as they were
; in: r8=0x8888888888888888, r10=0xaaaaaaaaaaaaaaaa, r11=0xbbbbbbbbbbbbbbbb, r15=0xffffffffffffffff
; expect: r8=0x8888888888888888, r10=0xaaaaaaaaaaaaaaaa, r11=0xbbbbbbbbbbbbbbbb, r15=0xffffffffffffffff, rax=0x33333333
    push eax
    add eax, [esp]
    add eax, [esp]
    pop ecx

; case: ESP wraps both ways
; expect: rsp=STACK_TOP, rax=0xffff8000+STACK_TOP-0x38000
    sub esp, 0x40000
    mov eax, esp
    add esp, 0x40000

; case: inc and dec have opcodes of one byte, and keep CF
; in: flags=cf, rbx=0xffffffff
; expect: rbx=0, rdx=0x44443332, flags=cf|pf|af|zf, rcx=0x22222222
; in: rdx=0x44443333
    dec dx
    inc ebx

; case: words on the stack move ESP by two
; expect: rsp=STACK_TOP-2, rax=0x22222222, rcx=0x22222222, rdx=0x33332222
    push cx
    push ecx
    pop eax
    pop dx
    push dx

; case: a call pushes four bytes and a return releases more
; expect: rsp=STACK_TOP, rax=behind
    push dword 1
    push dword 2
    call next
behind:
    jmp done
next:
    mov eax, [esp]
    ret 8
done:
    nop

; case: a call through memory on the stack
; in: rax=next
; expect: rsp=STACK_TOP-4, rbx=behind
    push eax
    call [esp]
behind:
next:
    pop ebx

; case: data behind the base of a segment
; in: gs.base=DATA, [DATA+0x14].4=0x1234
; expect: rax=0x1234, rcx=0x1235
    mov eax, [gs:0x14]
    inc dword [gs:0x14]
    mov ecx, [gs:0x14]

; case: the sum with a segment's base wraps
; in: gs.base=0xfffff000, [DATA].4=0x1234
; expect: rax=0x1234
    mov eax, [gs:DATA+0x1000]

; case: an address without ModRM
; in: [DATA+4].4=0x1234
; expect: rax=0x34, [DATA+8].4=0x1234
    mov eax, [DATA+4]
    mov [DATA+8], eax
    xor eax, eax
    mov al, [DATA+8]

; case: 16-bit addresses in 32-bit code wrap at 64 KiB
; in: gs.base=DATA, rbx=0x1fffe, rsi=4, [DATA+2].4=0x1234
; expect: rax=0x1234
    mov eax, [gs:bx+si]

; case: code that changes its own next instruction runs the new one
; mode: protected32
; in: rcx=3
; expect: rbx=0x99
again:
    mov byte [target+1], 0x99
target:
    mov bl, 0x11
    movzx ebx, bl
    dec ecx
    jnz again

; case: code that changes its own next instruction runs the new one in real mode
; mode: real
; in: rcx=3, rbx=0
; expect: rbx=0x99
again:
    mov byte [cs:target+1], 0x99
target:
    mov bl, 0x11
    dec cx
    jnz again

; case: bytes that ran as 32-bit code run as 16-bit code
; mode: protected32
; in: [CODE+0x800]=bytes("b8 11 00 40 40 c3")
; expect: stop=halt, rbx=0x40400011, rax=0x40400013
    call 0x10800
    mov ebx, eax
    push word back - CODE_LINEAR
    jmp 0x38:0x800
bits 16
back:
    hlt
bits 32

; case: bytes that ran as 32-bit code run as 64-bit code
; mode: compat-kernel
; in: [CODE+0x800]=bytes("40 b8 11 00 00 00 c3"), rax=0x5500000000
; expect: stop=halt, rbx=0x11, rdx=0x11
    call 0x10800
    mov ebx, eax
    jmp 0x08:wide
bits 64
wide:
    mov eax, 0x10800
    call rax
    mov edx, eax
    hlt
bits 32

; case: a {WHAT} past the limit of CS faults where it stands
; mode: protected32
; columns: WHAT CODE
; row: jump through a register | jmp eax
; row: call through a register | call eax
; row: call through memory | call [DATA]
; row: return | ret
; row: near jump | jmp near 0x20000
; in: gdt[0xf0]=desc(0, 0x1ffff, 0x409b), rax=0x20000, [DATA].4=0x20000, [STACK_TOP].4=0x20000
; expect: fault=#GP, error=0, rip=bad, rcx=2
    jmp 0xf0:inside
inside:
    mov ecx, 1
    inc ecx
bad:
    {CODE}

; case: a branch to the last byte of CS is taken
; mode: protected32
; in: gdt[0xf0]=desc(0, 0x10fff, 0x409b), rax=0x10fff, [0x10fff].2=0x90f4
; expect: stop=halt, rip=0x11000
    jmp 0xf0:inside
inside:
    jmp eax

; case: code that runs past the limit of CS faults behind it
; mode: protected32
; in: gdt[0xf0]=desc(0, 0x10fff, 0x409b), rax=0x10ffc, [0x10ffc]=bytes("41 41 41 41 41")
; expect: fault=#GP, error=0, rip=0x11000, rcx=0x22222226
    jmp 0xf0:inside
inside:
    jmp eax

; case: an instruction across the limit of CS faults
; mode: protected32
; in: gdt[0xf0]=desc(0, 0x10fff, 0x409b), rax=0x10ffe, [0x10ffe]=bytes("41 83 c1 05 f4")
; expect: fault=#GP, error=0, rip=0x10fff, rcx=0x22222223
    jmp 0xf0:inside
inside:
    jmp eax

; case: a pop from a page that is not there has not happened
; mode: protected32-user, compat
; in: rsp=HOLE-4, [HOLE-4].4=0x1234
; expect: fault=#PF, error=4, cr2=HOLE, rip=bad, rsp=HOLE, rax=0x1234, rcx=0x22222222
    pop eax
bad:
    pop ecx

; case: a store to a page that is not there has not happened
; mode: protected32-user, compat
; in: rbx=HOLE
; expect: fault=#PF, error=6, cr2=HOLE, rip=bad, rbx=HOLE, rax=0x11111112
    inc eax
bad:
    add [ebx], eax
    inc ebx

; case: single step stops behind each instruction
; mode: protected32, real, v86
; in: tf=1
; expect: fault=#DB, rip=behind
    inc ax
behind:
    inc ax

; case: a pop across the end of the stack segment is #SS
; mode: protected16
; in: rsp=0xffff
; expect: fault=#SS, error=0, rip=bad, cx=0x2223
    inc cx
bad:
    pop ax

; case: SP wraps and the rest of ESP stays
; mode: protected16, real
; in: rsp=0x12340002
; expect: rsp=0x1234fffe, ax=0xfffe
    push ax
    push ax
    mov ax, sp

; case: a call in 16-bit code pushes two bytes
; mode: protected16, real, v86
; expect: rsp=0x8000, cx=behind
    call next
behind:
    jmp done
next:
    pop cx
    push cx
    ret
done:
    nop

; case: 32-bit operands in 16-bit code
; mode: protected16, real, v86
; in: rbx=4, [DATA+4].4=0x12345678
; expect: rax=0x12345678, rdx=0x12345679, rcx=0x22225678
    mov eax, [bx]
    lea edx, [eax+1]
    mov cx, ax

; case: an operand across the end of a segment of 64 KiB faults
; mode: protected16
; in: rbx=0xffff
; expect: fault=#GP, error=0, rip=bad, rcx=0x22222223
    inc ecx
bad:
    mov ax, [bx]

; case: {WHAT} counts down as many bits as addresses have
; mode: protected32
; columns: WHAT CODE RCX AFTER RAX
; row: loop | loop again | 0x1111000100000003 | 0 | 3
; row: loop with a 16-bit address | a16 loop again | 0x10003 | 0x10000 | 3
; row: jecxz | jecxz done | 0xffffffff00000000 | 0xffffffff00000000 | 1
; row: jecxz that goes on | jecxz again | 0x100000001 | 0x100000001 | 1
; row: jcxz | jcxz done | 0x10000 | 0x10000 | 1
; in: rcx={RCX}, rax=0
; expect: rcx={AFTER}, rax={RAX}
again:
    inc eax
    {CODE}
done:
    nop

; case: loop in 16-bit code counts CX, or ECX with a prefix
; mode: protected16, real, v86
; in: rcx=0x10002, rdx=0
; expect: rcx=0, rdx=0x10003
one:
    inc edx
    loop one
    inc edx
two:
    inc edx
    a32 loop two

; case: a fill and a move with 32-bit addresses
; mode: protected32, compat
; in: rcx=0xffff000000000003, rdi=0x7700000000000000+DATA, rax=0x12345678, rsi=0x5500000000000000+DATA
; expect: rcx=0, rdi=DATA+0x18, rsi=DATA+8, [DATA+8].4=0x12345678, [DATA+0xc].4=0, [DATA+0x10].8=0x1234567812345678
    rep stosd
    mov edi, DATA+0x10
    mov ecx, 8
    rep movsb

; case: no repetition leaves the registers cut to 32 bits
; mode: protected32, compat
; in: rcx=0xffff000000000000, rdi=0x7700000000000000+DATA, rsi=0x5500000000000000+DATA
; expect: rcx=0, rdi=DATA, rsi=DATA
    rep movsd

; case: a fill across a page that is not there stops where it stands
; mode: protected32-user, compat
; in: rcx=8, rdi=HOLE-8, rax=0x1234
; expect: fault=#PF, error=6, cr2=HOLE, rip=case_start, rdi=HOLE, rcx=6, [HOLE-8].8=0x123400001234
    rep stosd

; case: segment registers are read whole
; mode: protected32
; in: rax=0x1111111111111111, rbx=0x2222222222222222
; expect: rax=0x10, rbx=0x2222222222220010
    mov eax, ds
    mov bx, ss

; case: a jump with 32-bit operands to the next instruction
; mode: protected16, real, v86
; in: rax=next
; expect: rcx=0x22222224
    inc ecx
    jmp eax
next:
    inc ecx
