; mode: long-kernel

; case: a supervisor {WHAT} is #PF with error {E}
; columns: WHAT CODE AT E
; row: read of an absent page | mov rax, [rdi] | HOLE | 0
; row: write to an absent page | mov [rdi], rax | HOLE | 2
; row: write to a read-only page | mov [rdi], rax | RO | 3
; row: read-modify-write of an absent page | add [rdi], rax | HOLE | 2
; row: write through xchg | xchg [rdi], rax | RO | 3
; in: rdi={AT}+0x123
; expect: fault=#PF, error={E}, cr2={AT}+0x123, rip=case_start, rax=0x1111111111111111
    {CODE}

; case: a user {WHAT} is #PF with error {E}
; mode: long-user
; columns: WHAT CODE AT E
; row: read of a supervisor page | mov rax, [rdi] | SUP | 5
; row: write to a supervisor page | mov [rdi], rax | SUP | 7
; row: write to a read-only supervisor page | mov [rdi], rax | SUPRO | 7
; row: write to a read-only page | mov [rdi], rax | RO | 7
; row: read of an absent page | mov rax, [rdi] | HOLE | 4
; row: bts of a read-only page that has the bit | bts dword [rdi], 0 | RO | 7
; row: test of an absent page | test [rdi], rax | HOLE | 4
; in: rdi={AT}
; expect: fault=#PF, error={E}, cr2={AT}, rip=case_start
    {CODE}

; case: a user fetch from a {WHAT} page is #PF with error {E}
; mode: long-user
; columns: WHAT AT E
; row: supervisor | SUP | 0x15
; row: no-execute | NXP | 0x15
; row: absent | HOLE | 0x14
; in: rdi={AT}
; expect: fault=#PF, error={E}, cr2={AT}, rip={AT}
    jmp rdi

; case: without CR0.WP the supervisor writes read-only pages
; in: cr0&=0xfffeffff, rdi=RO
; expect: [RO].8=0x1111111111111111
    mov [rdi], rax

; case: without EFER.NXE bit 63 of an entry is reserved
; in: efer&=0xfffff7ff, rdi=NXP
; expect: fault=#PF, error=9, cr2=NXP, rip=case_start
    mov rax, [rdi]

; case: an address bit above the physical address width is reserved
; in: page[0x90000]=0x90000|P|W|(1<<51), rdi=0x90000
; expect: fault=#PF, error=9, cr2=0x90000
    mov rax, [rdi]

; case: bit 13 of a 2 MiB page is reserved
; in: [PD+8].8=0x200000|P|W|PS|(1<<13), rdi=0x200000
; expect: fault=#PF, error=9, cr2=0x200000
    mov rax, [rdi]

; case: bit 7 of a top-level entry is reserved
; in: [ROOT+8].8=PDPT|P|W|PS, rdi=0x8000000000
; expect: fault=#PF, error=9, cr2=0x8000000000
    mov rax, [rdi]

; case: a not-present entry has no reserved bits
; in: page[HOLE]=0xfffffffffffffffe, rdi=HOLE
; expect: fault=#PF, error=0, cr2=HOLE
    mov rax, [rdi]

; case: a read sets accessed and not dirty
; in: rdi=0x90000
; expect: [PT+0x90*8].8=0x90000|P|W|A
    mov rax, [rdi]

; case: a write sets accessed and dirty
; in: rdi=0x90000
; expect: [PT+0x90*8].8=0x90000|P|W|A|D
    mov [rdi], rax

; case: a write after a read still sets dirty
; in: rdi=0x90000
; expect: [PT+0x90*8].8=0x90000|P|W|A|D
    mov rax, [rdi]
    mov [rdi], rax

