; mode: long-kernel

; case: mov to CR0 with {WHAT} is #GP
; columns: WHAT V
; row: PG without PE | 0x80010030
; row: NW without CD | 0xa0050033
; row: a bit above 31 | 0x180050033
; row: PG cleared in 64-bit mode | 0x00050033
; in: rax={V}
; expect: fault=#GP, error=0, rip=case_start
    mov cr0, rax

; case: mov to CR0 ignores reserved low bits and keeps ET
; in: rax=0x8005ffe3
; expect: cr0=0x80050033
    mov cr0, rax

; case: mov to CR4 with {WHAT} is #GP
; columns: WHAT V
; row: a reserved bit | 0x80000620
; row: a bit above 31 | 0x100000620
; row: PAE cleared in long mode | 0x600
; row: LA57 changed in 64-bit mode | 0x1620
; in: rax={V}
; expect: fault=#GP, error=0, rip=case_start
    mov cr4, rax

; case: mov to CR3 with address bits that do not exist is #GP
; in: rax=(1<<52)|ROOT
; expect: fault=#GP, error=0, rip=case_start
    mov cr3, rax

; case: {CODE} is #UD
; columns: CODE
; row: mov rax, cr1
; row: mov cr5, rax
; row: mov cr7, rax
; row: mov rax, cr15
; expect: fault=#UD, rip=case_start
    {CODE}

; case: mov from a control register ignores mod and reads a register
; in: cr2=0x1234
; expect: rax=0x1234
    db 0x0f, 0x20, 0x10

; case: lmsw sets TS and cannot clear PE
; in: rax=8
; expect: cr0=0x80050039
    lmsw ax

; case: lmsw with EM and MP changes only the low four bits
; in: rax=0xfff6
; expect: cr0=0x80050037
    lmsw ax

; case: smsw stores CR0
; expect: rax=0x80050033
    smsw rax

; case: smsw of 16 bits keeps the rest
; expect: rax=0x1111111111110033
    smsw ax

; case: clts clears TS
; in: cr0|=8
; expect: cr0=0x80050033
    clts

; case: a {WHAT} instruction with CR0.{BIT} is {F}
; columns: WHAT BIT CODE V F
; row: x87 | TS | fld1 | 8 | #NM
; row: x87 | EM | fld1 | 4 | #NM
; row: wait | TS with MP | fwait | 8 | #NM
; row: SSE | TS | addps xmm0, xmm1 | 8 | #NM
; row: SSE | EM | addps xmm0, xmm1 | 4 | #UD
; row: MMX | TS | paddb mm0, mm1 | 8 | #NM
; row: MMX | EM | paddb mm0, mm1 | 4 | #UD
; in: cr0|={V}
; expect: fault={F}, rip=case_start
    {CODE}

; case: fwait with TS but without MP goes on
; in: cr0|=8, cr0&=0xfffffffd
; expect: rax=0x1111111111111111
    fwait

; case: SSE without CR4.OSFXSR is #UD
; in: cr4&=0xfffffdff
; expect: fault=#UD, rip=case_start
    addps xmm0, xmm1

; case: integer SSE instructions like lfence need no OSFXSR
; in: cr4&=0xfffffdff, cr0|=8
; expect: rax=0x1111111111111111
    lfence
    sfence
    prefetcht0 [rax]

; case: AVX without OSXSAVE is #UD
; expect: fault=#UD, rip=case_start
    vaddps ymm0, ymm1, ymm2

; case: AVX without XCR0.AVX is #UD
; in: cr4|=0x40000, xcr0=3
; expect: fault=#UD, rip=case_start
    vaddps ymm0, ymm1, ymm2

; case: AVX with TS is #NM
; in: cr4|=0x40000, xcr0=7, cr0|=8
; expect: fault=#NM, rip=case_start
    vaddps ymm0, ymm1, ymm2

; case: BMI instructions with VEX need neither OSXSAVE nor OSFXSR
; in: cr4&=0xfffffdff, cr0|=8, rax=0xf0, rbx=0xff
; expect: rcx=0x0f
    andn rcx, rax, rbx

; case: xsetbv sets XCR0
; in: cr4|=0x40000, rcx=0, rax=7, rdx=0
; expect: xcr0=7
    xsetbv

; case: xsetbv of {WHAT} is #GP
; columns: WHAT N LO HI
; row: XCR1 | 1 | 7 | 0
; row: no x87 | 0 | 6 | 0
; row: AVX without SSE | 0 | 5 | 0
; row: a reserved bit | 0 | 7 | 0x80000000
; in: cr4|=0x40000, rcx={N}, rax={LO}, rdx={HI}
; expect: fault=#GP, error=0, rip=case_start
    xsetbv

; case: xsetbv without OSXSAVE is #UD
; in: rcx=0, rax=7, rdx=0
; expect: fault=#UD, rip=case_start
    xsetbv

; case: xgetbv reads XCR0
; in: cr4|=0x40000, xcr0=7, rcx=0
; expect: rax=7, rdx=0
    xgetbv

; case: xgetbv without OSXSAVE is #UD
; in: rcx=0
; expect: fault=#UD, rip=case_start
    xgetbv

; case: CPUID shows OSXSAVE when CR4 has it: {V}
; columns: V ON R
; row: clear | 0 | 0
; row: set | 0x40000 | 0x8000000
; in: cr4|={ON}, rax=1, rcx=0
; expect: rcx={R}
    cpuid
    and ecx, 1 << 27

