; mode: long-user
; native: yes

; case: {OP} pushes a constant
; columns: OP R
; row: fld1 | f80(1.0)
; row: fldz | 0
; row: fldpi | 0x4000c90fdaa22168c235
; row: fldl2e | 0x3fffb8aa3b295c17f0bc
; row: fldln2 | 0x3ffeb17217f7d1cf79ac
; expect: st0={R}, fpu.tag=0x80, fpu.status=0x3800
    {OP}

; case: {OP} of two numbers
; columns: OP A B R
; row: fadd | 1.5 | 2.25 | 3.75
; row: fsub | 1.5 | 2.25 | -0.75
; row: fsubr | 1.5 | 2.25 | 0.75
; row: fmul | 1.5 | 2.5 | 3.75
; row: fdiv | 3.0 | 2.0 | 1.5
; row: fdivr | 2.0 | 3.0 | 1.5
; in: [DATA].8=f64({A}), [DATA+8].8=f64({B})
; expect: st0=f80({R})
    fld qword [DATA]
    {OP} qword [DATA+8]

; case: {OP} pops
; columns: OP
; row: faddp
; row: fmulp
; in: [DATA].4=f32(2.0)
; expect: st0=f80(4.0), fpu.tag=0x80
    fld dword [DATA]
    fld dword [DATA]
    {OP}

; case: division by zero is infinity and sets ZE
; expect: st0=0x7fff8000000000000000, fpu.status=0x3804
    fld1
    fldz
    fdivp

; case: zero by zero is the default NaN and sets IE
; expect: st0=0xffffc000000000000000, fpu.status=0x3801
    fldz
    fldz
    fdivp

; case: an unmasked exception waits for the next x87 instruction
; in: fpu.control=0x37b
; expect: fault=#MF, rip=bad
    fld1
    fldz
    fdivp
    nop
bad:
    fwait

; case: fnstsw does not wait
; in: fpu.control=0x37b
; expect: ax=0xb084
    fld1
    fldz
    fdivp
    fnstsw ax

; case: popping an empty stack sets IE and SF
; expect: fpu.status=0x0841
    fstp st0

; case: pushing onto a full stack sets C1 too
; in: fpu.tag=0xff
; expect: fpu.status=0x3a41, st0=0xffffc000000000000000
    fld1

; case: fist rounds {WHAT}
; columns: WHAT CW A R
; row: to nearest even | 0x37f | 2.5 | 2
; row: down | 0x77f | -2.5 | 0xfffffffd
; row: up | 0xb7f | 2.1 | 3
; row: toward zero | 0xf7f | -2.9 | 0xfffffffe
; in: fpu.control={CW}, [DATA].8=f64({A})
; expect: [DATA+8].4={R}
    fld qword [DATA]
    fistp dword [DATA+8]

; case: fisttp always truncates
; in: [DATA].8=f64(2.9)
; expect: [DATA+8].8=2
    fld qword [DATA]
    fisttp qword [DATA+8]

; case: fist of a number too large stores the indefinite integer
; in: [DATA].8=f64(1e30)
; expect: [DATA+8].4=0x80000000, fpu.status=0x3801
    fld qword [DATA]
    fist dword [DATA+8]

; case: fild reads a {W} integer
; columns: W V R
; row: word | 0xfffe | -2.0
; row: dword | 0x80000000 | -2147483648.0
; row: qword | 0x100000000 | 4294967296.0
; in: [DATA].8={V}
; expect: st0=f80({R})
    fild {W} [DATA]

; case: fbstp stores decimal digits
; in: [DATA].8=f64(-1234567.0)
; expect: [DATA+8].8=0x1234567, [DATA+16].2=0x8000
    fld qword [DATA]
    fbstp [DATA+8]

; case: fcom sets the condition codes: {WHAT}
; columns: WHAT A B SW
; row: greater | 2.0 | 1.0 | 0x3800
; row: less | 1.0 | 2.0 | 0x3900
; row: equal | 1.0 | 1.0 | 0x7800
; in: [DATA].8=f64({A}), [DATA+8].8=f64({B})
; expect: fpu.status={SW}
    fld qword [DATA]
    fcom qword [DATA+8]

; case: fcomi sets the flags: {WHAT}
; columns: WHAT A B FL
; row: greater | 2.0 | 1.0 | 0
; row: less | 1.0 | 2.0 | cf
; row: equal | 1.0 | 1.0 | zf
; in: [DATA].8=f64({B}), [DATA+8].8=f64({A}), flags=0
; expect: cf=({FL})&1, zf=(({FL})>>6)&1, pf=0
    fld qword [DATA]
    fld qword [DATA+8]
    fcomi st1

; case: fucomi of a quiet NaN sets all three and no exception
; in: [DATA].8=0x7ff8000000000000
; expect: cf=1, zf=1, pf=1, fpu.status=0x3000
    fld1
    fld qword [DATA]
    fucomi st1

; case: fxch exchanges
; expect: st0=f80(1.0), st1=0
    fld1
    fldz
    fxch

; case: fchs and fabs touch the sign only
; expect: st0=f80(1.0), st1=f80(-1.0)
    fld1
    fchs
    fld st0
    fabs

; case: fsqrt
; in: [DATA].8=f64(2.25)
; expect: st0=f80(1.5)
    fld qword [DATA]
    fsqrt

; case: frndint obeys the rounding control
; in: fpu.control=0xb7f, [DATA].8=f64(2.1)
; expect: st0=f80(3.0)
    fld qword [DATA]
    frndint

; case: fscale adds to the exponent
; in: [DATA].4=f32(3.0)
; expect: st0=f80(8.0)
    fld dword [DATA]
    fld1
    fscale

; case: fxam of {WHAT}
; columns: WHAT CODE SW
; row: one | fld1 | 0x3c00
; row: zero | fldz | 0x7800
; row: empty | nop | 0x4100
; expect: fpu.status={SW}
    {CODE}
    fxam

; case: fstcw stores the control word
; in: fpu.control=0x27f
; expect: [DATA].2=0x27f
    fnstcw [DATA]

; case: single precision control rounds the significand
; in: fpu.control=0x7f, [DATA].8=f64(1.0000001), [DATA+8].4=f32(0.0)
; expect: st0=0x3fff8000010000000000
    fld qword [DATA]
    fadd dword [DATA+8]

; case: fninit resets control, status and tags
; in: fpu.control=0x40, fpu.tag=0xff
; expect: fpu.control=0x37f, fpu.status=0, fpu.tag=0
    fld1
    fninit

; case: an MMX instruction makes all registers valid and TOP zero
; in: mm1=0x0102030405060708
; expect: fpu.tag=0xff, fpu.status=0, mm0=0x0102030405060708, fpu.st.0.1=0xffff
    movq mm0, mm1

; case: emms empties all registers
; in: fpu.tag=0xff
; expect: fpu.tag=0
    emms

; case: fcmov moves when the condition holds
; in: cf=1
; expect: st0=f80(1.0)
    fld1
    fldz
    fcmovb st1

; case: fld of a signalling NaN makes it quiet and sets IE
; in: [DATA].8=0x7ff0000000000001
; expect: fpu.status=0x3801, st0=0x7fffc000000000000800
    fld qword [DATA]

; case: fld of 80 bits changes nothing
; in: [DATA].8=0x8000000000000001, [DATA+8].2=0x7fff
; expect: st0=0x7fff8000000000000001, fpu.status=0x3800
    fld tword [DATA]

; case: a denormal operand sets DE
; in: [DATA].8=1
; expect: fpu.status=0x3802
    fld qword [DATA]
