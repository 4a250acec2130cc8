; mode: long-user
; native: yes

; case: {OP} {D} by {N}
; columns: OP D A N R CF
; row: shl | al | 0x81 | 1 | 0x02 | 1
; row: shl | al | 0xff | 8 | 0x00 | 1
; row: shl | al | 0xff | 9 | 0x00 | 0
; row: shl | ax | 0x8001 | 15 | 0x8000 | 0
; row: shl | ax | 0x0001 | 16 | 0 | 1
; row: shl | eax | 0x80000001 | 31 | 0x80000000 | 0
; row: shl | rax | 0x8000000000000001 | 63 | 0x8000000000000000 | 0
; row: shl | rax | 3 | 63 | 0x8000000000000000 | 1
; row: shr | al | 0x81 | 1 | 0x40 | 1
; row: shr | al | 0x80 | 8 | 0x00 | 1
; row: shr | ax | 0x8000 | 15 | 0x0001 | 0
; row: shr | ax | 0x8000 | 16 | 0x0000 | 1
; row: shr | eax | 0x80000000 | 31 | 1 | 0
; row: shr | rax | 0xc000000000000000 | 63 | 1 | 1
; row: sar | al | 0x81 | 1 | 0xc0 | 1
; row: sar | al | 0x80 | 31 | 0xff | 1
; row: sar | ax | 0x7fff | 16 | 0 | 0
; row: sar | eax | 0x80000000 | 31 | 0xffffffff | 0
; row: sar | rax | 0x8000000000000000 | 63 | 0xffffffffffffffff | 0
; row: rol | al | 0x81 | 1 | 0x03 | 1
; row: rol | al | 0x81 | 8 | 0x81 | 1
; row: rol | al | 0x81 | 9 | 0x03 | 1
; row: rol | ax | 0x8000 | 17 | 0x0001 | 1
; row: rol | eax | 0x80000000 | 1 | 1 | 1
; row: rol | rax | 1 | 63 | 0x8000000000000000 | 0
; row: ror | al | 0x01 | 1 | 0x80 | 1
; row: ror | al | 0x7f | 8 | 0x7f | 0
; row: ror | ax | 0x0001 | 17 | 0x8000 | 1
; row: ror | eax | 0x00000002 | 2 | 0x80000000 | 1
; row: ror | rax | 1 | 63 | 2 | 0
; in: {D}={A}, cf=0
; expect: {D}={R}, cf={CF}
    {OP} {D}, {N}

; case: {OP} {D} by {N} through carry {C}
; columns: OP D A N C R CF
; row: rcl | al | 0x80 | 1 | 1 | 0x01 | 1
; row: rcl | al | 0x55 | 9 | 1 | 0x55 | 1
; row: rcl | al | 0x01 | 8 | 1 | 0x80 | 1
; row: rcl | ax | 0x8000 | 17 | 0 | 0x8000 | 0
; row: rcl | ax | 0x4000 | 2 | 1 | 0x0002 | 1
; row: rcl | eax | 0x80000000 | 31 | 1 | 0x60000000 | 0
; row: rcl | rax | 0x8000000000000000 | 63 | 1 | 0x6000000000000000 | 0
; row: rcr | al | 0x01 | 1 | 1 | 0x80 | 1
; row: rcr | al | 0x55 | 9 | 0 | 0x55 | 0
; row: rcr | al | 0x55 | 10 | 1 | 0xaa | 1
; row: rcr | ax | 0x0001 | 17 | 1 | 0x0001 | 1
; row: rcr | eax | 0x00000003 | 2 | 0 | 0x80000000 | 1
; row: rcr | rax | 1 | 63 | 0 | 0x4 | 0
; in: {D}={A}, cf={C}
; expect: {D}={R}, cf={CF}
    {OP} {D}, {N}

; case: {OP} {D} by a count of zero changes no flag
; columns: OP D
; row: shl | al
; row: shr | ax
; row: sar | eax
; row: rol | rax
; row: ror | al
; row: rcl | ax
; row: rcr | rax
; in: rcx=0, flags=cf|pf|af|zf|sf|of
; expect: flags=cf|pf|af|zf|sf|of
    {OP} {D}, cl

