; mode: long-kernel

; case: system calls and their returns, over and over
; mode: long-user
; in: lstar=target, fmask=0x201, rbx=0, rsi=0, r14=0, r15=0
; expect: rbx=0, rsi=0x1b80, rdi=0x246, r8=0x46, r9=0x247, r14=40, cs=0x2b, ss=0x23, rsp=STACK_TOP, if=1
    mov ebx, 40
again:
    push rbx
    mov r10, 0x55
    xor eax, eax
    stc
    syscall
back:
    pushfq
    pop rdi
    lea rax, [rel back]
    cmp rax, r15
    jne case_end
    pop rbx
    add rsi, r10
    dec ebx
    jnz again
    mov ecx, 0
    jmp case_end
target:
    push r11
    pushfq
    pop r8
    mov r9, r11
    mov r15, rcx
    add r10, 0x5b
    inc r14
    pop r11
    and r11, ~1
    o64 sysret

; case: system calls whose vector changes
; mode: long-user
; in: lstar=first, rbx=0, rcx=0
; expect: rbx=0x1111122222
    mov r14d, 10
again:
    syscall
    dec r14d
    jnz again
    jmp case_end
second:
    shl rbx, 4
    or rbx, 2
    o64 sysret
first:
    shl rbx, 4
    or rbx, 1
    cmp r14d, 6
    jne leave
    push rcx
    push r11
    mov ecx, 0xc0000082
    lea rax, [rel second]
    mov rdx, rax
    shr rdx, 32
    wrmsr
    pop r11
    pop rcx
leave:
    o64 sysret

; case: sysret with TF traps before the program goes on, also after others
; mode: long-user
; in: lstar=target
; expect: fault=#DB, rip=back, cs=0x2b
    mov r14d, 8
    jmp enter
align 64
enter:
    syscall
back:
    dec r14d
    jnz enter
    jmp case_end
target:
    cmp r14d, 2
    jne leave
    or r11, 0x100
leave:
    o64 sysret

; case: sysret with AC brings the checks with it
; mode: long-user
; in: lstar=target, cr0|=0x40000
; expect: fault=#AC, error=0, rip=access
    mov r14d, 8
enter:
    syscall
    mov rdi, DATA+1
access:
    mov eax, [rdi]
    dec r14d
    jnz enter
    jmp case_end
target:
    cmp r14d, 2
    jne leave
    or r11, 0x40000
leave:
    o64 sysret

; case: system calls end where EFER.SCE is cleared
; mode: long-user
; in: lstar=target
; expect: fault=#UD, rip=enter, r14=4
    mov r14d, 8
enter:
    syscall
    dec r14d
    jnz enter
    jmp case_end
target:
    cmp r14d, 5
    jne leave
    push rcx
    push r11
    mov ecx, 0xc0000080
    rdmsr
    and eax, ~1
    pop r11
    pop rcx
    mov r12, rcx
    mov r13, r11
    lea rdi, [rsp-40]
    mov [rdi], rcx
    mov qword [rdi+8], 0x2b
    mov [rdi+16], r11
    mov [rdi+24], rsp
    mov qword [rdi+32], 0x23
    mov ecx, 0xc0000080
    wrmsr
    mov rsp, rdi
    iretq
leave:
    o64 sysret

; case: interrupts are disabled and come back, over and over
; in: if=1, rbx=0
; expect: rax=0x202, rdx=2, rsi=0x202, rsp=STACK_TOP, if=1, rbx=0
    mov ebx, 40
again:
    pushfq
    pop rax
    push rax
    cli
    pushfq
    pop rdx
    popfq
    pushfq
    pop rsi
    dec ebx
    jnz again
    jmp case_end

; case: popfq brings every flag of arithmetic
; in: if=1, rbx=0, rsi=0
; expect: rsi=0x8d5, rdi=0x8d5, flags=0
    mov ebx, 40
again:
    push 0xad7
    popfq
    pushfq
    pop rsi
    and esi, 0x8d5
    push 0x202
    popfq
    setc al
    push 0xad7
    popfq
    lahf
    seto al
    movzx edi, ah
    and edi, 0xd5
    movzx eax, al
    shl eax, 11
    or edi, eax
    dec ebx
    jnz again
    push 0x202
    popfq
    jmp case_end

