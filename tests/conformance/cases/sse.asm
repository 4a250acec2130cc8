; mode: long-user
; native: yes
; in: cr4|=0x40000, xcr0=7

; case: {OP} of four singles
; columns: OP A B R
; row: addps | ps(f32(1.0), f32(2.0), f32(-1.0), f32(0.5)) | ps(f32(0.5), f32(2.0), f32(1.0), f32(0.25)) | ps(f32(1.5), f32(4.0), f32(0.0), f32(0.75))
; row: mulps | ps(f32(1.5), f32(2.0), f32(-1.0), f32(0.5)) | ps(f32(2.0), f32(2.0), f32(1.0), f32(0.25)) | ps(f32(3.0), f32(4.0), f32(-1.0), f32(0.125))
; row: maxps | ps(f32(1.0), f32(2.0), 0, 0x80000000) | ps(f32(2.0), f32(1.0), 0x80000000, 0) | ps(f32(2.0), f32(2.0), 0x80000000, 0)
; row: andps | ps(0xffff0000, 1, 2, 3) | ps(0x00ffff00, 3, 3, 1) | ps(0x00ff0000, 1, 2, 1)
; row: unpcklps | ps(1, 2, 3, 4) | ps(5, 6, 7, 8) | ps(1, 5, 2, 6)
; row: unpckhps | ps(1, 2, 3, 4) | ps(5, 6, 7, 8) | ps(3, 7, 4, 8)
; row: paddb | ps(0xff010203, 0, 0, 0) | ps(0x01010101, 0, 0, 0) | ps(0x00020304, 0, 0, 0)
; row: paddusb | ps(0xff010203, 0, 0, 0) | ps(0x01010101, 0, 0, 0) | ps(0xff020304, 0, 0, 0)
; row: pmullw | pw(0x100, 3) | pw(0x100, 5) | pw(0, 15)
; row: pcmpeqd | ps(1, 2, 3, 4) | ps(1, 0, 3, 0) | ps(0xffffffff, 0, 0xffffffff, 0)
; row: punpcklbw | pb(1, 2, 3, 4, 5, 6, 7, 8) | pb(11, 12, 13, 14, 15, 16, 17, 18) | pb(1, 11, 2, 12, 3, 13, 4, 14, 5, 15, 6, 16, 7, 17, 8, 18)
; row: pshufb | pb(1, 2, 3, 4) | pb(3, 2, 0x80, 0, 15) | pb(4, 3, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
; row: pmaddwd | pw(2, 3, 0x8000, 0x8000) | pw(4, 5, 0x8000, 0x8000) | ps(23, 0x80000000)
; row: psadbw | pb(10, 20) | pb(13, 15) | 8
; row: packssdw | ps(0x7fffffff, 0x80000000, 5, 0xffffffff) | 0 | pw(0x7fff, 0x8000, 5, 0xffff)
; in: xmm0={A}, xmm1={B}
; expect: xmm0={R}
    {OP} xmm0, xmm1

; case: addss keeps the upper lanes
; in: xmm0=ps(f32(1.0), 2, 3, 4), xmm1=ps(f32(2.0), 9, 9, 9)
; expect: xmm0=ps(f32(3.0), 2, 3, 4)
    addss xmm0, xmm1

; case: movss from memory clears the upper lanes
; in: xmm0=ps(1, 2, 3, 4), [DATA].4=9
; expect: xmm0=9
    movss xmm0, [DATA]

; case: movss between registers keeps them
; in: xmm0=ps(1, 2, 3, 4), xmm1=ps(5, 6, 7, 8)
; expect: xmm0=ps(5, 2, 3, 4)
    movss xmm0, xmm1

; case: an aligned load of an unaligned address is #GP
; in: rdi=DATA+8
; expect: fault=#GP, error=0, rip=case_start
    movaps xmm0, [rdi]

; case: an SSE operation with an unaligned memory operand is #GP
; in: rdi=DATA+4
; expect: fault=#GP, error=0, rip=case_start
    paddb xmm0, [rdi]

; case: movups takes any address, even across pages
; in: rdi=DATA+0xff9, [DATA+0xff9].8=0x1122334455667788, [DATA+0x1001].8=0x99aabbccddeeff00
; expect: xmm0=0x99aabbccddeeff001122334455667788
    movups xmm0, [rdi]

; case: {OP} of {A}
; columns: OP A R MX
; row: cvttss2si eax, xmm0 | f32(-2.9) | 0xfffffffe | 0x1fa0
; row: cvtss2si eax, xmm0 | f32(2.5) | 2 | 0x1fa0
; row: cvttsd2si rax, xmm0 | f64(1e10) | 10000000000 | 0x1f80
; row: cvttss2si eax, xmm0 | f32(1e20) | 0x80000000 | 0x1f81
; row: cvttsd2si eax, xmm0 | 0x7ff8000000000000 | 0x80000000 | 0x1f81
; row: movmskps eax, xmm0 | ps(0x80000000, 0, 0x80000000, 0) | 5 | 0x1f80
; row: pmovmskb eax, xmm0 | pb(0x80, 0, 0x80, 0, 0xff) | 0x15 | 0x1f80
; row: pextrw eax, xmm0, 9 | pw(1, 2, 3) | 2 | 0x1f80
; row: movd eax, xmm0 | 0x1122334455667788 | 0x55667788 | 0x1f80
; row: movq rax, xmm0 | 0x1122334455667788 | 0x1122334455667788 | 0x1f80
; in: xmm0={A}
; expect: rax={R}, mxcsr={MX}
    {OP}

; case: conversion rounds by MXCSR: {WHAT}
; columns: WHAT MX R
; row: down | 0x3f80 | 0xfffffffd
; row: up | 0x5f80 | 0xfffffffe
; row: toward zero | 0x7f80 | 0xfffffffe
; in: xmm0=f32(-2.5), mxcsr={MX}
; expect: rax={R}
    cvtss2si eax, xmm0

; case: divps by zero is infinity and sets ZE
; in: xmm0=f32(1.0), xmm1=ps(0, f32(1.0), f32(1.0), f32(1.0))
; expect: xmm0=0x7f800000, mxcsr=0x1f84
    divps xmm0, xmm1

; case: an unmasked division by zero is #XM and changes no register
; in: xmm0=f32(1.0), xmm1=0, mxcsr=0x1d80
; expect: fault=#XM, rip=case_start, xmm0=f32(1.0), mxcsr=0x1d84
    divss xmm0, xmm1

; case: flush-to-zero makes tiny results zero
; in: xmm0=0x00800000, xmm1=f32(0.5), mxcsr=0x9f80
; expect: xmm0=0, mxcsr=0x9fb0
    mulss xmm0, xmm1

; case: denormals-are-zero reads denormals as zero
; in: xmm0=1, xmm1=f32(1.0), mxcsr=0x1fc0
; expect: xmm0=f32(1.0), mxcsr=0x1fc0
    addss xmm0, xmm1

; case: {OP} sets the flags: {WHAT}
; columns: OP WHAT A B FL
; row: comiss | greater | f32(2.0) | f32(1.0) | 0
; row: comiss | less | f32(1.0) | f32(2.0) | cf
; row: ucomiss | equal | f32(1.0) | f32(1.0) | zf
; row: ucomisd | unordered | 0x7ff8000000000000 | 0 | cf+pf+zf
; in: xmm0={A}, xmm1={B}, flags=of|sf|af
; expect: flags={FL}
    {OP} xmm0, xmm1

; case: ldmxcsr with a reserved bit is #GP
; in: [DATA].4=0x10000
; expect: fault=#GP, error=0, rip=case_start
    ldmxcsr [DATA]

; case: stmxcsr stores the control and status
; in: mxcsr=0x3fa1
; expect: [DATA].4=0x3fa1
    stmxcsr [DATA]

; case: {OP} by {N}
; columns: OP N A R
; row: psllw | 4 | pw(0x1234, 0xffff) | pw(0x2340, 0xfff0)
; row: psrad | 40 | ps(0x80000000, 0x7fffffff) | ps(0xffffffff, 0)
; row: psrlq | 64 | 0xffffffffffffffff | 0
; row: pslldq | 3 | 0x112233 | 0x112233000000
; row: psrldq | 16 | 0x112233 | 0
; in: xmm0={A}
; expect: xmm0={R}
    {OP} xmm0, {N}

; case: {OP}
; columns: OP R
; row: pshufd xmm0, xmm1, 0x1b | ps(8, 7, 6, 5)
; row: shufps xmm0, xmm1, 0xe4 | ps(1, 2, 7, 8)
; row: palignr xmm0, xmm1, 4 | ps(6, 7, 8, 1)
; row: pinsrd xmm0, eax, 2 | ps(1, 2, 0x11111111, 4)
; row: insertps xmm0, xmm1, 0x9c | ps(1, 7, 0, 0)
; row: pblendw xmm0, xmm1, 0x0f | ps(5, 6, 3, 4)
; row: movhlps xmm0, xmm1 | ps(7, 8, 3, 4)
; row: movlhps xmm0, xmm1 | ps(1, 2, 5, 6)
; row: pmovzxbd xmm0, xmm1 | ps(5, 0, 0, 0)
; row: phaddd xmm0, xmm1 | ps(3, 7, 11, 15)
; in: xmm0=ps(1, 2, 3, 4), xmm1=ps(5, 6, 7, 8)
; expect: xmm0={R}
    {OP}

; case: aesenc makes one round
; in: xmm0=0x7b5b54657374566563746f725d53475d, xmm1=0x48692853686179295b477565726f6e5d
; expect: xmm0=0xa8311c2f9fdba3c58b104b58ded7e595
    aesenc xmm0, xmm1

; case: pclmulqdq multiplies without carries
; in: xmm0=0x7, xmm1=0x5
; expect: xmm0=0x1b
    pclmulqdq xmm0, xmm1, 0

; case: pcmpistri finds a character
; in: xmm0=0x61, xmm1=pb(0x78, 0x79, 0x61, 0)
; expect: rcx=2, cf=1, zf=1
    pcmpistri xmm0, xmm1, 0

; case: movntdq stores
; in: rdi=DATA, xmm0=0x112233445566778899aabbccddeeff00
; expect: [DATA].16=0x112233445566778899aabbccddeeff00
    movntdq [rdi], xmm0

; case: maskmovdqu stores selected bytes
; in: rdi=DATA, xmm0=0x44332211, xmm1=0x80008000, [DATA].4=0xeeeeeeee
; expect: [DATA].4=0x44ee22ee
    maskmovdqu xmm0, xmm1

; case: a 128-bit VEX instruction clears the upper half
; in: ymm0=0x1111111111111111222222222222222233333333333333334444444444444444, xmm1=5
; expect: ymm0=5
    vmovdqa xmm0, xmm1

; case: a legacy SSE instruction keeps the upper half
; in: ymm0=0x1111111111111111222222222222222200000000000000000000000000000000, xmm1=5
; expect: ymm0=0x1111111111111111222222222222222200000000000000000000000000000005
    movdqa xmm0, xmm1

; case: vzeroupper clears all upper halves
; in: ymm7=0x1111111111111111222222222222222200000000000000000000000000000009
; expect: ymm7=9
    vzeroupper

; case: VEX operands need no alignment
; in: rdi=DATA+1, [DATA+1].8=7
; expect: xmm0=7
    vpaddb xmm0, xmm15, [rdi]

; case: vmovaps needs alignment
; in: rdi=DATA+16
; expect: fault=#GP, error=0, rip=case_start
    vmovaps ymm0, [rdi]

; case: vperm2i128 exchanges halves
; in: ymm1=0x2222222222222222222222222222222211111111111111111111111111111111
; expect: ymm0=0x1111111111111111111111111111111122222222222222222222222222222222
    vperm2i128 ymm0, ymm1, ymm1, 1

; case: vpmaskmovd reads only what is selected
; in: rdi=RO+0xff8, xmm1=pd(0x8000000080000000, 0)
; expect: xmm0=0
    vpmaskmovd xmm0, xmm1, [rdi]

; case: a gather clears its mask
; in: rdi=DATA, xmm1=ps(0, 1, 2, 3), xmm2=ps(0x80000000, 0, 0x80000000, 0), xmm0=ps(9, 9, 9, 9), [DATA].8=0x200000001, [DATA+8].8=0x400000003
; expect: xmm0=ps(1, 9, 3, 9), ymm2=0
    vpgatherdd xmm0, [rdi+xmm1*4], xmm2

; case: a fused multiply-add, form 213
; in: xmm0=f64(3.0), xmm1=f64(2.0), xmm2=f64(1.0)
; expect: xmm0=f64(7.0)
    vfmadd213sd xmm0, xmm1, xmm2

; case: vcvtph2ps widens half precision
; in: xmm1=pw(0x3c00, 0xc000)
; expect: xmm0=ps(f32(1.0), f32(-2.0))
    vcvtph2ps xmm0, xmm1

; case: fxsave stores the registers and fxrstor loads them
; in: rdi=DATA, xmm3=0x1234
; expect: xmm3=0x1234, [DATA+0xd0].2=0x1234, [DATA+24].4=0x1f80
    fxsave [rdi]
    pxor xmm3, xmm3
    fxrstor [rdi]

; case: fxsave of an unaligned area is #GP
; in: rdi=DATA+8
; expect: fault=#GP, error=0, rip=case_start
    fxsave [rdi]

; case: xsave writes the state components asked for
; in: rdi=DATA, rax=6, rdx=0, ymm1=0x1111111111111111222222222222222233333333333333334444444444444444
; expect: [DATA+512].8=6, [DATA+0xb0].8=0x4444444444444444, [DATA+576+16].8=0x2222222222222222
    xsave [rdi]

; case: xrstor initializes components that are not in the area
; in: rdi=DATA, rax=6, rdx=0, ymm1=0x1111111111111111222222222222222233333333333333334444444444444444, [DATA+24].4=0x1f80
; expect: ymm1=0
    xrstor [rdi]

; case: xrstor of a bad header is #GP
; in: rdi=DATA, rax=6, rdx=0, [DATA+520].8=1
; expect: fault=#GP, error=0, rip=case_start
    xrstor [rdi]

; case: xsave of an area that is not 64-byte aligned is #GP
; in: rdi=DATA+16, rax=7, rdx=0
; expect: fault=#GP, error=0, rip=case_start
    xsave [rdi]
