; mode: long-user
; native: yes
; strict: yes

; case: add r8: {WHAT}
; columns: WHAT A B R FLAGS
; row: carry out makes zero | 0xff | 0x01 | 0x00 | cf+zf+pf+af
; row: signed overflow to negative | 0x7f | 0x01 | 0x80 | of+sf+af
; row: two negatives overflow to zero | 0x80 | 0x80 | 0x00 | cf+zf+pf+of
; row: no flag but parity | 0x01 | 0x02 | 0x03 | pf
; in: al={A}, bl={B}, flags=0
; expect: rax=0x1111111111111100+{R}, flags={FLAGS}
    add al, bl

; case: {OP} {D},{S}
; columns: OP D S A B FL R FLAGS
; row: add | ax | bx | 0xffff | 1 | 0 | 0x1111111111110000 | cf+zf+pf+af
; row: add | eax | ebx | 0xffffffff | 1 | 0 | 0 | cf+zf+pf+af
; row: add | rax | rbx | 0xffffffffffffffff | 1 | 0 | 0 | cf+zf+pf+af
; row: adc | al | bl | 0xff | 0 | cf | 0x1111111111111100 | cf+zf+pf+af
; row: adc | ax | bx | 0x7fff | 0 | cf | 0x1111111111118000 | of+sf+pf+af
; row: adc | eax | ebx | 0xffffffff | 0xffffffff | cf | 0xffffffff | cf+sf+pf+af
; row: adc | rax | rbx | 0x7fffffffffffffff | 0x7fffffffffffffff | cf | 0xffffffffffffffff | of+sf+pf+af
; row: sub | al | bl | 0 | 1 | 0 | 0x11111111111111ff | cf+sf+pf+af
; row: sub | ax | bx | 0x8000 | 1 | cf | 0x1111111111117fff | of+pf+af
; row: sub | eax | ebx | 5 | 5 | cf | 0 | zf+pf
; row: sub | rax | rbx | 0x8000000000000000 | 0x7fffffffffffffff | 0 | 1 | of+af
; row: sbb | al | bl | 0 | 0xff | cf | 0x1111111111111100 | cf+zf+pf+af
; row: sbb | ax | bx | 0x1000 | 0xfff | cf | 0x1111111111110000 | zf+pf+af
; row: sbb | eax | ebx | 0 | 0 | cf | 0xffffffff | cf+sf+pf+af
; row: sbb | rax | rbx | 0x8000000000000000 | 0 | cf | 0x7fffffffffffffff | of+pf+af
; row: cmp | al | bl | 0x80 | 1 | 0 | 0x1111111111111180 | of+af
; row: cmp | ax | bx | 1 | 2 | 0 | 0x1111111111110001 | cf+sf+pf+af
; row: cmp | eax | ebx | 0x10 | 0x10 | cf | 0x1111111100000010 | zf+pf
; row: cmp | rax | rbx | 0 | 0x8000000000000000 | 0 | 0 | cf+sf+of+pf
; row: and | al | bl | 0xf0 | 0x8f | cf+of+af | 0x1111111111111180 | sf
; row: and | ax | bx | 0xff00 | 0x00ff | cf+of | 0x1111111111110000 | zf+pf
; row: and | eax | ebx | 0xffffffff | 0x80000001 | cf | 0x80000001 | sf
; row: and | rax | rbx | 0xf000000000000003 | 0x8000000000000003 | cf | 0x8000000000000003 | sf+pf
; row: or | al | bl | 0x00 | 0x00 | cf+of | 0x1111111111111100 | zf+pf
; row: or | ax | bx | 0x8000 | 0x0003 | cf+of | 0x1111111111118003 | sf+pf
; row: or | eax | ebx | 1 | 6 | cf | 7 | none
; row: or | rax | rbx | 1 | 0x8000000000000000 | cf | 0x8000000000000001 | sf
; row: xor | al | bl | 0xff | 0x0f | cf | 0x11111111111111f0 | sf+pf
; row: xor | ax | bx | 0xffff | 0xffff | cf+of | 0x1111111111110000 | zf+pf
; row: xor | eax | ebx | 0xf0000000 | 0x70000000 | of | 0x80000000 | sf+pf
; row: xor | rax | rbx | 0xff | 0xfe | cf | 1 | none
; row: test | al | bl | 0x80 | 0x81 | cf+of | 0x1111111111111180 | sf
; row: test | ax | bx | 0x8000 | 0x7fff | cf | 0x1111111111118000 | zf+pf
; row: test | eax | ebx | 3 | 3 | cf | 0x1111111100000003 | pf
; row: test | rax | rbx | 0x8000000000000000 | 0xffffffffffffffff | cf | 0x8000000000000000 | sf+pf
; in: rbx={B}, rax=0x1111111111111111, {D}={A}, flags={FL}
; expect: rax={R}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1, of=(({FLAGS})>>11)&1
    {OP} {D}, {S}

; case: {OP} r/m keeps carry: {WHAT}
; columns: OP WHAT D A R FLAGS
; row: inc | byte wraps to zero | al | 0xff | 0x1111111111111100 | cf+zf+pf+af
; row: inc | word overflows | ax | 0x7fff | 0x1111111111118000 | cf+of+sf+pf+af
; row: inc | dword clears the upper half | eax | 1 | 2 | cf
; row: inc | qword overflows | rax | 0x7fffffffffffffff | 0x8000000000000000 | cf+of+sf+pf+af
; row: dec | byte wraps to ff | al | 0 | 0x11111111111111ff | cf+sf+pf+af
; row: dec | word overflows | ax | 0x8000 | 0x1111111111117fff | cf+of+pf+af
; row: dec | dword to zero | eax | 1 | 0 | cf+zf+pf
; row: dec | qword overflows | rax | 0x8000000000000000 | 0x7fffffffffffffff | cf+of+pf+af
; in: rax=0x1111111111111111, {D}={A}, flags=cf
; expect: rax={R}, flags={FLAGS}
    {OP} {D}