; case: an interrupt waits until popfq lets it in
; in: if=1, rax=0x30, rbx=0, rcx=0, gate[0x30]=handler
; expect: rbx=40, rcx=40, rdx=0, if=1
again:
    pushfq
    cli
    out 0xe0, al
    mov edx, ecx
    inc ebx
    popfq
    sub edx, ecx
    inc edx
    cmp ebx, 40
    jne again
    jmp case_end
handler:
    inc ecx
    iretq

; case: an interrupt waits until the instruction behind sti is over
; in: if=0, rax=0x30, rbx=0, rcx=0, rdx=0, gate[0x30]=handler
; expect: rbx=40, rcx=40, rdx=40
again:
    cli
    out 0xe0, al
    sti
    inc ebx
    nop
    cmp ecx, ebx
    jne case_end
    cmp ebx, 40
    jne again
    jmp case_end
handler:
    inc ecx
    cmp ecx, ebx
    jne wrong
    inc edx
wrong:
    iretq

; case: sti and cli side by side let nothing in
; in: if=0, rax=0x30, rbx=0, rcx=0, gate[0x30]=handler
; expect: rbx=40, rcx=0, if=0
    out 0xe0, al
again:
    sti
    cli
    inc ebx
    cmp ebx, 40
    jne again
    jmp case_end
handler:
    inc ecx
    iretq

; case: cli at CPL 3 is #GP, also behind cli at CPL 0
; mode: long-user
; in: lstar=target, iopl=0
; expect: fault=#GP, error=0, rip=no
    mov r14d, 8
enter:
    syscall
    dec r14d
    jnz enter
no:
    cli
target:
    cli
    o64 sysret

; case: popfq at CPL 3 leaves IF and IOPL alone, over and over
; mode: long-user
; in: iopl=0, if=1
; expect: rax=0x246, if=1, iopl=0
    mov ebx, 40
again:
    push 0x3046
    popfq
    pushfq
    pop rax
    dec ebx
    jnz again
    jmp case_end

; case: popfq may set DF, NT, AC and ID, and clear them again
; in: if=1, rbx=0
; expect: rax=0x244602, rdx=0x202, df=0, nt=0, ac=0, id=0
    mov ebx, 40
again:
    push 0x244602
    popfq
    pushfq
    pop rax
    push 0x202
    popfq
    pushfq
    pop rdx
    dec ebx
    jnz again
    jmp case_end

; case: stac and clac around accesses to user pages
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000, [0x90000].8=1
; expect: rax=41, [0x90000].8=41, ac=0
    mov ebx, 40
again:
    stac
    mov rax, [rdi]
    test ebx, 1
    jz even
    inc rax
    jmp behind
even:
    add rax, 1
behind:
    mov [rdi], rax
    clac
    dec ebx
    jnz again
    jmp case_end

; case: behind clac SMAP is in force, however often it was not
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000, rbx=40
; expect: fault=#PF, error=1, rip=access
again:
    stac
    jmp inside
inside:
    mov rax, [rdi]
    dec ebx
    jz out
    clac
    jmp again
out:
    clac
    jmp access
access:
    mov rax, [rdi]

; case: popfq of AC puts SMAP in force
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000, rbx=40
; expect: fault=#PF, error=1, rip=access
again:
    pushfq
    stac
    mov rax, [rdi]
    popfq
    dec ebx
    jnz again
access:
    mov rax, [rdi]

; case: swapgs, over and over
; in: gs.base=0x1234, kernel_gs_base=DATA, [DATA].8=1, cr4|=0x10000
; expect: rax=0x1234, gs.base=0x1234, kernel_gs_base=DATA, [DATA].8=41
    mov ebx, 40
again:
    swapgs
    inc qword [gs:0]
    swapgs
    rdgsbase rax
    dec ebx
    jnz again
    jmp case_end

; case: bases of segments, written and read
; mode: long-user
; in: cr4|=0x10000, rdi=0
; expect: r10=40, rax=80, fs.base=40, gs.base=80
again:
    inc rdi
    wrfsbase rdi
    lea r11, [rdi+rdi]
    wrgsbase r11
    rdfsbase r10
    rdgsbase rax
    cmp rdi, 40
    jne again
    jmp case_end

