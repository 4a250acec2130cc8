; mode: long-kernel

; case: in {D} asks for its width
; columns: D W R
; row: al | 8 | 0x1111111111111161
; row: ax | 16 | 0x1111111111116261
; row: eax | 32 | 0x64636261
; expect: rax={R}
; ports: in{W} 0x60
    in {D}, 0x60

; case: out through DX tells the machine
; in: rdx=0x1234, rax=0x8877665544332211
; expect: rdx=0x1234
; ports: out8 0x1234 0x11; out16 0x1234 0x2211; out32 0x1234 0x44332211
    out dx, al
    out dx, ax
    out dx, eax

; case: insb stores and moves on
; in: rdx=0x60, rdi=DATA
; expect: [DATA].1=0x61, rdi=DATA+1
; ports: in8 0x60
    insb

; case: rep outsw sends every word
; in: rdx=0x60, rsi=DATA, rcx=3, [DATA].6=0x333322221111
; expect: rcx=0, rsi=DATA+6
; ports: out16 0x60 0x1111; out16 0x60 0x2222; out16 0x60 0x3333
    rep outsw

; case: rep insd counts down
; in: rdx=0x60, rdi=DATA, rcx=2
; expect: rcx=0, rdi=DATA+8, [DATA].8=0x6463626164636261
; ports: in32 0x60; in32 0x60
    rep insd

; case: ins to a page that is not there touches no port
; in: rdx=0x60, rdi=HOLE
; expect: fault=#PF, error=2, cr2=HOLE, rip=case_start
; ports:
    insb

; case: rep ins into a missing page stops there
; in: rdx=0x60, rdi=HOLE-2, rcx=5
; expect: fault=#PF, error=2, cr2=HOLE, rip=case_start, rcx=3, rdi=HOLE
; ports: in8 0x60; in8 0x60
    rep insb

; case: a user without permission may not use a port
; mode: long-user
; expect: fault=#GP, error=0, rip=case_start
; ports:
    in al, 0x60

; case: the I/O bitmap opens a port to a user
; mode: long-user
; in: tss[0x88+0xc].1=0xfe
; expect: al=0x61
; ports: in8 0x60
    in al, 0x60

; case: every port of a wide access must be open
; mode: long-user
; in: tss[0x88+0xc].1=0xfe
; expect: fault=#GP, error=0, rip=case_start
    in ax, 0x60

; case: a wide access whose ports are all open, across two bytes of the bitmap
; mode: long-user
; in: tss[0x88+0xc].1=0x3f, tss[0x88+0xd].1=0xfc
; expect: rax=0x6a696867
; ports: in32 0x66
    in eax, 0x66

; case: a bitmap that ends before the port closes it
; mode: long-user
; in: tr.limit=0x93, tss[0x88+0xc].1=0
; expect: fault=#GP, error=0, rip=case_start
    in al, 0x60

; case: with IOPL 3 a user needs no bitmap
; mode: long-user
; in: iopl=3
; expect: al=0x61
    in al, 0x60

; case: in 32-bit protected mode the bitmap counts too
; mode: protected32-user
; in: tss[0x88+0xc].1=0xfe
; expect: al=0x61
    in al, 0x60

; case: in V86 mode the bitmap counts even with IOPL 3
; mode: v86
; expect: fault=#GP, error=0, rip=case_start
    in al, 0x60

; case: in V86 mode an open port needs no IOPL
; mode: v86
; in: iopl=0, tss[0x88+0xc].1=0xfe
; expect: al=0x61
    in al, 0x60

; case: in real mode ports are open
; mode: real
; expect: ax=0x6261
; ports: in16 0x60
    in ax, 0x60
