; Where silicon is more definite than the manual, or where random streams found a difference.
; mode: long-user
; native: yes

; case: a SIB base of 5 with mod 0 is no base, whatever REX.B and the address size
; in: r13=0x123456, r9=8, [DATA+8].8=0x77
; expect: rcx=0x77
    db 0x67, 0x4b, 0x8b, 0x0c, 0x0d
    dd DATA

; case: the same with 64-bit addresses
; in: r13=0x123456, r9=8, [DATA+8].8=0x77
; expect: rcx=0x77
    db 0x4b, 0x8b, 0x0c, 0x0d
    dd DATA

; case: {OP} {D} by {N} leaves overflow {OF}
; native: intel
; copied: intel
; columns: OP D N OF
; row: rol | al | 4 | 1
; row: rol | al | 4 | 0
; row: rol | ax | 13 | 1
; row: rol | eax | 31 | 1
; row: rol | rax | 63 | 0
; row: ror | al | 4 | 1
; row: ror | ax | 9 | 0
; row: ror | eax | 2 | 1
; row: ror | rax | 63 | 1
; in: rax=0x8000000080408041, of={OF}
; expect: of={OF}
    {OP} {D}, {N}

; case: cmps reads its destination first
; in: rsi=HOLE, rdi=HOLE+0x100
; expect: fault=#PF, error=4, cr2=HOLE+0x100, rip=case_start
    cmpsb

; case: movs reads its source first
; in: rsi=HOLE, rdi=HOLE+0x100
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start
    movsb

; case: read-modify-write of an absent page faults as a write: {CODE}
; columns: CODE
; row: add [rdi], rax
; row: neg qword [rdi]
; row: shl qword [rdi], cl
; row: shld [rdi], rax, 3
; row: bts [rdi], eax
; row: xadd [rdi], rax
; row: cmpxchg [rdi], rbx
; row: cmpxchg8b [rdi]
; row: xchg [rdi], rax
; in: rdi=HOLE, rax=0, rcx=0
; expect: fault=#PF, error=6, cr2=HOLE, rip=case_start
    {CODE}

; case: fninit keeps the contents of the registers
; in: fpu.status=0x1800, fpu.st.0.0=0x1111, fpu.st.0.1=1, fpu.st.5.0=0x2222, fpu.st.5.1=2
; expect: fpu.st.3.0=0x1111, fpu.st.0.0=0x2222, fpu.status=0
    fninit

; case: {OP} turns x87 into MMX state even if it raises #XM
; columns: OP
; row: cvtps2pi mm0, xmm0
; row: cvttps2pi mm0, xmm0
; row: cvtpd2pi mm0, xmm0
; row: cvttpd2pi mm0, xmm0
; in: xmm0=0x7ff80000ffc00000, mxcsr=0x1f00, fpu.status=0x1800, fpu.tag=0x18
; expect: fault=#XM, rip=case_start, fpu.tag=0xff, fpu.status=0
    {OP}

; case: cvtpi2ps from MMX turns x87 into MMX state even if it raises #XM
; in: fpu.st.0.0=0x7fffffff7fffffff, fpu.tag=0x18, mxcsr=0x0f80
; expect: fault=#XM, rip=case_start, fpu.tag=0xff, mxcsr=0x0fa0
    cvtpi2ps xmm0, mm0

; case: an unmasked underflow is inexact only if the unbounded result is
; in: xmm0=0x1a70000000000001, xmm1=0x2330000000000000, mxcsr=0x1780
; expect: fault=#XM, mxcsr=0x1790, xmm0=0x1a70000000000001
    mulsd xmm0, xmm1

; case: a gather of 128 bits clears the whole mask register
; in: cr4|=0x40000, xcr0=7, rdi=DATA, xmm1=0, ymm2=0x1111111111111111222222222222222280000000000000008000000000000000
; expect: ymm2=0
    vpgatherqq xmm0, [rdi+xmm1*8], xmm2

; case: a gather that faults has made what is left of its mask all ones
; native: intel
; in: cr4|=0x40000, xcr0=7, rdi=DATA, xmm1=ps(0, 0, HOLE-DATA, 0), xmm2=ps(0x80000000, 0, 0x80000000, 0x80000000), xmm0=0
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start, xmm2=ps(0, 0, 0xffffffff, 0xffffffff)
    vpgatherdd xmm0, [rdi+xmm1], xmm2