; case: accessed is set at every level
; in: [ROOT+8].8=FREE|P|W, [FREE].8=(FREE+0x1000)|P|W, [FREE+0x1000].8=(FREE+0x2000)|P|W, [FREE+0x2000].8=DATA|P|W, rdi=0x8000000000
; expect: [ROOT+8].8=FREE|P|W|A, [FREE].8=(FREE+0x1000)|P|W|A, [FREE+0x1000].8=(FREE+0x2000)|P|W|A, [FREE+0x2000].8=DATA|P|W|A
    mov rax, [rdi]

; case: a write to a 2 MiB page sets dirty in the directory
; in: rdi=0x234567
; expect: [PD+8].8=0x200000|P|W|U|PS|A|D, [0x234567].8=0x1111111111111111
    mov [rdi], rax

; case: the fetch sets accessed on the code page
; expect: [PT+0x10*8].8=CODE|P|W|A
    nop

; case: a faulting write leaves the page clean
; in: rdi=RO
; expect: fault=#PF, error=3, [PT+0x81*8+0].1=0x01
    mov [rdi], rax

; case: a 1 GiB page maps
; in: [PDPT+8].8=P|W|PS, [DATA].8=0x77, rdi=0x40000000+DATA
; expect: rax=0x77
    mov rax, [rdi]

; case: bit 13 of a 1 GiB page is reserved
; in: [PDPT+8].8=P|W|PS|(1<<13), rdi=0x40000000
; expect: fault=#PF, error=9, cr2=0x40000000
    mov rax, [rdi]

; case: rights are the least of all levels: {WHAT}
; mode: long-user
; columns: WHAT TOP CODE E
; row: a read-only directory | P+U | mov [rdi], rax | 7
; row: a supervisor directory | P+W | mov rax, [rdi] | 5
; row: a no-execute directory | P+W+U+NX | jmp rdi | 0x15
; in: [PD+8].8=FREE|{TOP}, [FREE].8=DATA|P|W|U, rdi=0x200000
; expect: fault=#PF, error={E}, cr2=0x200000
    {CODE}

; case: a page made present needs no invalidation
; in: rdi=HOLE, [DATA].8=0x55
; expect: rax=0x55
    mov qword [PT+0x80*8], DATA|3
    mov rax, [rdi]

; case: invlpg makes a changed entry count
; in: rdi=0x90000, [DATA].8=1, [EXTRA].8=2, page[0x90000]=DATA|P|W
; expect: rax=2, rbx=1
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    invlpg [rdi]
    mov rax, [rdi]

; case: invlpg drops a global page
; in: cr4|=0x80, rdi=0x90000, [EXTRA].8=2, page[0x90000]=DATA|P|W|G
; expect: rax=2
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    invlpg [rdi]
    mov rax, [rdi]

; case: invlpg {WHAT} moves the stack
; columns: WHAT ENTRY OFFSET AT
; row: of its page | PT+0x90*8 | 0x90000 | 0x90000
; row: of its 2 MiB page | PD+8 | 0x200800 | 0x3ff000
; in: page[0x90000]=DATA|P|W|A|D, [PD+8].8=P|W|PS|A|D, rdi={AT}, rsp={OFFSET}+0x100, rax=7, rbx=8
; expect: rcx=8, rdx=0
    push rax
    mov rcx, [{ENTRY}]
    add rcx, 0x200000
    bt rcx, 7
    jc large
    mov ecx, EXTRA|3
large:
    mov [{ENTRY}], rcx
    invlpg [rdi]
    push rbx
    pop rcx
    pop rdx

; case: loading CR3 drops what is not global
; in: rdi=0x90000, [EXTRA].8=2, page[0x90000]=DATA|P|W
; expect: rax=2
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    mov rcx, cr3
    mov cr3, rcx
    mov rax, [rdi]

; case: changing CR4.PGE drops global pages too
; in: cr4|=0x80, rdi=0x90000, [EXTRA].8=2, page[0x90000]=DATA|P|W|G
; expect: rax=2
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    mov rcx, cr4
    xor rcx, 0x80
    mov cr4, rcx
    mov rax, [rdi]

