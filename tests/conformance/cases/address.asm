; mode: long-user
; native: yes

; case: lea computes {EA}
; columns: EA R
; row: [rax+rbx*2+0x10] | 0x99999999999999a9
; row: [rax*8] | 0x8888888888888888
; row: [rbp+0x7f] | 0x66666666666666e5
; row: [rsp-1] | STACK_TOP-1
; row: [r13+r12*4] | 0x2222222222222222
; row: [abs 0x12345678] | 0x12345678
; row: [rax-0x80000000] | 0x1111111091111111
; in: r13=0xeeeeeeeeeeeeeeee, r12=0xcccccccccccccccd
; expect: rcx={R}
    lea rcx, {EA}

; case: lea with a 32-bit destination cuts the address
; expect: rcx=0x55555555
    lea ecx, [rax+rbx]

; case: lea with a 16-bit destination keeps the rest
; expect: rcx=0x2222222222225555
    lea cx, [rax+rbx]

; case: lea with a 32-bit address size wraps and zero-extends
; in: rax=0xffffffff, rbx=3
; expect: rcx=2
    lea rcx, [eax+ebx]

; case: lea with a segment override ignores the segment
; in: gs.base=0x1000, rax=5
; expect: rcx=5
    lea rcx, [gs:rax]

; case: lea with a register is #UD
; expect: fault=#UD, rip=case_start
    db 0x48, 0x8d, 0xc8

; case: RIP-relative addresses count from the next instruction
; expect: rcx=data
    lea rcx, [rel data]
data:
    nop

; case: RIP-relative loads with an immediate count from behind the immediate
; expect: zf=1
    cmp dword [rel data], 0x12345678
    jmp case_end
data:
    dd 0x12345678

; case: RIP-relative with a 32-bit address size
; expect: rcx=data
    db 0x67
    lea rcx, [rel data]
data:
    nop

; case: an index of 4 means none
; in: rax=DATA, rsp=STACK_TOP, [DATA].8=9
; expect: rcx=9
    db 0x48, 0x8b, 0x0c, 0x20

; case: REX.X makes index 4 r12
; in: rax=DATA, r12=8, [DATA+8].8=9
; expect: rcx=9
    db 0x4a, 0x8b, 0x0c, 0x20

; case: a base of 5 without displacement is absolute
; in: rbp=0x100, [DATA].8=9
; expect: rcx=9
    db 0x48, 0x8b, 0x0c, 0x25
    dd DATA

; case: r13 as a base needs a displacement, and has it
; in: r13=DATA, [DATA].8=9
; expect: rcx=9
    mov rcx, [r13]

; case: r12 as a base needs a SIB byte, and has it
; in: r12=DATA, [DATA].8=9
; expect: rcx=9
    mov rcx, [r12]

; case: mov with a 64-bit absolute address loads
; in: [DATA].8=0x123456789abcdef0
; expect: rax=0x123456789abcdef0
    mov rax, [qword DATA]

; case: mov with a 64-bit absolute address and a 32-bit address size
; in: [DATA].8=0x55
; expect: al=0x55
    db 0x67, 0xa0
    dd DATA

; case: a 32-bit address wraps at 4 GiB
; in: rax=0xffffffff, rbx=DATA+1, [DATA].1=0x66
; expect: cl=0x66
    mov cl, [eax+ebx]

; case: a 32-bit address ignores the upper halves of its registers
; in: rax=0xdeadbeef00020000, [DATA].1=0x66
; expect: cl=0x66
    mov cl, [eax]

; case: gs adds its base
; in: gs.base=DATA, rax=8, [DATA+8].8=0x77
; expect: rcx=0x77
    mov rcx, [gs:rax]

; case: gs adds its base after a 32-bit address was cut
; in: gs.base=DATA+0x10, rax=0xfffffff8, rbx=0x10, [DATA+0x18].8=0x77
; expect: rcx=0x77
    mov rcx, [gs:eax+ebx]

