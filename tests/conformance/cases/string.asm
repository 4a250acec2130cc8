; mode: long-user
; native: yes
; in: rsi=DATA+0x100, rdi=DATA+0x200

; case: {OP} moves both pointers up
; columns: OP N
; row: movsb | 1
; row: movsw | 2
; row: movsd | 4
; row: movsq | 8
; in: [DATA+0x100].8=0x8877665544332211, rax=0
; expect: rsi=DATA+0x100+{N}, rdi=DATA+0x200+{N}, [DATA+0x200].8=0x8877665544332211&((1<<({N}*8))-1)
    {OP}

; case: {OP} with DF moves both pointers down
; columns: OP N
; row: movsb | 1
; row: movsw | 2
; row: movsd | 4
; row: movsq | 8
; in: df=1, [DATA+0x100].8=0x8877665544332211
; expect: rsi=DATA+0x100-{N}, rdi=DATA+0x200-{N}, [DATA+0x200].1=0x11
    {OP}

; case: rep {OP} with a count of zero does nothing
; columns: OP
; row: movsb
; row: stosq
; row: lodsw
; in: rcx=0
; expect: rcx=0, rsi=DATA+0x100, rdi=DATA+0x200, rax=0x1111111111111111
    rep {OP}

; case: repe {OP} with a count of zero keeps the flags
; columns: OP
; row: cmpsb
; row: scasd
; in: rcx=0, flags=cf|zf|of
; expect: rcx=0, flags=cf|zf|of, rdi=DATA+0x200
    repe {OP}

; case: rep movsb of overlapping bytes repeats the first
; in: rsi=DATA+0x200, rdi=DATA+0x201, rcx=7, [DATA+0x200].1=0x5a
; expect: rcx=0, [DATA+0x200].8=0x5a5a5a5a5a5a5a5a, rsi=DATA+0x207
    rep movsb

; case: rep movsq of overlapping words repeats them
; in: rsi=DATA+0x200, rdi=DATA+0x208, rcx=3, [DATA+0x200].8=0x1122334455667788
; expect: [DATA+0x208].8=0x1122334455667788, [DATA+0x218].8=0x1122334455667788
    rep movsq

; case: rep movsb with an offset of three bytes repeats three
; in: rsi=DATA+0x200, rdi=DATA+0x203, rcx=6, [DATA+0x200].3=0x332211
; expect: [DATA+0x203]=bytes("11 22 33 11 22 33 00")
    rep movsb

; case: rep movsb downwards copies an overlap whole
; in: rsi=DATA+0x207, rdi=DATA+0x208, rcx=8, df=1, [DATA+0x200].8=0x8877665544332211
; expect: [DATA+0x201].8=0x8877665544332211, rsi=DATA+0x1ff, rdi=DATA+0x200
    rep movsb

; case: rep stosd fills across a page
; in: rdi=DATA+0xff8, rcx=4, rax=0xdeadbeef
; expect: [DATA+0xff8].8=0xdeadbeefdeadbeef, [DATA+0x1000].8=0xdeadbeefdeadbeef, rdi=DATA+0x1008, rcx=0
    rep stosd

; case: stosb stores AL only
; expect: [DATA+0x200].2=0x11, rdi=DATA+0x201
    stosb

; case: lodsb loads AL and keeps the rest
; in: [DATA+0x100].1=0x99
; expect: rax=0x1111111111111199
    lodsb

; case: lodsd clears the upper half
; in: [DATA+0x100].4=0x99
; expect: rax=0x99
    lodsd

; case: rep lodsb ends with the last byte
; in: [DATA+0x100].4=0x04030201, rcx=4
; expect: al=4, rsi=DATA+0x104, rcx=0
    rep lodsb

; case: cmpsb compares source with destination
; in: [DATA+0x100].1=1, [DATA+0x200].1=2
; expect: flags=cf|af|sf|pf, rsi=DATA+0x101, rdi=DATA+0x201
    cmpsb

; case: repe cmpsb stops behind the first difference
; in: [DATA+0x100].4=0x04030201, [DATA+0x200].4=0x04990201, rcx=10
; expect: rcx=7, rsi=DATA+0x103, rdi=DATA+0x203, zf=0
    repe cmpsb

; case: repne cmpsb stops behind the first match
; in: [DATA+0x100].4=0x04030201, [DATA+0x200].4=0x04031111, rcx=10
; expect: rcx=7, zf=1
    repne cmpsb

; case: repe cmpsb through to the end leaves ZF set
; in: rcx=5
; expect: rcx=0, zf=1, rsi=DATA+0x105
    repe cmpsb

; case: repne scasb finds a byte
; in: rax=0x33, rcx=100, [DATA+0x200].4=0x44332211
; expect: rcx=97, rdi=DATA+0x203, zf=1
    repne scasb

