; mode: long-user
; native: yes

; case: cmpxchg {D} equal stores the source
; columns: D S A R FLAGS
; row: bl | cl | al | 0x4444444444444422 | zf+pf
; row: bx | cx | ax | 0x4444444444442222 | zf+pf
; row: ebx | ecx | eax | 0x22222222 | zf+pf
; row: rbx | rcx | rax | 0x2222222222222222 | zf+pf
; in: {A}=0x44, {D}=0x44
; expect: rbx={R}, zf=1
    cmpxchg {D}, {S}

; case: cmpxchg unequal loads the accumulator
; in: rax=1, rbx=2
; expect: rax=2, rbx=2, zf=0, cf=1, sf=1
    cmpxchg rbx, rcx

; case: cmpxchg of 32 bits unequal clears the upper half of RAX only
; in: rax=0xffffffff00000001, rbx=0xffffffff00000002
; expect: rax=2, rbx=0xffffffff00000002, zf=0
    cmpxchg ebx, ecx

; case: lock cmpxchg of memory stores when equal
; in: rdi=DATA, rax=7, [DATA].8=7
; expect: [DATA].8=0x2222222222222222, rax=7, zf=1
    lock cmpxchg [rdi], rcx

; case: cmpxchg of memory keeps it when unequal
; in: rdi=DATA, rax=8, [DATA].8=7
; expect: [DATA].8=7, rax=7, zf=0
    lock cmpxchg [rdi], rcx

; case: cmpxchg of read-only memory faults as a write even when unequal
; in: rdi=RO, rax=8
; expect: fault=#PF, error=7, cr2=RO, rip=case_start, rax=8
    cmpxchg [rdi], rcx

; case: cmpxchg8b equal stores ECX:EBX
; in: rdi=DATA, rax=1, rdx=2, rbx=3, rcx=4, [DATA].8=0x200000001, flags=cf|of
; expect: [DATA].8=0x400000003, zf=1, cf=1, of=1
    cmpxchg8b [rdi]

; case: cmpxchg8b unequal loads EDX:EAX
; in: rdi=DATA, rax=0, rdx=0, [DATA].8=0x200000001, flags=zf
; expect: rax=1, rdx=2, zf=0
    cmpxchg8b [rdi]

; case: cmpxchg16b equal stores RCX:RBX
; in: rdi=DATA, rax=1, rdx=2, rbx=3, rcx=4, [DATA].8=1, [DATA+8].8=2
; expect: [DATA].8=3, [DATA+8].8=4, zf=1
    lock cmpxchg16b [rdi]

; case: cmpxchg16b unequal loads RDX:RAX
; in: rdi=DATA, rax=0, rdx=2, [DATA].8=1, [DATA+8].8=2
; expect: rax=1, rdx=2, zf=0
    cmpxchg16b [rdi]

; case: cmpxchg16b of an unaligned operand is #GP
; in: rdi=DATA+8
; expect: fault=#GP, error=0, rip=case_start
    cmpxchg16b [rdi]

; case: xadd of registers exchanges and adds
; in: rax=5, rbx=3
; expect: rax=8, rbx=5, zf=0
    xadd rax, rbx

; case: xadd of a register with itself doubles it
; in: rax=5
; expect: rax=10
    xadd rax, rax

; case: lock xadd of memory returns the old value
; in: rdi=DATA, [DATA].4=0xffffffff, rax=1
; expect: [DATA].4=0, rax=0xffffffff, cf=1, zf=1
    lock xadd [rdi], eax

; case: xchg of registers, {D}
; columns: D S A B
; row: al | bl | 0x1111111111111144 | 0x4444444444444411
; row: ax | bx | 0x1111111111114444 | 0x4444444444441111
; row: eax | ebx | 0x44444444 | 0x11111111
; row: rax | rbx | 0x4444444444444444 | 0x1111111111111111
; expect: rax={A}, rbx={B}
    xchg {D}, {S}

; case: xchg with memory
; in: rdi=DATA, [DATA].8=9
; expect: rax=9, [DATA].8=0x1111111111111111
    xchg rax, [rdi]

; case: xchg eax,eax as 87 c0 clears the upper half
; expect: rax=0x11111111
    db 0x87, 0xc0

; case: the one-byte nop does not
; expect: rax=0x1111111111111111
    nop

; case: 41 90 exchanges r8 and rax
; expect: rax=0x9999999999999999, r8=0x1111111111111111
    db 0x49, 0x90

; case: lock {OP} of memory
; columns: OP R
; row: add | 0x2122
; row: sub | 0xffffffffffffff00
; row: or | 0x1111
; row: and | 0x1011
; row: xor | 0x0100
; row: adc | 0x2123
; row: sbb | 0xfffffffffffffeff
; in: rdi=DATA, [DATA].8=0x1011, rax=0x1111, flags=cf
; expect: [DATA].8=({R})&0xffffffffffffffff
    lock {OP} [rdi], rax

; case: lock {OP} of memory, one operand
; columns: OP R
; row: inc | 0x100000000
; row: dec | 0xfffffffe
; row: not | 0xffffffff00000000
; row: neg | 0xffffffff00000001
; in: rdi=DATA, [DATA].8=0xffffffff
; expect: [DATA].8={R}
    lock {OP} qword [rdi]

; case: lock with {WHAT} is #UD
; columns: WHAT CODE
; row: a register destination | 0xf0, 0x01, 0xd8
; row: mov to memory | 0xf0, 0x89, 0x07
; row: a load | 0xf0, 0x8b, 0x07
; row: cmp | 0xf0, 0x39, 0x07
; row: bt | 0xf0, 0x0f, 0xa3, 0x07
; row: nop | 0xf0, 0x90
; row: test | 0xf0, 0x85, 0x07
; row: push | 0xf0, 0x50
; in: rdi=DATA
; expect: fault=#UD, rip=case_start
    db {CODE}

; case: xlat indexes by AL with its upper bits clear
; in: rbx=DATA, rax=0x1111111111111105, [DATA+5].1=0x99
; expect: rax=0x1111111111111199
    xlatb

; Each of these would lock the host's buses, if it were done there as it stands: where that is
; detected, a few pass in a second, and the case does not come to its end in time.
; case: {OP} across cache lines is no burden for the host
; mode: long-user, protected32-user
; native: no
; columns: OP
; row: lock xadd [DATA+62], eax
; row: lock inc dword [DATA+61]
; row: lock bts dword [DATA+63], 3
; row: xchg [DATA+62], eax
; row: lock cmpxchg [DATA+63], ecx
; row: lock cmpxchg8b [DATA+60]
; in: rsi=2000
; expect: rsi=0
again:
    {OP}
    dec esi
    jnz again
