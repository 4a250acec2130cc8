; mode: long-user
; native: yes

; case: mul of {S} puts the high half into {HI}
; columns: S HI LO A B L H C
; row: bl | ah | al | 0xff | 0xff | 0x01 | 0xfe | 1
; row: bx | dx | ax | 0xffff | 0xffff | 1 | 0xfffe | 1
; row: ebx | rdx | rax | 0xffffffff | 0xffffffff | 1 | 0xfffffffe | 1
; row: rbx | rdx | rax | 0xffffffffffffffff | 2 | 0xfffffffffffffffe | 1 | 1
; row: bl | ah | al | 0x0f | 0x11 | 0xff | 0 | 0
; row: bx | dx | ax | 0xff | 0x101 | 0xffff | 0 | 0
; row: ebx | rdx | rax | 0x10000 | 0xffff | 0xffff0000 | 0 | 0
; row: rbx | rdx | rax | 3 | 5 | 15 | 0 | 0
; in: {LO}={A}, {S}={B}
; expect: {LO}={L}, {HI}={H}, cf={C}, of={C}
    mul {S}

; case: imul of {S}, one operand
; columns: S HI LO A B L H C
; row: bl | ah | al | 0x80 | 0xff | 0x80 | 0x00 | 1
; row: bl | ah | al | 0xff | 0x02 | 0xfe | 0xff | 0
; row: bx | dx | ax | 0x8000 | 0x8000 | 0 | 0x4000 | 1
; row: ebx | rdx | rax | 0xffffffff | 0xffffffff | 1 | 0 | 0
; row: ebx | rdx | rax | 0x80000000 | 2 | 0 | 0xffffffff | 1
; row: rbx | rdx | rax | 0x8000000000000000 | 0xffffffffffffffff | 0x8000000000000000 | 0 | 1
; row: rbx | rdx | rax | 0xfffffffffffffffe | 3 | 0xfffffffffffffffa | 0xffffffffffffffff | 0
; in: {LO}={A}, {S}={B}
; expect: {LO}={L}, {HI}={H}, cf={C}, of={C}
    imul {S}

; case: imul {D},{S} truncates and flags it
; columns: D S A B R C
; row: ax | bx | 0x4000 | 4 | 0x1111111111110000 | 1
; row: ax | bx | 0xffff | 0x7fff | 0x1111111111118001 | 0
; row: eax | ebx | 0x10000 | 0x8000 | 0x80000000 | 1
; row: eax | ebx | 0xffffffff | 0xffffffff | 1 | 0
; row: rax | rbx | 0x100000000 | 0x80000000 | 0x8000000000000000 | 1
; row: rax | rbx | 0xffffffffffffffff | 7 | 0xfffffffffffffff9 | 0
; in: rax=0x1111111111111111, {D}={A}, {S}={B}
; expect: rax={R}, cf={C}, of={C}
    imul {D}, {S}

; case: imul {D} by immediate {I}
; columns: D S I B R C
; row: ax | bx | -1 | 5 | 0x111111111111fffb | 0
; row: eax | ebx | 0x7f | 0x2000000 | 0xfe000000 | 1
; row: rax | rbx | -2 | 3 | 0xfffffffffffffffa | 0
; row: rax | rbx | 0x12345 | 0x10000 | 0x123450000 | 0
; row: rax | rbx | -0x80000000 | 0x200000000 | 0 | 1
; in: {S}={B}
; expect: rax={R}, cf={C}, of={C}
    imul {D}, {S}, {I}

; case: mulx writes both halves and no flag
; in: rdx=0xffffffffffffffff, rbx=0xffffffffffffffff, flags=cf|of|zf
; expect: rcx=0xfffffffffffffffe, rax=1, flags=cf|of|zf
    mulx rcx, rax, rbx

; case: mulx with one destination keeps the high half
; in: rdx=0x100000000, rbx=0x300000000
; expect: rcx=3
    mulx rcx, rcx, rbx