; case: repne scasb that finds nothing counts to zero
; in: rax=0x33, rcx=4
; expect: rcx=0, rdi=DATA+0x204, zf=0
    repne scasb

; case: repe scasw goes on while equal
; in: rax=0, rcx=8, [DATA+0x206].2=1
; expect: rcx=4, rdi=DATA+0x208, zf=0
    repe scasw

; case: scasq compares the accumulator with memory
; in: rax=5, [DATA+0x200].8=6
; expect: cf=1, zf=0, rdi=DATA+0x208
    scasq

; case: rep movsb into an unmapped page stops exactly there
; in: rsi=DATA+0x100, rdi=HOLE-4, rcx=10
; native: no
; expect: fault=#PF, error=6, cr2=HOLE, rip=case_start, rcx=6, rsi=DATA+0x104, rdi=HOLE
    rep movsb

; case: rep stosq into a read-only page stops exactly there
; in: rdi=RO+0x1000-16, rcx=10, df=1
; expect: fault=#PF, error=7, cr2=RO+0xff0, rip=case_start, rcx=10, rdi=RO+0xff0
    rep stosq

; case: rep movsb out of the data window keeps what was done
; in: rdi=DATA+0x200, rcx=16
; native: no
; in: page[DATA-0x1000]=0, rsi=DATA+3, df=1
; expect: fault=#PF, error=4, cr2=DATA-1, rcx=12, rsi=DATA-1, rdi=DATA+0x1fc, rip=case_start
    rep movsb

; case: repe cmpsb faults with the flags from before it, as silicon does
; direct: intel
; native: no
; in: page[DATA+0x1000]=0, rsi=DATA+0x100, rdi=DATA+0xffe, rcx=16, flags=cf
; expect: fault=#PF, error=4, cr2=DATA+0x1000, rcx=14, rdi=DATA+0x1000, zf=0, cf=1
    repe cmpsb

; case: a 32-bit address size uses ECX, ESI and EDI
; in: rcx=0xffffffff00000002, rsi=0xffffffff00020100, rdi=0xffffffff00020200, [DATA+0x100].2=0x2211
; expect: rcx=0, rsi=DATA+0x102, rdi=DATA+0x202, [DATA+0x200].2=0x2211
    a32 rep movsb

; case: a32 rep {OP} that faults at once cuts RCX and what silicon cuts with it
; native: intel
; mode: long-user
; columns: OP RDI RSI
; row: movsd | HOLE | HOLE
; row: movsb | HOLE | HOLE
; row: stosd | HOLE | 0x3400000000+HOLE
; row: lodsd | 0x1200000000+HOLE | 0x3400000000+HOLE
; row: scasd | 0x1200000000+HOLE | 0x3400000000+HOLE
; row: cmpsb | 0x1200000000+HOLE | 0x3400000000+HOLE
; in: rdi=0x1200000000+HOLE, rsi=0x3400000000+HOLE, rcx=0x5600000007
; expect: fault=#PF, cr2=HOLE, rip=case_start, rdi={RDI}, rsi={RSI}, rcx=7
    a32 rep {OP}

; case: a32 rep {OP} with a count of zero cuts RCX and what silicon cuts with it
; native: intel
; columns: OP SI DI
; row: movsb | 0x20100 | 0x20200
; row: stosb | 0xffffffff00020100 | 0x20200
; row: lodsb | 0xffffffff00020100 | 0xffffffff00020200
; row: cmpsb | 0xffffffff00020100 | 0xffffffff00020200
; row: scasb | 0xffffffff00020100 | 0xffffffff00020200
; in: rcx=0xffffffff00000000, rsi=0xffffffff00020100, rdi=0xffffffff00020200
; expect: rcx=0, rsi={SI}, rdi={DI}
    a32 rep {OP}

; case: movs takes a segment override for its source
; in: gs.base=0x100, rsi=DATA, [DATA+0x100].1=0x77, [DATA].1=0x66
; expect: [DATA+0x200].1=0x77
    gs movsb

; case: stos takes no segment override
; in: gs.base=0x100, rdi=DATA
; expect: [DATA].1=0x11, [DATA+0x100].1=0
    db 0x65
    stosb

; case: repne with movs repeats like rep
; in: rcx=3, [DATA+0x100].3=0x332211
; expect: [DATA+0x200].4=0x332211, rcx=0
    db 0xf2
    movsb

; case: rep before an instruction that is no string operation is ignored
; in: rcx=5, rax=1
; expect: rax=2, rcx=5
    db 0xf3, 0xff, 0xc0

; case: rep movsb of 4096 bytes copies a page
; in: rcx=4096, rsi=DATA+0x2000, rdi=EXTRA, [DATA+0x2ff8].8=0x1234567890abcdef, [DATA+0x2000].8=42
; expect: [EXTRA].8=42, [EXTRA+0xff8].8=0x1234567890abcdef, [EXTRA+0x1000].8=0, rcx=0
    rep movsb