; case: CPUID clears the upper halves
; in: rax=0xffffffff00000000, rbx=0xffffffffffffffff, rcx=0xffffffff00000000, rdx=0xffffffffffffffff
; expect: rsi=0, rdi=0
    cpuid
    mov rsi, rbx
    shr rsi, 32
    mov rdi, rdx
    shr rdi, 32

; case: on CPU {CPU}, {WHAT} is #UD
; columns: CPU WHAT CODE
; row: baseline | popcnt | popcnt eax, ebx
; row: baseline | crc32 | crc32 eax, bl
; row: baseline | pshufb | pshufb xmm0, xmm1
; row: baseline | pcmpeqq | pcmpeqq xmm0, xmm1
; row: baseline | cmpxchg16b | cmpxchg16b [rdi]
; row: baseline | xgetbv | xgetbv
; row: v2 | movbe | movbe eax, [rdi]
; row: v2 | andn | andn eax, ebx, ecx
; row: v2 | mulx | mulx eax, ebx, ecx
; row: v2 | vaddps | vaddps xmm0, xmm1, xmm2
; row: v2 | vpaddd | vpaddd ymm0, ymm1, ymm2
; row: v2 | fma | vfmadd132ps xmm0, xmm1, xmm2
; row: v3,-sha_ni | sha256 | sha256rnds2 xmm1, xmm2, xmm0
; row: v3,-adx | adcx | adcx eax, ebx
; row: v3 | rdpkru | rdpkru
; row: v3,-rdseed | rdseed | rdseed eax
; row: host | an EVEX instruction | vaddps zmm0, zmm1, zmm2
; row: host | vmxoff | vmxoff
; row: host | xbegin | xbegin case_end
; row: host | enclu | db 0x0f, 0x01, 0xd7
; cpu: {CPU}
; in: rdi=DATA, rcx=0
; expect: fault=#UD, rip=case_start
    {CODE}

; case: without ABM lzcnt is bsr
; cpu: v2
; in: rax=0x10
; expect: rcx=4
    lzcnt rcx, rax

; case: without BMI1 tzcnt is bsf
; cpu: v2
; in: rax=0x10, rcx=7
; expect: rcx=4
    tzcnt rcx, rax

; case: without SMEP its bit in CR4 is reserved
; cpu: v2
; expect: fault=#GP, error=0, rip=set
    mov rax, cr4
    or rax, 0x100000
set:
    mov cr4, rax

; case: without NX its bit in EFER is reserved
; cpu: v2,-nx
; in: efer&=0xfffff7ff, page[NXP]=NXP|P|W, rcx=0xc0000080, rax=0xd01, rdx=0
; expect: fault=#GP, error=0, rip=case_start
    wrmsr

; case: hlt stops behind itself
; expect: stop=halt, rip=behind
    hlt
behind:
    nop
    nop

; case: monitor and mwait do not exist
; expect: fault=#UD, rip=case_start
    monitor

; case: the LOCK prefix on mov to CR is #UD
; cpu: host
; expect: fault=#UD, rip=case_start
    db 0xf0, 0x0f, 0x20, 0xc0

; case: pause, nop and endbr64 do nothing
; expect: rax=0x1111111111111111, flags=0
; in: flags=0
    pause
    db 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
    db 0xf3, 0x0f, 0x1e, 0xfa
    db 0xf3, 0x48, 0x0f, 0x1e, 0xc8

; case: wbinvd and invd do nothing that shows
; in: [DATA].8=5, rdi=DATA
; expect: rax=5
    wbinvd
    mov rax, [rdi]

; case: {REG} refuses every bit that does not exist
; mode: long-kernel
; cpu: v2
; columns: REG FIRST REFUSED
; row: cr0 | 0 | 0xffffffff20000000
; row: cr3 | 52 | 0xfff0000000000000
; row: cr4 | 0 | 0xfffffffffffdf800
; row: cr8 | 0 | 0xfffffffffffffff0
; row: dr6 | 0 | 0xffffffff00000000
; row: dr7 | 32 | 0xffffffff00000000
; in: gate[13]=handler, rbx=0, rcx={FIRST}
; expect: rbx={REFUSED}, rcx=64
    mov rsi, {REG}
next:
    mov edx, 1
    shl rdx, cl
    or rdx, rsi
    mov {REG}, rdx
after:
    mov {REG}, rsi
    inc ecx
    cmp ecx, 64
    jb next
    jmp done
handler:
    bts rbx, rcx
    add rsp, 8
    btr dword [rsp+16], 16
    lea rdx, [rel after]
    mov [rsp], rdx
    iretq
done:

; case: {WHAT} refuses every bit that does not exist
; mode: long-kernel
; cpu: v3
; columns: WHAT READ WRITE NUMBER REFUSED
; row: EFER | rdmsr | wrmsr | 0xc0000080 | 0xfffffffffffff2fe
; row: XCR0 | xgetbv | xsetbv | 0 | 0xfffffffffffffff8
; in: gate[13]=handler, rbx=0, rcx={NUMBER}, rdi=0, cr4|=0x40000, xcr0=7
; expect: rbx={REFUSED}, rdi=64
    {READ}
    shl rdx, 32
    or rdx, rax
    mov rsi, rdx
next:
    mov rdx, rsi
    bts rdx, rdi
    mov eax, edx
    shr rdx, 32
    {WRITE}
after:
    mov eax, esi
    mov rdx, rsi
    shr rdx, 32
    {WRITE}
    inc edi
    cmp edi, 64
    jb next
    jmp done
handler:
    bts rbx, rdi
    add rsp, 8
    btr dword [rsp+16], 16
    lea rax, [rel after]
    mov [rsp], rax
    iretq
done:
