; A logical destination of the x2APIC is a cluster of sixteen CPUs and a set of them. SDM vol. 3A, 10.12.10
%define CPUS 18
%include "machine.inc"

body:
    mov ecx, 0x80d
    rdmsr
    cmp eax, 1                              ; the boot CPU is the first of the first cluster
    fail_unless_equal

    send 0x00010003, LOGICAL | 0x41
    call fence
    check count(16, 0x41), 1
    check count(17, 0x41), 1
    check_total 0x41, 2

    send 0x00008002, LOGICAL | 0x42
    call fence
    check count(1, 0x42), 1
    check count(15, 0x42), 1
    check_total 0x42, 2

    send 0x00020001, LOGICAL | 0x43         ; nobody is in this cluster
    send 0x00010000, LOGICAL | 0x43         ; a set of nobody
    send 0x00010004, LOGICAL | 0x43         ; there is no CPU 18
    call fence
    check_total 0x43, 0

    send EVERYBODY, LOGICAL | 0x44
    call fence
    sti
    nop
    cli
    check_total 0x44, CPUS
    ret