; case: an x87 store that does not happen does not fault
; native: intel
; in: rdi=RO, fpu.control=0x37e
; expect: fpu.tag=0, mxcsr=0x1f80
    fst dword [rdi]

; case: VEX.W means nothing to {WHAT} outside 64-bit mode
; native: intel
; mode: compat
; columns: WHAT CODE R
; row: vpinsrd | 0xc4, 0xe3, 0xf9, 0x22, 0xc1, 0x01 | 0x2222222200000005
; row: vmovd | 0xc4, 0xe1, 0xf9, 0x6e, 0xc1 | 0x22222222
; in: cr4|=0x40000, xcr0=7, xmm0=5
; expect: xmm0={R}
    db {CODE}

; case: VEX.W means nothing to vcvtsi2sd outside 64-bit mode
; mode: compat
; in: cr4|=0x40000, xcr0=7, xmm0=0, [DATA].8=0xffffffff00000005, rcx=DATA
; expect: xmm0=f64(5.0)
    db 0xc4, 0xe1, 0xfb, 0x2a, 0x01

; case: VEX.W means nothing to vpcmpestri outside 64-bit mode
; mode: compat
; in: cr4|=0x40000, xcr0=7, xmm0=0x61, xmm1=pb(0x78, 0x61), rax=1, rdx=2
; expect: rcx=1
    db 0xc4, 0xe3, 0xf9, 0x61, 0xc1, 0x00

; case: aad sets the flags of its addition: {A} base {I}
; mode: compat
; columns: A I R FL
; row: 0x01ff | 1 | 0x0000 | cf+pf+af+zf
; row: 0x017f | 1 | 0x0080 | af+sf+of
; row: 0x0112 | 0x0f | 0x0021 | af+pf
; in: ax={A}, flags=0
; expect: ax={R}, flags={FL}
    aad {I}

; case: an access that wraps around 4 GiB of a flat segment is no segment fault
; native: intel
; mode: compat
; in: rcx=0xfffffffe
; expect: fault=#PF, rip=case_start
    mov eax, [ecx]

; case: the same in the stack segment
; native: intel
; mode: compat
; in: rbp=0xfffffffe
; expect: fault=#PF, rip=case_start
    mov eax, [ebp]

; case: maskmovdqu of {M} to an absent page names its upper half
; native: intel
; mode: long-user, compat
; columns: M H L A
; row: both halves | 0x8000000000000000 | 0x80 | HOLE+8
; row: the lower half | 0 | 0x8000000000000000 | HOLE+8
; row: the upper half | 0x800000 | 0 | HOLE+8
; in: rdi=HOLE, xmm0=1, xmm1=({H}<<64)+{L}
; expect: fault=#PF, error=6, cr2={A}, rip=case_start
    maskmovdqu xmm0, xmm1

; case: maskmovdqu of bytes {M} with pages absent from {WHERE} on
; native: intel
; columns: M H L WHERE RDI A
; row: of the lower half | 0 | 0x8080808080808080 | byte 4 | HOLE-4 | HOLE+4
; row: of both halves | 0x8080808080808080 | 0x8080808080808080 | byte 8 | HOLE-8 | HOLE
; in: rdi={RDI}, xmm0=1, xmm1=({H}<<64)+{L}
; expect: fault=#PF, error=6, cr2={A}, rip=case_start
    maskmovdqu xmm0, xmm1

; case: maskmovdqu of {M} on two pages that are not the user's names its upper half
; native: intel
; mode: long-user, compat
; columns: M RDI H L A
; row: the end of the upper half | 0x7ff2 | 0x8000000000000000 | 0 | 0x7ffa
; row: the lower half | 0x7ff8 | 0 | 0x80 | 0x8000
; in: rdi={RDI}, xmm0=1, xmm1=({H}<<64)+{L}
; expect: fault=#PF, cr2={A}, rip=case_start
    maskmovdqu xmm0, xmm1

; case: maskmovdqu of nothing asks for a writable segment all the same
; mode: compat
; in: rdi=DATA, xmm1=0
; expect: fault=#GP, error=0, rip=case_start
    cs maskmovdqu xmm0, xmm1