; case: invlpg of a non-canonical address does nothing
; in: rdi=0x8000000000000000
; expect: rdi=0x8000000000000000
    invlpg [rdi]

; case: invpcid of all contexts drops everything
; in: cr4|=0x20080, rdi=0x90000, rsi=DATA+0x100, [EXTRA].8=2, page[0x90000]=DATA|P|W|G, rcx=2
; expect: rax=2
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    invpcid rcx, [rsi]
    mov rax, [rdi]

; case: invpcid of one address drops it
; in: cr4|=0x20000, rdi=0x90000, rsi=DATA+0x100, [DATA+0x108].8=0x90000, [EXTRA].8=2, page[0x90000]=DATA|P|W, rcx=0
; expect: rax=2
    mov rbx, [rdi]
    mov qword [PT+0x90*8], EXTRA|3
    invpcid rcx, [rsi]
    mov rax, [rdi]

; case: invpcid of type {T} is #GP
; columns: T
; row: 4
; row: 0xffffffffffffffff
; in: rcx={T}, rsi=DATA
; expect: fault=#GP, error=0, rip=case_start
    invpcid rcx, [rsi]

; case: invpcid with reserved bits in its descriptor is #GP
; in: rcx=1, rsi=DATA, [DATA].8=0x1000
; expect: fault=#GP, error=0, rip=case_start
    invpcid rcx, [rsi]

; case: CR3 with bit 63 is #GP without CR4.PCIDE
; in: rax=(1<<63)|ROOT
; expect: fault=#GP, error=0, rip=case_start
    mov cr3, rax

; case: with CR4.PCIDE bit 63 of CR3 is not stored
; in: cr4|=0x20000, rax=(1<<63)|ROOT|5
; expect: rbx=ROOT|5
    mov cr3, rax
    mov rbx, cr3

; case: two PCIDs keep their own translations
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, [DATA].8=1, [EXTRA].8=2, [FREE].8=(FREE+0x1000)|P|W, [FREE+0x1000].8=(FREE+0x2000)|P|W, [FREE+0x2000].8=PS|P|W, rax=ROOT|1, rbx=FREE|2
; expect: r8=1, r9=0x77, r10=1
    mov qword [0x90000], 0x1
    mov cr3, rax
    mov r8, [rdi]
    mov cr3, rbx
    mov qword [rdi], 0x77
    mov r9, [rdi]
    mov cr3, rax
    mov r10, [rdi]

; case: setting CR4.PCIDE with a PCID in CR3 is #GP
; in: cr3=ROOT|8, rax=0x206a0|0x20
; expect: fault=#GP, error=0, rip=ready
    mov rax, cr4
    or rax, 0x20000
ready:
    mov cr4, rax

; case: SMEP forbids the supervisor to execute user pages
; in: cr4|=0x100000, page[0x90000]=0x90000|P|W|U, rdi=0x90000
; expect: fault=#PF, error=0x11, cr2=0x90000, rip=0x90000
    jmp rdi

; case: without SMEP the supervisor executes user pages
; in: page[0x90000]=0x90000|P|W|U, rdi=0x90000, [0x90000].1=0xf4
; expect: stop=halt, rip=0x90001
    jmp rdi

; case: SMAP forbids the supervisor to {WHAT} user pages
; columns: WHAT CODE E
; row: read | mov rax, [rdi] | 1
; row: write | mov [rdi], rax | 3
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000
; expect: fault=#PF, error={E}, cr2=0x90000, rip=case_start
    {CODE}

; case: with AC set SMAP is suspended
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000, [0x90000].8=7
; expect: rax=7, ac=1
    stac
    mov rax, [rdi]

; case: clac puts SMAP in force again
; in: cr4|=0x200000, page[0x90000]=0x90000|P|W|U, rdi=0x90000, ac=1
; expect: fault=#PF, error=1, rip=again
    mov rax, [rdi]
    clac
again:
    mov rax, [rdi]

