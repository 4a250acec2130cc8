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
