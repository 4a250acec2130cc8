; User code that stays on the CPU for long enough that an engine which runs it natively has to
; find what is sensitive in it. CS is 0x2b here, and something else in a process of the host.
; mode: long-user

; case: a sensitive instruction in a loop
; in: r8=2000, r9=0
; expect: r9=2000*0x2b, r8=0
again:
    mov eax, cs
    add r9, rax
    dec r8
    jnz again

; case: a sensitive instruction with a prefix in a loop
; in: r8=2000, r9=0, rax=0x10000
; expect: r9=2000*0x1002b, r8=0
again:
    mov ax, cs
    add r9, rax
    dec r8
    jnz again

; case: a jump behind the prefix of a sensitive instruction
; in: r8=2000, r9=0
; expect: r9=1000*0x2b+1000*0x1002b, r8=0
again:
    mov eax, 0x10000
    test r8b, 1
    jz short behind
    db 0x66
behind:
    mov eax, cs
    add r9, rax
    dec r8
    jnz again

; case: many sensitive instructions in a loop
; in: r8=2000, r9=0
; expect: r9=2000*6*0x2b, r8=0
again:
    mov eax, cs
    add r9, rax
    mov ebx, cs
    add r9, rbx
    mov ecx, cs
    add r9, rcx
    mov edx, cs
    add r9, rdx
    mov esi, cs
    add r9, rsi
    mov edi, cs
    add r9, rdi
    dec r8
    jnz again

; case: a sensitive instruction becomes another one in a loop
; in: r8=2000, r9=0, rcx=1
; expect: r9=1000*0x2b+1000, r8=0
again:
patched:
    mov eax, cs
    add r9, rax
    dec r8
    cmp r8d, 1000
    jne unchanged
    mov byte [rel patched], 0x89    ; mov eax, ecx
unchanged:
    test r8d, r8d
    jnz again

; case: an instruction becomes a sensitive one in a loop
; in: r8=2000, r9=0, rcx=1
; expect: r9=1000*0x2b+1000, r8=0
again:
patched:
    mov eax, ecx
    add r9, rax
    dec r8
    cmp r8d, 1000
    jne unchanged
    mov byte [rel patched], 0x8c    ; mov eax, cs
unchanged:
    test r8d, r8d
    jnz again

; case: a sensitive instruction is stepped after it has been executed often
; in: r8=1000, r9=0, rsp=STACK_TOP-64
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0, rax=0x2b
again:
    mov eax, cs
    add r9, rax
    dec r8
    jnz again
    xor eax, eax
    pushf
    or dword [rsp], 0x100
    popf
    mov eax, cs
behind:
    nop

; case: code on a page with a sensitive instruction sets TF
; in: rsp=STACK_TOP-64
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0, rax=0x2b, rbx=5
    mov eax, cs
    pushf
    or dword [rsp], 0x100
    popf
    mov ebx, 5
behind:
    mov ebx, 6