; case: an override of {S} means nothing in 64-bit mode
; columns: S B
; row: cs | 0x2e
; row: ss | 0x36
; row: ds | 0x3e
; row: es | 0x26
; in: rax=DATA, [DATA].8=3
; expect: rcx=3
    db {B}
    mov rcx, [rax]

; case: REX before another prefix is ignored
; in: rax=0x1111111111111111
; expect: rax=0x1111111111110000
    db 0x48, 0x66, 0x31, 0xc0

; case: 66 with REX.W means 64 bits
; expect: rax=0
    db 0x66, 0x48, 0x31, 0xc0

; case: the last of two REX prefixes counts
; expect: rax=0
    db 0x40, 0x48, 0x31, 0xc0

; case: an instruction of 15 bytes runs
; expect: rax=0x1111111111111112
    times 12 db 0x66
    db 0x48, 0xff, 0xc0

; case: an instruction of 16 bytes is #GP
; expect: fault=#GP, error=0, rip=case_start
    times 13 db 0x66
    db 0x48, 0xff, 0xc0

; case: {WHAT} is #UD
; columns: WHAT CODE
; row: ud2 | 0x0f, 0x0b
; row: push cs in 64-bit mode | 0x0e
; row: pusha in 64-bit mode | 0x60
; row: daa in 64-bit mode | 0x27
; row: aam in 64-bit mode | 0xd4, 0x0a
; row: into in 64-bit mode | 0xce
; row: the alias 82 of 80 in 64-bit mode | 0x82, 0xc0, 0x01
; row: far call with a pointer in 64-bit mode | 0x9a, 0, 0, 0, 0, 0, 0
; row: salc in 64-bit mode | 0xd6
; row: mov to CS | 0x8e, 0xc8
; row: mov to a segment register that does not exist | 0x8e, 0xf8
; row: bt group with reg 0 | 0x0f, 0xba, 0xc0, 0x00
; row: fe /2 | 0xfe, 0xd0
; row: ff /7 | 0xff, 0xf8
; row: 8f /1 | 0x8f, 0xc8
; row: c6 /1 | 0xc6, 0xc8, 0x00
; row: cmpxchg8b with a register | 0x0f, 0xc7, 0xc8
; row: lea in its VEX form | 0xc5, 0xf8, 0x8d, 0x00
; row: movbe between registers | 0x0f, 0x38, 0xf0, 0xc0
; row: movnti of a register | 0x0f, 0xc3, 0xc0
; row: ud1 | 0x0f, 0xb9, 0xc0
; row: les in 64-bit mode is VEX, and this one does not exist | 0xc4, 0xe0, 0x78, 0x00
; row: a VEX prefix behind 66 | 0x66, 0xc5, 0xf9, 0x6f, 0xc0
; row: a VEX prefix behind REX | 0x40, 0xc5, 0xf9, 0x6f, 0xc0
; row: a VEX prefix behind lock | 0xf0, 0xc5, 0xf9, 0x6f, 0xc0
; expect: fault=#UD, rip=case_start
    db {CODE}

; case: movzx {D}, {S}
; columns: D S R
; row: cx | al | 0x2222222222220089
; row: ecx | al | 0x89
; row: rcx | al | 0x89
; row: ecx | ax | 0xab89
; row: rcx | ax | 0xab89
; row: ecx | ah | 0xab
; in: rax=0xffffffffffffab89
; expect: rcx={R}
    movzx {D}, {S}

; case: movsx {D}, {S}
; columns: D S R
; row: cx | al | 0x222222222222ff89
; row: ecx | al | 0xffffff89
; row: rcx | al | 0xffffffffffffff89
; row: ecx | ax | 0xffffab89
; row: rcx | ax | 0xffffffffffffab89
; row: ecx | ah | 0xffffffab
; in: rax=0xab89
; expect: rcx={R}
    movsx {D}, {S}

