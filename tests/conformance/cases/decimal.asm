; mode: compat, protected32, real
; native: yes

; case: daa adjusts {A} to {R}
; columns: A FL R FLAGS
; row: 0x9a | none | 0x00 | cf+af+zf+pf
; row: 0x0f | none | 0x15 | af
; row: 0x15 | af | 0x1b | af+pf
; row: 0x99 | cf | 0xf9 | cf+sf+pf
; row: 0x42 | none | 0x42 | pf
; in: al={A}, flags={FL}
; expect: al={R}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, af=(({FLAGS})>>4)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1
    daa

; case: das adjusts {A} to {R}
; columns: A FL R FLAGS
; row: 0x0f | af | 0x09 | af+pf
; row: 0xff | cf+af | 0x99 | cf+af+sf+pf
; row: 0x05 | none | 0x05 | pf
; row: 0x02 | af | 0xfc | cf+af+sf+pf
; row: 0xa0 | none | 0x40 | cf
; in: al={A}, flags={FL}
; expect: al={R}, cf=({FLAGS})&1, pf=(({FLAGS})>>2)&1, af=(({FLAGS})>>4)&1, zf=(({FLAGS})>>6)&1, sf=(({FLAGS})>>7)&1
    das

; case: aaa of {A}
; columns: A FL R FLAGS
; row: 0x020f | none | 0x0305 | cf+af
; row: 0x02fa | none | 0x0400 | cf+af
; row: 0x0205 | none | 0x0205 | none
; row: 0x0205 | af | 0x030b | cf+af
; row: 0x0215 | cf | 0x0205 | none
; in: ax={A}, flags={FL}
; expect: ax={R}, cf=({FLAGS})&1, af=(({FLAGS})>>4)&1
    aaa

; case: aas of {A}
; columns: A FL R FLAGS
; row: 0x020f | none | 0x0109 | cf+af
; row: 0x0205 | none | 0x0205 | none
; row: 0x0205 | af | 0x000f | cf+af
; row: 0x0035 | cf | 0x0005 | none
; in: ax={A}, flags={FL}
; expect: ax={R}, cf=({FLAGS})&1, af=(({FLAGS})>>4)&1
    aas

; case: aam divides AL by {I}
; columns: I A R ZF SF PF
; row: 10 | 0xff63 | 0x0909 | 0 | 0 | 1
; row: 16 | 0x00ff | 0x0f0f | 0 | 0 | 1
; row: 1 | 0x00ff | 0xff00 | 1 | 0 | 1
; row: 255 | 0x00fe | 0x00fe | 0 | 1 | 0
; in: ax={A}
; expect: ax={R}, zf={ZF}, sf={SF}, pf={PF}
    aam {I}

; case: aam by zero is #DE and changes nothing
; in: ax=0x1234
; expect: fault=#DE, rip=case_start, ax=0x1234
    aam 0

; case: aad with base {I}
; columns: I A R ZF SF
; row: 10 | 0x0905 | 0x005f | 0 | 0
; row: 16 | 0x0f0f | 0x00ff | 0 | 1
; row: 255 | 0x0101 | 0x0000 | 1 | 0
; row: 0 | 0x7f05 | 0x0005 | 0 | 0
; in: ax={A}
; expect: ax={R}, zf={ZF}, sf={SF}
    aad {I}

; case: salc sets AL from carry {C}
; columns: C R
; row: 0 | 0
; row: 1 | 0xff
; in: cf={C}
; expect: al={R}, cf={C}
    db 0xd6

; case: bound inside its limits goes on
; mode: compat, protected32
; in: rax=7, [DATA].4=5, [DATA+4].4=7
; expect: rax=7
    bound eax, [DATA]

; case: bound below its limits is #BR
; mode: compat, protected32
; in: rax=4, [DATA].4=5, [DATA+4].4=7
; expect: fault=#BR, rip=case_start
    bound eax, [DATA]

; case: bound compares as signed numbers
; mode: compat, protected32
; in: rax=0xffffffff, [DATA].4=0xfffffffe, [DATA+4].4=1
; expect: rax=0xffffffff
    bound eax, [DATA]

; case: into without overflow goes on
; in: of=0
; expect: of=0
    into

; case: into with overflow is a trap
; software-interrupt: yes
; in: of=1
; expect: fault=#OF, rip=case_end
    into
case_end:
    int3
    hlt

; case: pusha pushes the old stack pointer
; mode: compat, protected32
; expect: rsp=STACK_TOP-32, [STACK_TOP-20].4=STACK_TOP, [STACK_TOP-4].4=0x11111111, [STACK_TOP-32].4=0x88888888
    pusha

; case: popa skips the stack pointer
; mode: compat, protected32
; in: rsp=STACK_TOP-32, [STACK_TOP-32].4=1, [STACK_TOP-20].4=0x123, [STACK_TOP-4].4=8
; expect: rdi=1, rsp=STACK_TOP, rax=8
    popa

; case: arpl raises the RPL and sets ZF
; mode: compat, protected32
; in: rax=0x10, rbx=3, zf=0
; expect: rax=0x13, zf=1
    arpl ax, bx

; case: arpl leaves a higher RPL and clears ZF
; mode: compat, protected32
; in: rax=0x13, rbx=1, zf=1
; expect: rax=0x13, zf=0
    arpl ax, bx

; case: inc and dec have one-byte forms outside 64-bit mode
; mode: compat, protected32
; in: rax=1, rcx=1
; expect: rax=2, rcx=0
    db 0x40, 0x49
