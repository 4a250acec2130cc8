; Who hears what is sent to all, to all others, to oneself. SDM vol. 3A, 10.6.1 and 10.12.9
%define CPUS 4
%include "machine.inc"

%macro take 0                               ; what was sent to the boot CPU, too
    call fence
    sti
    nop
    cli
%endmacro

body:
    send EVERYBODY, 0x41
    take
    check_total 0x41, CPUS
    check count(0, 0x41), 1

    send 0, TO_ALL | 0x42
    take
    check_total 0x42, CPUS
    check count(0, 0x42), 1

    send 0, TO_OTHERS | 0x43
    take
    check_total 0x43, CPUS - 1
    check count(0, 0x43), 0

    send 0, TO_SELF | 0x44
    take
    check_total 0x44, 1
    check count(0, 0x44), 1

    mov ecx, 0x83f                          ; SELF IPI
    mov eax, 0x45
    xor edx, edx
    wrmsr
    take
    check_total 0x45, 1
    check count(0, 0x45), 1

    send 0xff, 0x46                         ; all, for an xAPIC; one that is not there, for an x2APIC
    take
    check_total 0x46, 0
    ret
