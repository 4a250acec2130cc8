; INIT makes a CPU wait for a SIPI, whatever it does; a SIPI starts only a CPU that waits. SDM vol. 3A, 8.4.4.1 and 10.6.1
%define CPUS 4
%include "machine.inc"

FIRST equ SEND_STARTUP | TRAMPOLINE >> 12
SECOND equ FIRST + 1
FROM_FIRST equ TRAMPOLINE >> 4
FROM_SECOND equ FROM_FIRST + 0x100

body:
    check started + 4, 1
    send 1, SECOND                          ; it runs already
    call fence
    check started + 4, 1
    check came_from + 4, FROM_FIRST

    send 1, SEND_INIT
    send 1, 0x41
    call delay
    check count(1, 0x41), 0
    check started + 4, 1
    send 1, SECOND
    await started + 4, 2
    await came_from + 4, FROM_SECOND
    call fence

    mov esi, 300
.again:                                     ; as fast as it goes
    mov dword [came_from + 4], 0
    send 1, SEND_INIT
    send 1, FIRST
    send 1, SEND_INIT
    send 1, SECOND
    send 1, FIRST
    await came_from + 4, FROM_SECOND
    dec esi
    jnz .again
    call fence

    mov dword [online], 0
    send 0, TO_OTHERS | SEND_INIT
    send 0, TO_OTHERS | FIRST
    await online, CPUS - 1
    check started + 8, 2
    check started + 12, 2
    call fence
    ret