; case: div of {S}
; columns: S HI LO H L B Q R
; row: bl | ah | al | 0x01 | 0x05 | 0x10 | 0x10 | 0x05
; row: bx | dx | ax | 1 | 0 | 0xffff | 1 | 1
; row: ebx | rdx | rax | 0xfffffffe | 0xffffffff | 0xffffffff | 0xffffffff | 0xfffffffe
; row: rbx | rdx | rax | 0x7fffffffffffffff | 0xffffffffffffffff | 0x8000000000000000 | 0xffffffffffffffff | 0x7fffffffffffffff
; in: {HI}={H}, {LO}={L}, {S}={B}
; expect: {LO}={Q}, {HI}={R}
    div {S}

; case: div of {S} by zero is #DE
; columns: S
; row: bl
; row: bx
; row: ebx
; row: rbx
; in: rbx=0
; expect: fault=#DE, rip=case_start, rax=0x1111111111111111, rdx=0x3333333333333333
    div {S}

; case: div of {S} whose quotient does not fit is #DE
; columns: S HI B
; row: bl | ah | 0x11
; row: bx | dx | 0x3333
; row: ebx | edx | 0x33333333
; row: rbx | rdx | 0x3333333333333333
; in: {S}={B}
; expect: fault=#DE, rip=case_start
    div {S}

; case: idiv of {S} rounds toward zero
; columns: S HI LO H L B Q R
; row: bl | ah | al | 0xff | 0xf9 | 2 | 0xfd | 0xff
; row: bx | dx | ax | 0xffff | 0xfff9 | 0xfffe | 3 | 0xffff
; row: ebx | rdx | rax | 0 | 7 | 0xfffffffe | 0xfffffffd | 1
; row: rbx | rdx | rax | 0xffffffffffffffff | 0xfffffffffffffff9 | 2 | 0xfffffffffffffffd | 0xffffffffffffffff
; row: bl | ah | al | 0xff | 0x80 | 1 | 0x80 | 0
; row: rbx | rdx | rax | 0xffffffffffffffff | 0x8000000000000000 | 1 | 0x8000000000000000 | 0
; in: {HI}={H}, {LO}={L}, {S}={B}
; expect: {LO}={Q}, {HI}={R}
    idiv {S}

; case: idiv of {S}: the most negative number by -1 is #DE
; columns: S HI LO H L B
; row: bl | ah | al | 0xff | 0x80 | 0xff
; row: bx | dx | ax | 0xffff | 0x8000 | 0xffff
; row: ebx | edx | eax | 0xffffffff | 0x80000000 | 0xffffffff
; row: rbx | rdx | rax | 0xffffffffffffffff | 0x8000000000000000 | 0xffffffffffffffff
; in: {HI}={H}, {LO}={L}, {S}={B}
; expect: fault=#DE, rip=case_start
    idiv {S}

; case: idiv by zero from memory is #DE before anything changes
; in: rbx=DATA, rax=5, rdx=0
; expect: fault=#DE, rip=case_start, rax=5, rdx=0
    idiv qword [rbx]

; case: cbw, cwde and cdqe extend the sign: {OP}
; columns: OP A R
; row: cbw | 0x1111111111111180 | 0x111111111111ff80
; row: cwde | 0x1111111111118000 | 0xffff8000
; row: cdqe | 0x1111111180000000 | 0xffffffff80000000
; row: cdqe | 0x111111117fffffff | 0x7fffffff
; in: rax={A}
; expect: rax={R}
    {OP}

; case: cwd, cdq and cqo spread the sign: {OP}
; columns: OP A R
; row: cwd | 0x8000 | 0x333333333333ffff
; row: cdq | 0x80000000 | 0xffffffff
; row: cqo | 0x8000000000000000 | 0xffffffffffffffff
; row: cqo | 0x7000000000000000 | 0
; in: rax={A}
; expect: rdx={R}
    {OP}
