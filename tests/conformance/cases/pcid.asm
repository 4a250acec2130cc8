; mode: long-kernel

; Translations of a PCID may outlive the time in which another is current, and must not outlive what
; drops them. PCID 0 is current at the start; its page 0x90000 is changed while PCID 1 is.

; case: loading CR3 without bit 63 drops what its PCID had
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, [EXTRA].8=2, rcx=ROOT, rdx=(1<<63)|ROOT|1
; expect: rax=2
    mov rbx, [rdi]
    mov cr3, rdx
    mov qword [PT+0x90*8], EXTRA|3
    mov cr3, rcx
    mov rax, [rdi]

; case: invpcid of type {T} drops what another PCID had
; columns: T
; row: 0
; row: 1
; row: 2
; row: 3
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, [EXTRA].8=2, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; in: rsi=DATA+0x100, [DATA+0x108].8=0x90000, r8={T}
; expect: rax=2
    mov rbx, [rdi]
    mov cr3, rdx
    mov qword [PT+0x90*8], EXTRA|3
    invpcid r8, [rsi]
    mov cr3, rcx
    mov rax, [rdi]

; case: invpcid of type {T} drops code that another PCID knew
; columns: T
; row: 0
; row: 1
; row: 2
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; in: [DATA].8=0xc300000001b8, [EXTRA].8=0xc300000002b8, rsi=DATA+0x100, [DATA+0x108].8=0x90000, r8={T}
; expect: rax=2, rbx=0
    mov ebx, 100
again:
    call rdi
    dec ebx
    jnz again
    mov cr3, rdx
    mov qword [PT+0x90*8], EXTRA|3
    invpcid r8, [rsi]
    mov cr3, rcx
    call rdi

; case: a change of CR4.PGE drops what another PCID had
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, [EXTRA].8=2, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; expect: rax=2
    mov rbx, [rdi]
    mov cr3, rdx
    mov qword [PT+0x90*8], EXTRA|3
    mov r8, cr4
    xor r8, 0x80
    mov cr4, r8
    mov cr3, rcx
    mov rax, [rdi]

; case: a PCID that comes back drops what was changed under it
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, [EXTRA].8=2, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; expect: rax=2
    mov rbx, [rdi]
    mov cr3, rdx
    mov rbx, [rdi]
    mov cr3, rcx
    mov qword [PT+0x90*8], EXTRA|3
    invlpg [rdi]
    mov rax, [rdi]

; case: a page goes to and fro between PCIDs
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1, [DATA].8=0
; expect: [DATA].8=200, rbx=0
    mov ebx, 100
again:
    mov cr3, rdx
    inc qword [rdi]
    mov cr3, rcx
    inc qword [rdi]
    dec ebx
    jnz again

; case: a page that became code while another PCID was current is written and run
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; in: [DATA].8=0xc300000001b8
; expect: rax=2, rbx=1
    mov byte [rdi+1], 1
    mov cr3, rdx
    mov esi, 100
again:
    call rdi
    dec esi
    jnz again
    mov ebx, eax
    mov cr3, rcx
    mov byte [rdi+1], 2
    call rdi

; case: a loop of code goes to and fro between PCIDs
; in: cr4|=0x20000, rdi=0x90000, page[0x90000]=DATA|P|W, rcx=(1<<63)|ROOT, rdx=(1<<63)|ROOT|1
; in: [DATA].8=0xc301c38348, rbx=0
; expect: rbx=200, rsi=0
    mov esi, 100
again:
    mov cr3, rdx
    call rdi
    mov cr3, rcx
    call rdi
    dec esi
    jnz again