; case: movsxd with 16-bit operands reads 16 bits of {WHAT}
; native: intel
; columns: WHAT CODE RDI
; row: memory | 0x66, 0x63, 0x0f | DATA+0xffe
; row: memory that is aligned to no more | 0x66, 0x63, 0x0f | DATA+2
; row: a register | 0x66, 0x63, 0xca | DATA
; in: ac=1, cr0|=0x40000, rcx=0x1111111111111111, rdx=0x33338765, rdi={RDI}, [DATA+0xffe].2=0x8765, [DATA+2].2=0x8765
; expect: rcx=0x1111111111118765
    db {CODE}

; case: movsxd {WHAT}
; columns: WHAT CODE R
; row: to 64 bits extends the sign | 0x48, 0x63, 0xc8 | 0xffffffff80000001
; row: without REX.W moves 32 bits | 0x63, 0xc8 | 0x80000001
; row: of 16 bits moves 16 bits | 0x66, 0x63, 0xc8 | 0x2222222222220001
; in: rax=0x80000001
; expect: rcx={R}
    db {CODE}

; case: mov of an immediate to {D}
; columns: D I R
; row: cl | 0xff | 0x22222222222222ff
; row: ch | 0xff | 0x222222222222ff22
; row: cx | 0xffff | 0x222222222222ffff
; row: ecx | 0xffffffff | 0xffffffff
; row: rcx | strict dword -1 | 0xffffffffffffffff
; row: rcx | strict qword 0x123456789abcdef0 | 0x123456789abcdef0
; expect: rcx={R}
    mov {D}, {I}

; case: {WHAT} with a memory destination of 32 bits writes four bytes
; columns: WHAT CODE R
; row: mov | mov [rdi], ecx | 0xffffffff22222222
; row: mov immediate | mov dword [rdi], -2 | 0xfffffffffffffffe
; in: rdi=DATA, [DATA].8=0xffffffffffffffff
; expect: [DATA].8={R}
    {CODE}

; case: setcc writes one byte
; in: cf=1
; expect: rax=0x1111111111111101, rbx=0x4444444444444400
    setc al
    setnc bl

; case: a false cmov of 32 bits clears the upper half
; in: zf=0, rax=0xffffffff00000001
; expect: rax=1
    cmovz eax, ecx

; case: a false cmov still reads its memory
; in: zf=0, rdi=HOLE
; expect: fault=#PF, error=4, cr2=HOLE, rip=case_start
    cmovz rax, [rdi]

; case: an access across into an unmapped page names the unmapped address
; native: no
; in: page[DATA+0x1000]=0, rdi=DATA+0xffc
; expect: fault=#PF, error=4, cr2=DATA+0x1000, rip=case_start
    mov rax, [rdi]

; case: a write across into a read-only page writes nothing
; native: no
; in: page[DATA+0x1000]=(DATA+0x1000)|P|U, rdi=DATA+0xffc, [DATA+0xffc].4=0x55667788
; expect: fault=#PF, error=7, cr2=DATA+0x1000, rip=case_start, [DATA+0xffc].4=0x55667788
    mov [rdi], rax

; case: a load across two mapped pages joins them
; in: rdi=DATA+0xffd, [DATA+0xffd].8=0x1122334455667788
; expect: rax=0x1122334455667788
    mov rax, [rdi]

; case: a store across two mapped pages splits
; in: rdi=DATA+0xffd, rax=0x1122334455667788
; expect: [DATA+0xffd].8=0x1122334455667788
    mov [rdi], rax

; case: an aligned access with AC set is fine
; in: ac=1, rdi=DATA
; expect: rax=0
    mov rax, [rdi]

; case: an unaligned access with AC set at CPL 3 is #AC
; in: ac=1, rdi=DATA+1
; expect: fault=#AC, error=0, rip=case_start
    mov rax, [rdi]
