; mode: long-user
; native: yes

; case: {OP} register with bit number {N} modulo its width
; columns: OP D N A R CF
; row: bt | ax | 17 | 0x0002 | 0x0002 | 1
; row: bt | eax | 33 | 0x2 | 0x2 | 1
; row: bt | rax | 64 | 0x1 | 0x1 | 1
; row: bts | ax | 16 | 0x0000 | 0x0001 | 0
; row: bts | eax | 31 | 0 | 0x80000000 | 0
; row: bts | rax | 63 | 0 | 0x8000000000000000 | 0
; row: btr | eax | 0 | 0xffffffff | 0xfffffffe | 1
; row: btr | rax | 127 | 0x8000000000000000 | 0 | 1
; row: btc | ax | 15 | 0x8000 | 0x0000 | 1
; row: btc | rax | 5 | 0 | 0x20 | 0
; in: rcx={N}, {D}={A}, cf=0
; expect: {D}={R}, cf={CF}
    %ifidn {D},ax
    {OP} {D}, cx
    %elifidn {D},eax
    {OP} {D}, ecx
    %else
    {OP} {D}, rcx
    %endif

; case: {OP} reaches memory at bit {N} from the address
; columns: OP N AT A R CF
; row: bt | 100 | DATA+0x100+8 | 0x1000000000 | 0x1000000000 | 1
; row: bts | 0x1000 | DATA+0x100+0x200 | 0 | 1 | 0
; row: btr | -1 | DATA+0x100-8 | 0x8000000000000000 | 0 | 1
; row: btc | -64 | DATA+0x100-8 | 0 | 1 | 0
; row: bts | -65 | DATA+0x100-16 | 0 | 0x8000000000000000 | 0
; in: rdi=DATA+0x100, rcx=({N})&0xffffffffffffffff, [{AT}].8={A}, cf=0
; expect: [{AT}].8={R}, cf={CF}
    {OP} qword [rdi], rcx

; case: bts with a 16-bit offset is signed and moves by words
; in: rdi=DATA+0x100, rcx=0xfff0
; expect: [DATA+0xfe].2=1, cf=0
    bts word [rdi], cx

; case: bts with a 32-bit offset is signed and moves by doublewords
; in: rdi=DATA+0x100, rcx=0xffffffff
; expect: [DATA+0xfc].4=0x80000000, cf=0
    bts dword [rdi], ecx

; case: {OP} memory with an immediate stays in its operand
; columns: OP R CF
; row: bt | 0x20 | 1
; row: btr | 0x00 | 1
; row: bts | 0x20 | 1
; row: btc | 0x00 | 1
; in: rdi=DATA, [DATA].4=0x20, cf=0
; expect: [DATA].4={R}, cf={CF}
    {OP} dword [rdi], 37

; case: bit tests keep the zero flag
; in: rax=0, flags=zf
; expect: zf=1, cf=0
    bt eax, 3

; case: {OP} of {A}
; columns: OP A R ZF
; row: bsf | 0x8000000000000000 | 63 | 0
; row: bsf | 0x10010 | 4 | 0
; row: bsr | 0x10010 | 16 | 0
; row: bsr | 1 | 0 | 0
; row: tzcnt | 0x8000000000000000 | 63 | 0
; row: tzcnt | 1 | 0 | 1
; row: lzcnt | 1 | 63 | 0
; row: lzcnt | 0x8000000000000000 | 0 | 1
; row: popcnt | 0xffffffffffffffff | 64 | 0
; row: popcnt | 0 | 0 | 1
; in: rax={A}
; expect: rcx={R}, zf={ZF}
    {OP} rcx, rax

; case: {OP} of zero leaves the destination and sets ZF
; columns: OP
; row: bsf
; row: bsr
; in: rax=0
; expect: rcx=0x2222222222222222, zf=1
    {OP} rcx, rax

; case: {OP} {D} of zero is the width, with carry
; columns: OP D S R
; row: tzcnt | cx | ax | 0x2222222222220010
; row: tzcnt | ecx | eax | 32
; row: tzcnt | rcx | rax | 64
; row: lzcnt | cx | ax | 0x2222222222220010
; row: lzcnt | ecx | eax | 32
; row: lzcnt | rcx | rax | 64
; in: rax=0
; expect: rcx={R}, cf=1, zf=0
    {OP} {D}, {S}

; case: popcnt clears the other flags
; in: rax=7, flags=cf|of|sf|af|pf
; expect: rcx=3, flags=0
    popcnt rcx, rax

; case: {OP} of {A}, {B}
; columns: OP A B R CF ZF
; row: andn | 0x0f | 0xff | 0xf0 | 0 | 0
; row: andn | 0xff | 0x0f | 0 | 0 | 1
; row: bextr | 0x12345678 | 0x0804 | 0x67 | 0 | 0
; row: bextr | 0x12345678 | 0x0040 | 0 | 0 | 1
; row: bextr | 0xffffffffffffffff | 0xff08 | 0x00ffffffffffffff | 0 | 0
; row: bzhi | 0xffffffffffffffff | 8 | 0xff | 0 | 0
; row: bzhi | 0xffffffffffffffff | 64 | 0xffffffffffffffff | 1 | 0
; row: bzhi | 0xffffffffffffffff | 0x100 | 0 | 0 | 1
; in: rax={A}, rbx={B}
; expect: rcx={R}, cf={CF}, zf={ZF}, of=0
    {OP} rcx, rax, rbx

; case: {OP} of {A}, one operand
; columns: OP A R CF ZF
; row: blsi | 0xb0 | 0x10 | 1 | 0
; row: blsi | 0 | 0 | 0 | 1
; row: blsr | 0xb0 | 0xa0 | 0 | 0
; row: blsr | 0 | 0 | 1 | 1
; row: blsmsk | 0xb0 | 0x1f | 0 | 0
; row: blsmsk | 0 | 0xffffffffffffffff | 1 | 0
; in: rax={A}
; expect: rcx={R}, cf={CF}, zf={ZF}, of=0
    {OP} rcx, rax

; case: {OP} by a mask
; columns: OP A M R
; row: pdep | 0x15 | 0x0f0f | 0x0105
; row: pext | 0xabcd | 0xf0f0 | 0xac
; row: pdep | 0xffffffffffffffff | 0x8000000000000001 | 0x8000000000000001
; row: pext | 0xffffffffffffffff | 0 | 0
; in: rax={A}, rbx={M}, flags=cf|zf
; expect: rcx={R}, flags=cf|zf
    {OP} rcx, rax, rbx

; case: adcx uses carry only
; in: rax=0xffffffffffffffff, rbx=0, flags=cf|of
; expect: rax=0, flags=cf|of
    adcx rax, rbx

; case: adox uses overflow only
; in: rax=0xffffffffffffffff, rbx=0, flags=of|zf
; expect: rax=0, flags=of|zf
    adox rax, rbx

; case: bswap of {D}
; columns: D A R
; row: eax | 0x1111111112345678 | 0x78563412
; row: rax | 0x0123456789abcdef | 0xefcdab8967452301
; in: rax={A}
; expect: rax={R}
    bswap {D}

; case: movbe {W} from memory
; columns: W D R
; row: word | cx | 0x2222222222228877
; row: dword | ecx | 0x88776655
; row: qword | rcx | 0x8877665544332211
; in: [DATA].8=0x1122334455667788, rdi=DATA
; expect: rcx={R}
    movbe {D}, [rdi]

; case: movbe to memory
; in: rdi=DATA, rax=0x0123456789abcdef
; expect: [DATA].8=0xefcdab8967452301
    movbe [rdi], rax

; case: crc32 of a byte
; in: rax=0, rbx=0x61
; expect: rax=0x93ad1061
    crc32 eax, bl

; case: crc32 of eight bytes clears the upper half
; in: rax=0xffffffffffffffff, rbx=0
; expect: rax=0x73d74d75
    crc32 rax, rbx