; case: stac at CPL 3 is #UD
; mode: long-user
; in: cr4|=0x200000
; expect: fault=#UD, rip=case_start
    stac

; case: a protection key without {WHAT} is #PF with error {E}
; mode: long-user
; columns: WHAT PKRU CODE E
; row: access, read | 1<<10 | mov rax, [rdi] | 0x25
; row: access, write | 1<<10 | mov [rdi], rax | 0x27
; row: writes, write | 2<<10 | mov [rdi], rax | 0x27
; in: cr4|=0x400000, pkru={PKRU}, page[0x90000]=0x90000|P|W|U|(5<<59), rdi=0x90000
; expect: fault=#PF, error={E}, cr2=0x90000, rip=case_start
    {CODE}

; case: a protection key without writes still reads
; mode: long-user
; in: cr4|=0x400000, pkru=2<<10, page[0x90000]=0x90000|P|W|U|(5<<59), rdi=0x90000, [0x90000].8=7
; expect: rax=7
    mov rax, [rdi]

; case: a protection key does not stop fetches
; mode: long-user
; in: cr4|=0x400000, pkru=3<<10, page[0x90000]=0x90000|P|W|U|(5<<59), rdi=0x90000, [0x90000]=bytes("ff e6"), rsi=case_end
; expect: rsi=case_end
    jmp rdi

; case: a protection key of a supervisor page means nothing
; in: cr4|=0x400000, pkru=3<<10, page[0x90000]=0x90000|P|W|(5<<59), rdi=0x90000
; expect: rax=0
    mov rax, [rdi]

; case: rdpkru without CR4.PKE is #UD
; in: rcx=0
; expect: fault=#UD, rip=case_start
    rdpkru

; case: wrpkru changes rights at once
; cpu: host,+pku
; mode: long-user
; in: cr4|=0x400000, pkru=0, page[0x90000]=0x90000|P|W|U|(5<<59), rdi=0x90000, rax=1<<10, rcx=0, rdx=0
; expect: fault=#PF, error=0x25, rip=again
    mov rbx, [rdi]
    wrpkru
again:
    mov rbx, [rdi]

; case: wrpkru with ECX not zero is #GP
; cpu: host,+pku
; in: cr4|=0x400000, rcx=1, rdx=0, rax=0
; expect: fault=#GP, error=0, rip=case_start
    wrpkru

; case: 32-bit paging: a supervisor {WHAT}
; mode: paged32
; columns: WHAT CODE AT E
; row: read of an absent page | mov eax, [edi] | HOLE | 0
; row: write to a read-only page | mov [edi], eax | RO | 3
; in: rdi={AT}
; expect: fault=#PF, error={E}, cr2={AT}, rip=case_start
    {CODE}

; case: 32-bit paging: a user {WHAT}
; mode: protected32-user
; columns: WHAT CODE AT E
; row: read of an absent page | mov eax, [edi] | HOLE | 4
; row: read of a supervisor page | mov eax, [edi] | SUP | 5
; row: write to a read-only page | mov [edi], eax | RO | 7
; row: fetch from an absent page | jmp edi | HOLE | 4
; row: fetch from a supervisor page | jmp edi | SUP | 5
; in: rdi={AT}
; expect: fault=#PF, error={E}, cr2={AT}
    {CODE}

; case: 32-bit paging maps 4 MiB pages
; mode: paged32
; in: [0x400123].4=0x99, rdi=0x400123
; expect: rax=0x99
    mov eax, [edi]

; case: without CR4.PSE a directory entry is a table
; mode: paged32
; in: cr4&=0xffffffef, [0x400000].4=DATA|P|W, [DATA].4=0x77, rdi=0x400000
; expect: rax=0x77
    mov eax, [edi]

; case: bit 21 of a 4 MiB page is reserved
; mode: paged32
; in: [ROOT+4].4=0x400000|P|W|PS|(1<<21), rdi=0x400000
; expect: fault=#PF, error=9, cr2=0x400000
    mov eax, [edi]

