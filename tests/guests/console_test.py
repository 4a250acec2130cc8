#!/usr/bin/python3
"""Debian's kernel and its own driver with a virtio console and named channels."""
import hashlib
import pathlib
import random
import socket
import tempfile
import time
import unittest

import guest
from known_messages import unexpected_messages

INITRD = guest.GUESTS / "console.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"
DATA = random.Random(1).randbytes(200_000)


class Line:
    """The other end of a Unix socket, where bytes come and go."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.seen = b""

    def expect(self, text):
        while text.encode() not in self.seen:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"ended without {text!r}, after {self.seen!r}")
            self.seen += data
        self.seen = self.seen.partition(text.encode())[2]

    def send(self, text):
        self.socket.sendall(text.encode())


class ConsoleTest(unittest.TestCase):
    """A shell at the serial port; the console and two channels are sockets."""

    APPEND = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.machine = cls.enterClassContext(guest.Guest(
            "--console", f"unix:{cls.folder}/console", "--channel", f"org.a=unix:{cls.folder}/a",
            "--channel", f"org.b=file:{cls.folder}/b", append=f"console=hvc0 {cls.APPEND}", initrd=INITRD,
            memory="256M"))
        cls.machine.wait_for_shell()
        cls.console = Line(cls.folder / "console")
        cls.a = Line(cls.folder / "a")
        cls.output(LOAD)
        cls.output("while [ ! -e /dev/hvc0 -o ! -e /sys/class/virtio-ports/vport1p2/name "
                   "-a ! -e /sys/class/virtio-ports/vport0p2/name ]; do sleep 0.1; done")
        cls.output("mkdir /dev/virtio-ports; for port in /sys/class/virtio-ports/*; do "
                   "ln -s /dev/$(basename $port) /dev/virtio-ports/$(cat $port/name); done")

    @classmethod
    def output(cls, command, **options):
        return cls.machine.output(command, **options)

    def test_a_kernel_messages_go_to_the_console(self):
        self.output("dmesg -n 8; echo '<1>a message of the kernel' >/dev/kmsg; dmesg -n 1")
        self.console.expect("a message of the kernel")

    def test_b_a_shell_runs_there(self):
        self.output("(setsid sh -c 'exec sh -i </dev/hvc0 >/dev/hvc0 2>&1') & sleep 1")
        self.console.send("echo $((6 * 7)) is the answer\r")
        self.console.expect("42 is the answer")
        self.console.send("seq 1 3000; echo all of it\r")
        for number in (1, 1500, 2999, 3000):
            self.console.expect(f"{number}\r\n")
        self.console.expect("all of it")
        self.console.send("exit\r")

    def test_c_channels_have_names_and_pass_bytes_unchanged(self):
        self.output("cat /sys/class/virtio-ports/*/name | grep org.a")
        self.output(f"head -c {len(DATA)} /dev/virtio-ports/org.a >/tmp/data &")
        self.output("while ! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/vport; do sleep 0.1; done")
        self.a.socket.sendall(DATA)
        self.assertIn(hashlib.md5(DATA).hexdigest(), self.output("wait; md5sum /tmp/data"))
        self.output("cat /tmp/data >/dev/virtio-ports/org.b")
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        while (self.folder / "b").stat().st_size < len(DATA) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual((self.folder / "b").read_bytes(), DATA)
        self.output("echo to the host >/dev/virtio-ports/org.a")
        self.a.expect("to the host\n")

    def test_z_nothing_to_complain_about(self):
        log = [line for line in self.output("dmesg -r").splitlines() if "a message of" not in line]
        self.assertEqual(unexpected_messages("\n".join(log)), [])
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")


class MmioConsoleTest(ConsoleTest):
    """A guest without PCI."""

    APPEND = "pci=off"


class TerminalTest(unittest.TestCase):
    """The terminal is the virtio console; commands come by the serial port."""

    def test_the_terminal_is_the_virtio_console(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        machine = self.enterContext(guest.Guest(
            "--console", "stdio", "--serial", f"unix:{folder}/serial", append="console=hvc0",
            initrd=INITRD, memory="256M"))
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        while not (folder / "serial").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        serial = Line(folder / "serial")
        self.addCleanup(serial.socket.close)
        serial.socket.settimeout(guest.BOOT_SECONDS)
        serial.expect("vireo# ")
        serial.send(f"{LOAD}; setsid sh -c 'exec cttyhack sh </dev/hvc0 >/dev/hvc0 2>&1'\r")
        machine.expect("vireo# ")
        self.assertIn("hvc0", machine.output("cat /sys/class/tty/console/active"))
        machine.send("\x01x")
        self.assertEqual(machine.wait(), 0)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    only = ["ConsoleTest"] if guest.ENGINE == "interpreter" else None
    unittest.main(defaultTest=only, verbosity=2)