; case: a dot product whose products underflow exactly is exact
; in: xmm0=ps(0x0b800000, 0x3f800001, 0, 0), xmm1=ps(0x20000000, 0x3f800000, 0, 0), mxcsr=0x1780
; expect: fault=#XM, rip=case_start, mxcsr=0x1790
    dpps xmm0, xmm1, 0xff

; case: a conversion to halves that cannot be stored has set its flags
; native: intel
; in: cr4|=0x40000, xcr0=7, rdi=RO, xmm0=ps(0x33333333, 0, 0, 0), mxcsr=0x1f80
; expect: fault=#PF, error=7, cr2=RO, rip=case_start, mxcsr=0x1fb0
    vcvtps2ph [rdi], xmm0, 4

; case: a conversion to halves raises #XM before it stores
; native: intel
; in: cr4|=0x40000, xcr0=7, rdi=RO, xmm0=ps(0x33333333, 0, 0, 0), mxcsr=0x0f80
; expect: fault=#XM, rip=case_start, mxcsr=0x0fb0
    vcvtps2ph [rdi], xmm0, 4

; case: a denormal number makes an inexact half
; native: intel
; in: cr4|=0x40000, xcr0=7, xmm0=ps(0x00400000, 0, 0, 0), mxcsr=0x1780
; expect: fault=#XM, rip=case_start, mxcsr=0x17b2
    vcvtps2ph xmm1, xmm0, 4

; case: a tiny number of few bits makes an exact half
; in: cr4|=0x40000, xcr0=7, xmm0=ps(0x00800000, 0, 0, 0), mxcsr=0x1780
; expect: fault=#XM, rip=case_start, mxcsr=0x1790
    vcvtps2ph xmm1, xmm0, 4

; case: a gather of 128 bits that faults at its {WHICH} element has {HIGH} above its result
; native: intel
; copied: intel
; columns: WHICH I HIGH
; row: first | ps(HOLE-DATA, 0, 0, 0) | 0x77
; row: second | ps(0, HOLE-DATA, 0, 0) | 0
; in: cr4|=0x40000, xcr0=7, rdi=DATA, xmm1={I}, xmm2=ps(0x80000000, 0x80000000, 0x80000000, 0x80000000), ymm0=0x77<<128
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start, ymm0={HIGH}<<128
    vpgatherdd xmm0, [rdi+xmm1], xmm2

; case: a gather of halves that faults keeps the rest of its vector
; native: intel
; in: cr4|=0x40000, xcr0=7, rdi=DATA, xmm1=(HOLE-DATA)<<64, xmm2=ps(0x80000000, 0x80000000, 0x80000000, 0x80000000), ymm0=0x77<<64
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start, ymm0=0x77<<64, xmm2=ps(0, 0xffffffff, 0xffffffff, 0xffffffff)
    vpgatherqd xmm0, [rdi+xmm1], xmm2

; case: an x87 store that does not happen does not ask for a writable segment
; native: intel
; mode: compat
; in: rdi=DATA, fpu.control=0x37e
; expect: fpu.tag=0, mxcsr=0x1f80
    fst dword [cs:edi]

; case: an x87 store of an inexact number does happen, and faults
; in: rdi=RO, fpu.control=0x35f, fpu.tag=1, fpu.st.0.0=0x8000000000000001, fpu.st.0.1=0x3fff
; expect: fault=#PF, error=7, cr2=RO, rip=case_start, fpu.status=0, fpu.tag=1
    fst dword [rdi]

; case: an overflow that divides without a remainder is exact
; in: xmm0=0x7f000000, xmm1=0x00800000, mxcsr=0x1b80
; expect: fault=#XM, mxcsr=0x1b88, xmm0=0x7f000000
    divss xmm0, xmm1

; case: fldenv moves the top of the stack under the registers
; in: rdi=DATA, fpu.st.0.0=0x1111, fpu.st.0.1=1, [DATA].4=0x37f, [DATA+4].4=0x1800, [DATA+8].4=0xffff
; expect: fpu.status=0x1800, fpu.st.5.0=0x1111, fpu.tag=0
    fldenv [rdi]