; case: bits 13-20 of a 4 MiB page are address bits 32-39
; mode: paged32
; in: [ROOT+4].4=0x400000|P|W|PS|(1<<13), rdi=0x400000
; expect: rax=0x04030201
; ports: mmio-read32 0x100400000
    mov eax, [edi]

; case: 32-bit paging sets accessed and dirty
; mode: paged32
; in: rdi=0x90000
; expect: [PT+0x90*4].4=0x90000|P|W|A|D, [ROOT].4=PT|7|A
    mov [edi], eax

; case: PAE paging honours no-execute
; mode: pae32
; in: rdi=NXP
; expect: fault=#PF, error=0x11, cr2=NXP, rip=NXP
    jmp edi

; case: PAE paging maps 2 MiB pages
; mode: pae32
; in: [0x200010].4=0x99, rdi=0x200010
; expect: rax=0x99
    mov eax, [edi]

; case: an absent page-directory pointer is #PF
; mode: pae32
; in: rdi=0x40000000
; expect: fault=#PF, error=0, cr2=0x40000000
    mov eax, [edi]

; case: page-directory pointers count only when CR3 is loaded
; mode: pae32
; in: rdi=0x40000000
; expect: fault=#PF, error=0, cr2=0x40000000, rip=early
    mov dword [ROOT+8], PD|1
early:
    mov eax, [edi]

; case: loading CR3 loads the page-directory pointers
; mode: pae32
; in: rdi=0x40020000, [DATA].4=0x77
; expect: rax=0x77
    mov dword [ROOT+8], PD|1
    mov eax, cr3
    mov cr3, eax
    mov eax, [edi]

; case: a page-directory pointer with a reserved bit makes loading CR3 #GP
; mode: pae32
; in: [ROOT+8].8=PD|P|W
; expect: fault=#GP, error=0, rip=load
    mov eax, cr3
load:
    mov cr3, eax

; case: an absent page-directory pointer may hold anything
; mode: pae32
; in: [ROOT+8].8=0xfffffffffffffffe
; expect: rax=ROOT
    mov eax, cr3
    mov cr3, eax

; case: paging turns on under running code
; mode: protected32
; in: cr3=ROOT, [ROOT].4=PT|7, [PT+0x10*4].4=CODE|3, [PT+0x20*4].4=EXTRA|3, [EXTRA].4=0x77, rax=0
; expect: rbx=0x77
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    jmp next
next:
    mov ebx, [DATA]

; case: a load from device memory asks the machine
; in: rdi=MMIO
; expect: rax=0x04030201
; ports: mmio-read32 0x900000
    mov eax, [rdi]

; case: a store to device memory tells the machine
; in: rdi=MMIO+0x10
; expect: rdi=MMIO+0x10
; ports: mmio-write16 0x900010 0x1111
    mov [rdi], ax

; case: a read-modify-write of device memory reads, then writes
; in: rdi=MMIO, rax=1
; expect: zf=0
; ports: mmio-read8 0x900000; mmio-write8 0x900000 0x3
    or byte [rdi], 2

; case: rep movsb to device memory writes byte by byte
; in: rdi=MMIO, rsi=DATA, rcx=3, [DATA].3=0x030201
; expect: rcx=0, rdi=MMIO+3
; ports: mmio-write8 0x900000 0x1; mmio-write8 0x900001 0x2; mmio-write8 0x900002 0x3
    rep movsb

; case: a vector load from device memory is whole
; in: rdi=MMIO
; expect: xmm0=0x100f0e0d0c0b0a090807060504030201
    movdqu xmm0, [rdi]

; case: memory that nobody has is device memory, and cmpxchg works on it
; in: rdi=MMIO, rax=0x01
; expect: zf=1
; ports: mmio-read8 0x900000; mmio-write8 0x900000 0x22
    lock cmpxchg [rdi], cl