; case: a 32-bit {OP} by zero still clears the upper half
; columns: OP
; row: shl
; row: sar
; row: rcr
; row: rol
; in: rcx=0x20, rax=0xffffffff80000001
; expect: rax=0x80000001
    {OP} eax, cl

; case: {OP} {D} takes its count modulo {M}
; columns: OP D M N R
; row: shl | al | 32 | 33 | 0x1111111111111122
; row: shr | ax | 32 | 33 | 0x1111111111110888
; row: shl | eax | 32 | 36 | 0x11111110
; row: sar | rax | 64 | 65 | 0x0888888888888888
; row: rol | rax | 64 | 68 | 0x1111111111111111
; row: shl | rax | 64 | 132 | 0x1111111111111110
; in: rcx={N}
; expect: rax={R}
    {OP} {D}, cl

; case: {OP} by one sets overflow when the sign changes: {A}
; columns: OP A OF
; row: shl | 0x4000000000000000 | 1
; row: shl | 0xc000000000000000 | 0
; row: shl | 0x8000000000000000 | 1
; row: shr | 0x8000000000000000 | 1
; row: shr | 0x7000000000000000 | 0
; row: sar | 0x8000000000000000 | 0
; row: rol | 0x4000000000000000 | 1
; row: rol | 0xc000000000000000 | 0
; row: ror | 0x0000000000000001 | 1
; row: ror | 0x8000000000000001 | 0
; row: rcl | 0x4000000000000000 | 1
; row: rcr | 0x8000000000000000 | 1
; in: rax={A}, of=0, cf=0
; expect: of={OF}
    {OP} rax, 1

; case: rotates leave the zero, sign and parity flags alone: {OP}
; columns: OP
; row: rol
; row: ror
; row: rcl
; row: rcr
; in: rax=0, flags=zf|sf|pf|af
; expect: zf=1, sf=1, pf=1, af=1
    {OP} eax, 3

; case: shl sets zero, sign and parity by its result
; in: rax=0x40000000, flags=0
; expect: rax=0x80000000, sf=1, zf=0, pf=1, cf=0, of=1
    shl eax, 1

; case: {OP} {W} memory by cl
; columns: OP W R
; row: shl | byte | 0x8877665544332210
; row: shr | word | 0x8877665544330221
; row: sar | dword | 0x8877665504433221
; row: ror | qword | 0x1887766554433221
; in: rdi=DATA, [DATA].8=0x8877665544332211, rcx=4
; expect: [DATA].8={R}
    {OP} {W} [rdi], cl

; case: {OP} {D},{S} by {N}
; columns: OP D S A B N R CF
; row: shld | ax | bx | 0x1234 | 0xabcd | 4 | 0x234a | 1
; row: shld | eax | ebx | 0x80000000 | 0xffffffff | 1 | 1 | 1
; row: shld | rax | rbx | 1 | 0x8000000000000000 | 63 | 0xc000000000000000 | 0
; row: shrd | ax | bx | 0x1234 | 0xabcd | 4 | 0xd123 | 0
; row: shrd | eax | ebx | 1 | 1 | 1 | 0x80000000 | 1
; row: shrd | rax | rbx | 0x8000000000000000 | 1 | 63 | 3 | 0
; in: {D}={A}, {S}={B}, cf=0
; expect: {D}={R}, cf={CF}
    {OP} {D}, {S}, {N}

; case: {OP} by cl of zero changes nothing
; columns: OP
; row: shld
; row: shrd
; in: rcx=64, flags=cf|of|zf
; expect: rax=0x1111111111111111, flags=cf|of|zf
    {OP} rax, rbx, cl

; case: {OP} does not touch flags
; columns: OP R
; row: shlx | 0x1111111111111110
; row: shrx | 0x0111111111111111
; row: sarx | 0x0111111111111111
; in: rcx=0x44, flags=cf|of|zf|sf|pf|af
; expect: rdx={R}, flags=cf|of|zf|sf|pf|af
    {OP} rdx, rax, rcx

; case: rorx rotates without flags
; in: rax=0x10, flags=cf|zf
; expect: rdx=0x4000000000000000, flags=cf|zf
    rorx rdx, rax, 6
