; mode: long-kernel

; case: an instruction breakpoint faults before the instruction
; in: dr0=stop, dr7=0x402
; expect: fault=#DB, rip=stop, dr6=0xffff0ff1, rax=1, at.rf=0, rf=0
    mov eax, 1
stop:
    mov eax, 2

; case: RF lets an instruction with a breakpoint run
; in: dr0=case_start, dr7=0x402, rf=1
; expect: rax=2
    mov eax, 2

; case: a disabled breakpoint does nothing
; in: dr0=stop, dr7=0x400
; expect: rax=2
stop:
    mov eax, 2

; case: a write breakpoint traps behind the write
; in: dr1=DATA+4, dr7=0xd00408
; expect: fault=#DB, rip=behind, dr6=0xffff0ff2, [DATA+4].4=0x11111111
    mov [DATA+4], eax
behind:
    nop

; case: a write breakpoint is not for reads
; in: dr0=DATA, dr7=0xd0402
; expect: rax=0
    mov eax, [DATA]

; case: an access breakpoint traps on reads
; in: dr0=DATA, dr7=0xf0402
; expect: fault=#DB, rip=behind, dr6=0xffff0ff1
    mov eax, [DATA+3]
behind:
    nop

; case: an access beside a breakpoint does not trap
; in: dr0=DATA, dr7=0xf0402
; expect: rax=0
    mov eax, [DATA+4]

; case: an I/O breakpoint traps behind the access
; in: dr0=0x60, dr7=0x20402
; expect: fault=#DB, rip=behind, dr6=0xffff0ff1
    in al, 0x60
behind:
    nop

; case: single step reports BS
; in: tf=1
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0, at.tf=0
    nop
behind:
    nop

; case: mov to SS is not stepped, the instruction behind it is
; in: tf=1, rcx=0x10
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0
    mov ss, cx
    nop
behind:
    nop

; case: a data breakpoint on mov to SS waits for the next instruction
; in: dr0=DATA, dr7=0xf0402, [DATA].2=0x10
; expect: fault=#DB, rip=behind, dr6=0xffff0ff1, rbx=1
    mov ss, [DATA]
    mov ebx, 1
behind:
    nop

; case: Intel's CPUs take no instruction breakpoint behind mov to SS
; cpu: v2,vendor=intel
; in: dr0=behind, dr7=0x402, rcx=0x10
; expect: rax=1
    mov ss, cx
behind:
    mov eax, 1

; case: AMD's CPUs take an instruction breakpoint behind mov to SS
; cpu: v2,vendor=amd
; in: dr0=behind, dr7=0x402, rcx=0x10
; expect: fault=#DB, rip=behind, dr6=0xffff0ff1, rf=0
    mov ss, cx
behind:
    mov eax, 1

; case: a software interrupt is not stepped inside
; in: tf=1
; expect: vector=0x80, tf=1, at.tf=0
    int 0x80

; case: a fault is delivered without a step
; in: tf=1
; expect: fault=#UD, rip=case_start
    ud2

; case: iretq that sets TF steps the instruction behind it
; in: rsp=DATA+0x100, [DATA+0x100].8=target, [DATA+0x108].8=8, [DATA+0x110].8=0x102, [DATA+0x118].8=STACK_TOP, [DATA+0x120].8=0x10
; expect: fault=#DB, rip=behind
    iretq
target:
    nop
behind:
    nop

; case: DR4 and DR5 are #UD with CR4.DE
; expect: fault=#UD, rip=case_start
    mov rax, dr4

; case: without CR4.DE DR5 is DR7
; in: cr4&=0xfffffff7
; expect: rax=0x400
    mov rax, dr5

; case: general detect stops access to debug registers
; in: dr7=0x2400
; expect: fault=#DB, rip=case_start, dr6=0xffff2ff0, dr7=0x400
    mov rax, dr0

; case: a debug register above 32 bits in DR7 is #GP
; in: rax=0x100000000
; expect: fault=#GP, error=0, rip=case_start
    mov dr7, rax

; case: mov to DR7 keeps its fixed bits
; in: rax=0xffffffff&~0x2000
; expect: dr7=0xffff07ff
    mov dr7, rax

; case: mov to DR6 keeps its fixed bits
; in: rax=0
; expect: dr6=0xffff0ff0
    mov dr6, rax

; case: an address breakpoint holds 64 bits
; in: rax=0x1122334455
; expect: rbx=0x1122334455
    mov dr3, rax
    mov rbx, dr3

; case: a rep string instruction with a write breakpoint traps in its middle
; in: dr0=DATA+2, dr7=0x10402, rcx=8, rdi=DATA
; expect: fault=#DB, rip=case_start, rcx=5, rdi=DATA+3
    rep stosb

; case: rflags in the frame of a breakpoint at a fault has RF
; in: rdi=HOLE
; expect: fault=#PF, rf=1
    mov eax, [rdi]

; case: the frame of a trap has no RF
; expect: fault=#BP, rf=0
    int3

; case: single step in user mode
; mode: protected32-user
; in: tf=1
; expect: fault=#DB, rip=behind, dr6=0xffff4ff0
    inc eax
behind:
    nop