; case: neg {D} of {A}
; columns: D A R FLAGS
; row: al | 0 | 0x1111111111111100 | zf+pf
; row: al | 0x80 | 0x1111111111111180 | cf+of+sf
; row: ax | 1 | 0x111111111111ffff | cf+sf+pf+af
; row: eax | 0x80000000 | 0x80000000 | cf+of+sf+pf
; row: rax | 0xffffffffffffffff | 1 | cf+af
; row: rax | 0x8000000000000000 | 0x8000000000000000 | cf+of+sf+pf
; in: rax=0x1111111111111111, {D}={A}, flags=0
; expect: rax={R}, flags={FLAGS}
    neg {D}

; case: not {D} changes no flag
; columns: D R
; row: al | 0x11111111111111ee
; row: ah | 0x111111111111ee11
; row: ax | 0x111111111111eeee
; row: eax | 0xeeeeeeee
; row: rax | 0xeeeeeeeeeeeeeeee
; in: flags=cf|zf|of
; expect: rax={R}
    not {D}

; case: {OP} immediate of 8 bits is sign-extended to {W}
; columns: OP W D R FLAGS
; row: add | 16 bits | bx | 0x4444444444444443 | cf+af
; row: add | 32 bits | ebx | 0x44444443 | cf+af
; row: add | 64 bits | rbx | 0x4444444444444443 | cf+af
; row: adc | 64 bits | rbx | 0x4444444444444444 | cf+af+pf
; row: and | 64 bits | rbx | 0x4444444444444444 | pf
; row: or | 64 bits | rbx | 0xffffffffffffffff | sf+pf
; row: xor | 32 bits | ebx | 0xbbbbbbbb | sf+pf
; in: flags=cf
; expect: rbx={R}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1, of=0
    {OP} {D}, byte -1

; case: sub with an immediate of 32 bits sign-extends it to 64
; in: flags=0, rcx=0
; expect: rcx=0x80000000, flags=cf+pf
    sub rcx, -0x80000000

; case: cmp with memory reads and keeps it
; in: rbx=DATA, rax=5, [DATA].8=7
; expect: flags=cf+af+sf, [DATA].8=7
    cmp rax, [rbx]

; case: {OP} to memory of {W} writes only its width
; columns: OP W V FLAGS
; row: add | byte | 0x8877665544332200 | cf+pf+af+zf
; row: add | word | 0x8877665544332300 | af+pf
; row: add | dword | 0x8877665544332300 | pf+af
; row: add | qword | 0x8877665544332300 | sf+pf+af
; row: sub | byte | 0x88776655443322fe | sf
; row: xor | word | 0x88776655443322fe | none
; in: rbx=DATA, [DATA].8=0x88776655443322ff, flags=0
; expect: [DATA].8={V}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1, of=0
    {OP} {W} [rbx], 1

; case: an add of high byte registers leaves the rest
; in: flags=0
; expect: rax=0x1111111111115511, flags=pf
    add ah, bh

; case: with a REX prefix the number of AH means SPL
; in: flags=0, rsp=STACK+0x8000
; expect: rsp=STACK+0x8001, flags=0
    db 0x40, 0x80, 0xc4, 0x01

; case: add across a chain of adc carries through 256 bits
; in: rax=0xffffffffffffffff, rbx=0xffffffffffffffff, rcx=0xffffffffffffffff, rdx=0, flags=0
; expect: rax=0, rbx=0, rcx=0, rdx=1, flags=0
    add rax, 1
    adc rbx, 0
    adc rcx, 0
    adc rdx, 0

; case: sbb of a register with itself spreads the carry
; in: flags=cf
; expect: rdx=0xffffffffffffffff, flags=cf+pf+af+sf
    sbb rdx, rdx

; case: xor of a register with itself clears carry and overflow
; in: flags=cf|of|sf|af
; expect: rdx=0, cf=0, of=0, sf=0, zf=1, pf=1
    xor edx, edx

; case: inc of memory keeps carry
; in: rdi=DATA+3, [DATA+3].8=0x7fffffff, flags=cf
; expect: [DATA+3].8=0x80000000, flags=cf+of+sf+pf+af
    inc dword [rdi]

; case: {OP} accumulator with an immediate, {D}
; columns: OP D IMM R FLAGS
; row: add | al | 0xf0 | 0x1111111111111101 | cf
; row: add | ax | 0xeeef | 0x1111111111110000 | cf+zf+pf+af
; row: add | eax | 0xeeeeeeef | 0 | cf+zf+pf+af
; row: add | rax | -0x12 | 0x11111111111110ff | cf+pf
; row: sub | al | 0x12 | 0x11111111111111ff | cf+sf+pf+af
; row: or | eax | 0x80000000 | 0x91111111 | sf+pf
; row: and | rax | -0x10 | 0x1111111111111110 | none
; in: flags=0
; expect: rax={R}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1, of=0
    {OP} {D}, {IMM}

; case: flags that an instruction would overwrite are in the frame of its fault
; in: rax=5, rdi=HOLE, flags=cf
; expect: fault=#PF, error=4, cr2=HOLE, rip=second, rax=0xffffffffffffffff, flags=cf+pf+af+sf
    sbb rax, 5
second:
    add rcx, [rdi]
