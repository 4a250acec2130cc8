; An NMI reaches CPUs that take no interrupts; while one is served another waits, and more are lost.
; SDM vol. 3A, 6.7.1 and 10.6.1
%define CPUS 4
%define CLOSED
%include "machine.inc"

body:
    send 2, SEND_NMI
    await count(2, NMI), 1
    send 0, TO_OTHERS | SEND_NMI
    await count(1, NMI), 1
    await count(2, NMI), 2
    await count(3, NMI), 1
    await nmis_served, 4                    ; nobody who has been counted looks at `hold` any more

    mov dword [hold], 1
    send 1, SEND_NMI
    await count(1, NMI), 2
    send 1, SEND_NMI
    send 1, SEND_NMI
    send 1, SEND_NMI
    mov dword [hold], 0
    await count(1, NMI), 3
    call delay
    check_total NMI, 6
    check count(0, NMI), 0
    ret
