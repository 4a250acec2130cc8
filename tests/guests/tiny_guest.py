"""Guests of a few instructions: Multiboot kernels made by hand, that start in milliseconds."""
import struct

LOAD_ADDRESS = 0x100000
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
SPIN = b"\xeb\xfe"  # jmp to itself
# lidt with a limit of zero, then int3: no exception can be delivered
TRIPLE_FAULT = b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\xcc"
# enough time for a monitor to show that it went on behind the instruction before: 1 << 20 turns
DELAY = b"\xb9\x00\x00\x10\x00\x49\x75\xfd"


def out_byte(port, value):
    """mov dx, port; mov al, value; out dx, al"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def out_double(port, value):
    """mov dx, port; mov eax, value; out dx, eax"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb8" + struct.pack("<I", value) + b"\xef"


def say(text, port=0x3F8):
    """Sends a text through a port, the first serial port if no other is given."""
    return b"".join(out_byte(port, byte) for byte in text.encode())


def debug_exit(value):
    return out_byte(0xF4, value)


def stack():
    """A stack in conventional memory: Multiboot gives none."""
    return b"\xbc\x00\x70\x00\x00"


def kernel(code):
    """An ELF file with a Multiboot header that runs the code in 32-bit protected mode."""
    flags = 0
    header = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    start = 52 + 32  # behind the ELF header and its one program header
    image_size = start + len(header) + len(code)
    elf = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, LOAD_ADDRESS + start + len(header), 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack(
        "<IIIIIIII", 1, 0, LOAD_ADDRESS, LOAD_ADDRESS, image_size, image_size, 7, 0x1000)
    return elf + segment + header + code
