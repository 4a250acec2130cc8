; mode: long-kernel

; case: code changed through an alias runs anew
; in: page[0x90000]=(CODE+0x2000)|P|W, [CODE+0x2000]=bytes("b8 11 00 00 00 c3"), rdi=CODE+0x2000
; expect: rax=0x22, rbx=0x11
    call rdi
    mov ebx, eax
    mov byte [0x90001], 0x22
    call rdi

; case: the same code at two addresses is decoded for both
; in: page[0x90000]=(CODE+0x2000)|P|W, [CODE+0x2000]=bytes("48 8d 05 00 00 00 00 c3"), rdi=CODE+0x2000, rsi=0x90000
; expect: rax=0x90007, rbx=CODE+0x2007
    call rdi
    mov rbx, rax
    call rsi

; case: another page mapped at the same address runs its own code
; in: page[0x90000]=EXTRA|P|W, [EXTRA]=bytes("b8 01 00 00 00 c3"), [EXTRA+0x1000]=bytes("b8 02 00 00 00 c3"), rdi=0x90000
; expect: rax=2, rbx=1
    call rdi
    mov ebx, eax
    mov qword [PT+0x90*8], (EXTRA+0x1000)|3
    invlpg [rdi]
    call rdi

; case: code that maps another page in its own place goes on there
; in: page[0x90000]=EXTRA|P|W, rdi=0x90000, rsi=PT+0x90*8, rax=EXTRA|P|W, rbx=(EXTRA+0x1000)|P|W, [EXTRA]=bytes("48 89 06 0f 01 3f b9 01 00 00 00 c3"), [EXTRA+0x1006]=bytes("b9 02 00 00 00 c3")
; expect: rcx=2
    call rdi
    invlpg [rel case_start]
    mov rax, rbx
    call rdi

; case: code made no-execute after it ran faults
; in: page[0x90000]=EXTRA|P|W, [EXTRA].1=0xc3, rdi=0x90000
; expect: fault=#PF, error=0x11, cr2=0x90000, rip=0x90000
    call rdi
    bts qword [PT+0x90*8], 63
    invlpg [rdi]
    call rdi

; case: code made absent after it ran faults
; in: page[0x90000]=EXTRA|P|W, [EXTRA].1=0xc3, rdi=0x90000
; expect: fault=#PF, error=0x10, cr2=0x90000, rip=0x90000
    call rdi
    mov qword [PT+0x90*8], 0
    invlpg [rdi]
    call rdi

; case: a block that rewrites its own end runs the new end
; in: rdi=target
; expect: rcx=0x99
    mov eax, 0x90909090
    mov byte [rdi+1], 0x99
    nop
    nop
target:
    mov cl, 0x11
    and ecx, 0xff

; case: rep movsb that overwrites the code behind it
; in: rsi=DATA, rdi=target, rcx=5, [DATA]=bytes("bb 77 00 00 00")
; expect: rbx=0x77
    rep movsb
target:
    mov ebx, 0x11

; case: a push that overwrites the next instruction
; in: rsp=target+8
; expect: rbx=0x77
    mov rax, 0x90909000000077bb
    push rax
target:
    mov ebx, 0x11
    times 8 nop
    mov esp, STACK_TOP

; case: xchg that overwrites its successor
; in: rdi=target, rax=0x90909000000077bb
; expect: rbx=0x77
    xchg [rdi], rax
target:
    mov ebx, 0x11
    times 8 nop

; case: data next to code in one page can be written again and again
; in: rcx=1000
; expect: rcx=0, [CODE+0x800].8=1000
again:
    inc qword [CODE+0x800]
    loop again

; case: the same bytes at the same address are decoded anew in another mode
; in: [CODE+0x2000]=bytes("48 90 cb"), rdi=CODE+0x2000, rax=0x10, [DATA].4=CODE+0x2000, [DATA+4].2=0x30, rbx=0
; expect: rax=0xf, rbx=0xf
    mov ebx, CODE+0x2000
    mov dword [STACK_TOP-0x100], case_end
    mov dword [STACK_TOP-0xfc], 8
    mov byte [CODE+0x2002], 0xc3
    call rbx
    mov byte [CODE+0x2002], 0xcb
    mov rsp, STACK_TOP-0x100
    mov ebx, 0xf
    db 0xff, 0x2c, 0x25
    dd DATA

; case: a vector store over code counts as a write
; in: rdi=target, xmm0=0x909090909090909090909000000077bb
; expect: rbx=0x77
    movdqu [rdi], xmm0
target:
    mov ebx, 0x11
    times 16 nop

; case: a constant that is written again and again is the one that was written last
; in: [CODE+0x2000]=bytes("b8 00 00 00 00 c3"), rdi=CODE+0x2000, rcx=100, rbx=0
; expect: rbx=5050, rcx=0
again:
    mov [rdi+1], ecx
    call rdi
    add ebx, eax
    dec ecx
    jnz again

; case: so is one of eight bytes, written in halves
; in: [CODE+0x2000]=bytes("49 bb 00 00 00 00 00 00 00 00 c3"), rdi=CODE+0x2000, rcx=100, rbx=0
; expect: rbx=0x13ba000013ba, rcx=0
again:
    mov [rdi+2], ecx
    mov [rdi+6], ecx
    call rdi
    add rbx, r11
    dec ecx
    jnz again

; case: so is one that stands on two pages
; in: [CODE+0x2ffd]=bytes("b8 00 00 00 00 c3"), rdi=CODE+0x2ffd, rcx=100, rbx=0
; expect: rbx=5050, rcx=0
again:
    mov [rdi+1], ecx
    call rdi
    add ebx, eax
    dec ecx
    jnz again

; case: so is a displacement
; in: [CODE+0x2000]=bytes("8d 81 00 00 00 00 c3"), rdi=CODE+0x2000, rcx=100, rbx=0
; expect: rbx=10100, rcx=0
again:
    mov [rdi+2], ecx
    call rdi
    add ebx, eax
    dec ecx
    jnz again

; case: a jump whose target is written again and again leads to the one that was written last
; in: [CODE+0x2000]=bytes("31 c0 e9 00 00 00 00 ff c0 ff c0 ff c0 c3"), rdi=CODE+0x2000, rcx=100, rbx=0
; expect: rbx=150, rcx=0
again:
    lea edx, [rcx*2]
    and edx, 6
    mov [rdi+3], edx
    call rdi
    add ebx, eax
    dec ecx
    jnz again

; case: what was no instruction is one once its second byte is written
; in: [CODE+0x2000]=bytes("0f 04 c0 c3"), gate[6]=ud, rdi=CODE+0x2000, rbx=0
; expect: rbx=1
    call rdi
    jmp done
ud:
    mov byte [rdi+1], 0x1f
    btr dword [rsp+16], 16  ; RF
    inc ebx
    iretq
done:
