; mode: long-user

; case: syscall enters the kernel
; in: lstar=target, cf=1, zf=1
; expect: stop=halt, rip=target+1, rcx=behind, r11=0x243, cs=8, ss=0x10, rsp=STACK_TOP, cs.access=0xa09b, ss.access=0xc093
    syscall
behind:
    nop
target:
    hlt

; case: syscall clears the flags in FMASK
; in: lstar=target, fmask=0x200|cf|df, cf=1, df=1, zf=1
; expect: stop=halt, if=0, cf=0, df=0, zf=1, r11=0x643
    syscall
target:
    hlt

; case: syscall clears RF
; in: lstar=target, rf=1
; expect: stop=halt, rf=0
    syscall
target:
    hlt

; case: syscall from compatibility mode enters at CSTAR or is #UD
; mode: compat
; cpu: host
; expect: fault=#UD, rip=case_start
    syscall

; case: syscall without EFER.SCE is #UD
; in: efer&=0xfffffffe
; expect: fault=#UD, rip=case_start
    syscall

; case: syscall in protected mode is #UD
; mode: protected32
; expect: fault=#UD, rip=case_start
    syscall

; case: sysretq returns to 64-bit code
; mode: long-kernel
; in: page[CODE]=CODE|P|W|U, rcx=target, r11=0x203
; expect: fault=#BP, rip=behind, cs=0x2b, ss=0x23, cf=1, if=1, rsp=STACK_TOP
    o64 sysret
target:
    int3
behind:
    nop

; case: sysret without REX.W returns to 32-bit code
; mode: long-kernel
; in: page[CODE]=CODE|P|W|U, rcx=0x5500000000|target, r11=2
; expect: fault=#BP, rip=behind, cs=0x1b, ss=0x23
    sysret
target:
    int3
behind:
    nop

; case: sysret clears RF, VM and reserved flags and sets bit 1
; mode: long-kernel
; in: page[CODE]=CODE|P|W|U, rcx=target, r11=0xffffffffffffcaff
; expect: fault=#BP, rflags=0x3c4ad7
    o64 sysret
target:
    int3

; case: sysretq to a non-canonical address is #GP in the kernel
; mode: long-kernel
; in: rcx=0x8000000000000000, r11=2
; expect: fault=#GP, error=0, rip=case_start, cs=8
    o64 sysret

; case: sysret without EFER.SCE is #UD
; mode: long-kernel
; in: efer&=0xfffffffe
; expect: fault=#UD, rip=case_start
    o64 sysret

; case: sysenter enters the kernel from {M}
; columns: M
; row: long-user
; row: compat
; mode: {M}
; in: msr.sysenter_cs=0xc0, msr.sysenter_esp=KSTACK_TOP, msr.sysenter_eip=target
; expect: stop=halt, rip=target+1, rsp=KSTACK_TOP, cs=0xc0, ss=0xc8, if=0
    sysenter
target:
    hlt

; case: sysenter in protected mode
; mode: protected32-user
; in: msr.sysenter_cs=0xc0, msr.sysenter_esp=KSTACK_TOP, msr.sysenter_eip=target
; expect: stop=halt, rip=target+1, rsp=KSTACK_TOP, cs=0xc0, ss=0xc8, if=0
    sysenter
target:
    hlt

; case: sysenter with a null selector is #GP
; in: msr.sysenter_cs=0
; expect: fault=#GP, error=0, rip=case_start
    sysenter

; case: sysexit to 64-bit code
; mode: long-kernel
; in: page[CODE]=CODE|P|W|U, msr.sysenter_cs=0xc0, rcx=DATA, rdx=target
; expect: fault=#BP, cs=0xe3, ss=0xeb, rsp=DATA
    o64 sysexit
target:
    int3

; case: sysexit to 32-bit code
; mode: long-kernel
; in: page[CODE]=CODE|P|W|U, msr.sysenter_cs=0xc0, rcx=DATA, rdx=target
; expect: fault=#BP, cs=0xd3, ss=0xdb, rsp=DATA
    sysexit
target:
    int3

; case: sysexit with a null selector is #GP
; mode: long-kernel
; in: msr.sysenter_cs=0
; expect: fault=#GP, error=0, rip=case_start
    o64 sysexit

; case: swapgs exchanges the bases
; mode: long-kernel
; in: gs.base=0x1234, kernel_gs_base=0x5678
; expect: gs.base=0x5678, kernel_gs_base=0x1234
    swapgs

; case: wrmsr sets the {S} base
; mode: long-kernel
; columns: S N
; row: fs | 0xc0000100
; row: gs | 0xc0000101
; in: rcx={N}, rax=DATA, rdx=0, [DATA+8].8=0x99
; expect: {S}.base=DATA, rbx=0x99
    wrmsr
    mov rbx, [{S}:8]

; case: rdmsr reads {WHAT}
; mode: long-kernel
; columns: WHAT N IN LO HI
; row: EFER | 0xc0000080 | rbx=0 | 0xd01 | 0
; row: STAR | 0xc0000081 | star=0x1122334455667788 | 0x55667788 | 0x11223344
; row: LSTAR | 0xc0000082 | lstar=0x1122334455 | 0x22334455 | 0x11
; row: FMASK | 0xc0000084 | fmask=0x47700 | 0x47700 | 0
; row: the kernel GS base | 0xc0000102 | kernel_gs_base=0x1122334455 | 0x22334455 | 0x11
; row: TSC_AUX | 0xc0000103 | msr.tsc_aux=0x42 | 0x42 | 0
; row: SYSENTER_CS | 0x174 | msr.sysenter_cs=0x10 | 0x10 | 0
; row: PAT | 0x277 | rbx=0 | 0x00070406 | 0x00070406
; in: rcx={N}, {IN}
; expect: rax={LO}, rdx={HI}
    rdmsr

; case: rdmsr of {N}, which does not exist, is #GP
; mode: long-kernel
; columns: N
; row: 0x12345
; row: 0xc0001234
; row: 0x40001000
; in: rcx={N}
; expect: fault=#GP, error=0, rip=case_start, rax=0x1111111111111111
    rdmsr

; case: wrmsr of {WHAT} is #GP
; mode: long-kernel
; columns: WHAT N LO HI
; row: a non-canonical FS base | 0xc0000100 | 0 | 0x80000000
; row: a non-canonical LSTAR | 0xc0000082 | 0 | 0x80000000
; row: a non-canonical SYSENTER_EIP | 0x176 | 0 | 0x80000000
; row: EFER with a reserved bit | 0xc0000080 | 0xd03 | 0
; row: EFER.LME while paging | 0xc0000080 | 0xc01 | 0
; row: PAT with a reserved type | 0x277 | 0x00070402 | 0x00070406
; row: FMASK above 32 bits | 0xc0000084 | 0 | 1
; row: TSC_AUX above 32 bits | 0xc0000103 | 0 | 1
; row: an unknown register | 0x12345 | 0 | 0
; in: rcx={N}, rax={LO}, rdx={HI}
; expect: fault=#GP, error=0, rip=case_start
    wrmsr

; case: wrmsr cannot change EFER.LMA
; mode: long-kernel
; in: rcx=0xc0000080, rax=0x901, rdx=0
; expect: efer=0xd01
    wrmsr

; case: rdmsr ignores the upper half of RCX
; mode: long-kernel
; in: rcx=0xffffffffc0000103, msr.tsc_aux=7
; expect: rax=7, rdx=0
    rdmsr

; case: rdtscp reads TSC_AUX
; in: msr.tsc_aux=0x42
; expect: rcx=0x42
    rdtscp

; case: rdtsc with CR4.TSD is #GP at CPL 3
; in: cr4|=4
; expect: fault=#GP, error=0, rip=case_start
    rdtsc

; case: rdtsc with CR4.TSD works at CPL 0
; mode: long-kernel
; in: cr4|=4, rdx=0x5500000000
; expect: rdx=0
    rdtsc

; case: rdtsc never goes back
; expect: cf=0
    rdtsc
    mov ebx, eax
    rdtsc
    cmp eax, ebx

; case: rdfsbase without CR4.FSGSBASE is #UD
; expect: fault=#UD, rip=case_start
    rdfsbase rax

; case: wrgsbase sets the base
; in: cr4|=0x10000, rax=DATA, [DATA].8=9
; expect: gs.base=DATA, rbx=9
    wrgsbase rax
    mov rbx, [gs:0]

; case: wrfsbase of 32 bits clears the upper half
; in: cr4|=0x10000, rax=0xffffffff00020000
; expect: fs.base=0x20000
    wrfsbase eax

; case: wrfsbase of a non-canonical address is #GP
; in: cr4|=0x10000, rax=0x8000000000000000
; expect: fault=#GP, error=0, rip=case_start
    wrfsbase rax

; case: loading FS with a selector sets its base from the descriptor
; in: fs.base=0x123456789, rax=0x23
; expect: fs=0x23, fs.base=0
    mov fs, ax