; case: wrgsbase of a non-canonical address is #GP, also after others
; mode: long-user
; in: cr4|=0x10000, rdi=1
; expect: fault=#GP, error=0, rip=again
again:
    wrgsbase rdi
    shl rdi, 8
    jmp again

; case: time goes on
; mode: long-user
; in: msr.tsc_aux=0x42
; expect: rcx=0x42, cf=0
    mov ebx, 40
    xor edi, edi
again:
    rdtsc
    shl rdx, 32
    or rdx, rax
    cmp rdx, rdi
    jb case_end
    mov rdi, rdx
    rdtscp
    shl rdx, 32
    or rdx, rax
    cmp rdx, rdi
    jb case_end
    mov rdi, rdx
    dec ebx
    jnz again
    clc
    jmp case_end

; case: rdtsc is #GP as soon as CR4.TSD is set
; mode: long-user
; in: lstar=target
; expect: fault=#GP, error=0, rip=time, r14=3
    mov r14d, 8
enter:
    syscall
time:
    rdtsc
    dec r14d
    jnz enter
    jmp case_end
target:
    cmp r14d, 3
    jne leave
    mov rax, cr4
    or eax, 4
    mov cr4, rax
leave:
    o64 sysret

; case: {I} of a register names a bit anywhere in memory
; mode: long-user
; columns: I BITS
; row: bts | 0x8000000000000081
; row: lock bts | 0x8000000000000081
; row: btr | 0
; row: btc | 0x8000000000000081
; in: [DATA-8].8=0, [DATA].8=0, [DATA+8].8=0
; expect: [DATA-8].8={BITS}, [DATA].8=0, [DATA+8].8={BITS}, cf=0, zf=1
    mov ebx, 5
    mov rdi, DATA
again:
    xor eax, eax
    mov r10, -1
    {I} qword [rdi], r10
    mov ecx, -64
    {I} dword [rdi], ecx
    mov rcx, -57
    {I} qword [rdi], rcx
    mov r10, 127
    {I} qword [rdi], r10
    mov ecx, 64
    {I} dword [rdi], ecx
    mov cx, 71
    {I} word [rdi], cx
    dec ebx
    jz out
    mov qword [rdi-8], 0
    mov qword [rdi+8], 0
    jmp again
out:
    xor eax, eax
    clc
    jmp case_end

; case: bt of a bit in a page that is not there is #PF where the bit is
; mode: long-user
; in: rdi=HOLE-0x800, rax=0
; expect: fault=#PF, error=4, cr2=HOLE+0x40, rip=access
    mov rax, 0x800*8+0x200
access:
    bt dword [rdi], eax

; case: cmpxchg16b of memory that is not aligned is #GP, also after others
; mode: long-user
; in: rdi=DATA, r14=0, [DATA].8=0, [DATA+8].8=0
; expect: fault=#GP, error=0, rip=again, [DATA].8=1, [DATA+8].8=0
    xor eax, eax
    xor edx, edx
    mov ebx, 1
    xor ecx, ecx
again:
    lock cmpxchg16b [rdi]
    mov eax, 0
    inc r14d
    cmp r14d, 20
    jne again
    inc rdi
    jmp again

; case: pushes of memory and of what RSP was
; mode: long-user
; in: [DATA].8=0x1122334455667788
; expect: rax=0x1122334455667788, rdx=STACK_TOP-8, rsp=STACK_TOP
    mov ebx, 40
    mov rdi, DATA
again:
    push qword [rdi]
    push rsp
    push qword [rsp]
    pop rdx
    pop rdx
    pop rax
    dec ebx
    jnz again
    jmp case_end

; case: pop of rsp moves the stack
; mode: long-user
; in: [DATA+0x100].8=0x77
; expect: rax=0x77, rsp=DATA+0x108
    mov ebx, 40
again:
    mov rsp, STACK_TOP
    push DATA+0x100
    pop rsp
    pop rax
    dec ebx
    jnz again
    jmp case_end

; case: fills across a page and backward
; mode: long-user
; in: rax=0x4141414141414141
; expect: rcx=0, rdi=DATA+0x100, rsi=DATA+0x2f0, r8=0x4141414141414141, r9=0x4141414141414141, df=0
    mov ebx, 20
again:
    cld
    mov rdi, DATA
    mov ecx, 0x20
    rep stosq
    mov rsi, DATA
    mov rdi, DATA+0x200
    mov ecx, 0x100
    rep movsb
    mov r8, [DATA+0x2f8]
    mov rsi, DATA+0xf8
    mov rdi, DATA+0x2f8
    std
    mov ecx, 1
    rep movsq
    cld
    xor ecx, ecx
    rep stosq
    mov r9, [DATA+0x2f8]
    mov rsi, rdi
    mov rdi, DATA+0x100
    dec ebx
    jnz again
    jmp case_end

; case: a fill stops at the page that is not there
; mode: long-user
; in: rax=0x55
; expect: fault=#PF, error=6, cr2=HOLE, rip=again, rdi=HOLE, rcx=8
    mov rdi, HOLE-0x20
    mov ecx, 40
again:
    rep stosb

; case: moves that overlap repeat the first bytes
; mode: long-user
; in: [DATA].8=0x0807060504030201
; expect: [DATA+0x18].8=0x0807060504030201, rcx=0
    mov ebx, 20
again:
    mov rsi, DATA
    mov rdi, DATA+8
    mov ecx, 0x20
    rep movsb
    dec ebx
    jnz again
    jmp case_end

; case: an operand of {SEG} follows its page: {HOW}
; columns: HOW SEG DROP
; row: invlpg | fs | invlpg [rdi]
; row: invlpg of a neighbour's byte | gs | invlpg [rdi+0xfff]
; row: CR3 loaded | fs | mov cr3, rcx
; row: CR3 loaded again | gs | mov cr3, rcx
; in: {SEG}.base=0x8ff00, [DATA+0x40].8=1, [EXTRA+0x40].8=2, page[0x90000]=DATA|P|W, rdi=0x90000, rax=0
; expect: rax=60, [EXTRA+0x40].8=22, [DATA+0x40].8=1
    mov ebx, 40
again:
    add rax, [{SEG}:0x140]
    cmp ebx, 21
    jne same
    mov qword [PT+0x90*8], EXTRA|3
    mov rcx, cr3
    {DROP}
same:
    cmp ebx, 20
    ja first
    inc dword [{SEG}:0x148]
first:
    dec ebx
    jnz again
    mov ecx, [{SEG}:0x148]
    add [{SEG}:0x140], ecx

; case: an operand of FS is where its base says, whatever the base was
; in: cr4|=0x10000, rsi=DATA, rdi=EXTRA, [DATA].8=1, [EXTRA].8=0x10000, rax=0, rdx=0
; expect: rax=0x140014, rdx=0
    mov ebx, 40
again:
    wrfsbase rsi
    add rax, [fs:0]
    xchg rsi, rdi
    dec ebx
    jnz again

; case: operands of GS that want the same place
; in: gs.base=DATA, [DATA].8=1, [DATA+0x84].8=0x100, rax=0
; expect: rax=0x2b34, [DATA+0x84].8=0x128
    mov ebx, 40
again:
    add rax, [gs:0]
    add rax, [gs:0x84]
    inc dword [gs:0x84]
    dec ebx
    jnz again

; case: what was read by FS may not be written for that
; in: page[0x90000]=DATA|P, fs.base=0x90000, cr0|=0x10000
; expect: fault=#PF, error=3, cr2=0x90010, rip=store
    mov ebx, 40
again:
    mov rax, [fs:0x10]
    dec ebx
    jnz again
store:
    mov [fs:0x10], rax

; case: an operand of GS that lies on two pages
; in: gs.base=0x8f000, page[0x90000]=DATA|P|W, page[0x91000]=EXTRA|P|W, [DATA+0xffc].4=1, [EXTRA].4=1, rax=0
; expect: rax=0x2800000028
    mov ebx, 40
again:
    mov ecx, [gs:0x1ffc]
    add rax, [gs:0x1ffc]
    dec ebx
    jnz again
