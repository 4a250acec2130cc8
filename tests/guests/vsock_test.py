#!/usr/bin/python3
"""Debian's kernel and its own driver with sockets between guest and host."""
import hashlib
import pathlib
import random
import socket
import tempfile
import threading
import time
import unittest

import guest
from known_messages import unexpected_messages

MIB = 1 << 20
INITRD = guest.GUESTS / "vsock.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"
SIZE = (2 if guest.ENGINE == "interpreter" else 16) * MIB
DATA = random.Random(1).randbytes(SIZE)
DIGEST = hashlib.md5(DATA).hexdigest()


def receive_all(connection):
    digest = hashlib.md5()
    while data := connection.recv(MIB):
        digest.update(data)
    return digest.hexdigest()


class VsockTest(unittest.TestCase):
    APPEND = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.machine = cls.enterClassContext(guest.Guest(
            "--vsock", f"cid=42,dir={cls.folder}", "--cpus", "2", append=cls.APPEND, initrd=INITRD, memory="256M"))
        cls.machine.wait_for_shell()
        cls.output(LOAD)

    @classmethod
    def output(cls, command, **options):
        return cls.machine.output(command, **options)

    def listen(self, port, kind=socket.SOCK_STREAM):
        server = self.enterContext(socket.socket(socket.AF_UNIX, kind))
        server.bind(str(self.folder / str(port)))
        self.addCleanup((self.folder / str(port)).unlink)
        server.listen()
        server.settimeout(60)
        return server

    def connect(self, port):
        """To a port of the guest; the stream, and the line that answered."""
        connection = self.enterContext(socket.socket(socket.AF_UNIX))
        connection.settimeout(60)
        connection.connect(str(self.folder / "connect"))
        connection.sendall(f"CONNECT {port}\n".encode())
        line = b""
        while not line.endswith(b"\n"):
            data = connection.recv(1)
            if not data:
                break
            line += data
        return connection, line.decode()

    def test_a_the_guest_reaches_the_host(self):
        server = self.listen(7000)
        self.machine.send("echo question | probe connect 7000 >/tmp/answer\n")
        connection, _ = server.accept()
        with connection:
            self.assertEqual(connection.recv(100), b"question\n")
            self.assertEqual(connection.recv(100), b"", "half of it is closed")
            connection.sendall(b"an answer\n")
        self.assertEqual(self.output("cat /tmp/answer"), "an answer")

    def test_b_nobody_listens(self):
        status, text = self.machine.run("probe connect 7001 </dev/null")
        self.assertEqual(status, 1)
        self.assertIn("Connection reset", text)
        self.assertEqual(self.connect(7002)[1], "")

    def test_c_the_host_reaches_the_guest(self):
        self.output("(echo hello | probe listen 7003 >/tmp/heard) &")
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        line = ""
        while not line and time.monotonic() < deadline:  # until it listens
            connection, line = self.connect(7003)
        self.assertRegex(line, r"^OK \d+$")
        self.assertEqual(connection.recv(100), b"hello\n")
        connection.sendall(b"from the host\n")
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(self.output("wait; cat /tmp/heard"), "from the host")

    def test_d_megabytes_pass_unchanged_in_both_directions(self):
        server = self.listen(7004)
        self.output("(probe connect 7004 </dev/null >/tmp/data) & sleep 0.1")
        connection, _ = server.accept()
        with connection:
            connection.sendall(DATA)
        self.assertIn(DIGEST, self.output("wait; md5sum /tmp/data"))
        self.output("(probe connect 7004 </tmp/data) & sleep 0.1")
        connection, _ = server.accept()
        with connection:
            self.assertEqual(receive_all(connection), DIGEST)
        self.output("wait")

    def test_e_streams_at_once_do_not_mix_and_slow_readers_stop_their_senders(self):
        server = self.listen(7005)
        self.output("for i in 1 2 3 4; do (probe connect 7005 </tmp/data >/tmp/out$i) & done")
        connections = [self.enterContext(server.accept()[0]) for _ in range(4)]
        digests = []
        readers = [threading.Thread(target=lambda c=c: digests.append(receive_all(c)))
                   for c in connections[1:]]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self.assertEqual(digests, 3 * [DIGEST], "one that is not read holds none of the others up")
        for connection in connections:
            connection.sendall(b"done")
        self.assertEqual(receive_all(connections[0]), DIGEST)
        for connection in connections:
            connection.close()
        self.assertEqual(self.output("wait; cat /tmp/out?; echo"), 4 * "done")

    def expect_echoes(self, connection):
        connection.settimeout(60)
        for size in [1, 2, 4096, 4097, 60_000, 100_000] + 50 * [333]:
            connection.send(DATA[:size])
            self.assertEqual(connection.recv(MIB), DATA[:size])
        for size in range(1, 10):
            connection.send(DATA[:size])
        for size in range(1, 10):
            self.assertEqual(connection.recv(MIB), DATA[:size])
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(connection.recv(MIB), b"")

    def test_f_messages_keep_their_ends_when_the_guest_connects(self):
        server = self.listen(7006, socket.SOCK_SEQPACKET)
        self.output("(probe connect-messages 7006 >/tmp/said 2>&1; echo $? >>/tmp/said) & sleep 0.1")
        with server.accept()[0] as connection:
            self.expect_echoes(connection)
        self.assertEqual(self.output("wait; cat /tmp/said"), "0")
        status, text = self.machine.run("probe connect 7006 </dev/null")
        self.assertEqual(status, 1, text)

    def test_g_messages_keep_their_ends_when_the_host_connects(self):
        self.output("(probe listen-messages 7007 >/tmp/said 2>&1; echo $? >>/tmp/said) & sleep 1")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(60)
            connection.connect(str(self.folder / "connect-messages"))
            connection.send(b"CONNECT 7007\n")
            self.assertRegex(connection.recv(100), rb"^OK \d+\n$")
            self.expect_echoes(connection)
        self.assertEqual(self.output("wait; cat /tmp/said"), "0")

    def test_z_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")
        self.assertEqual(list(self.folder.iterdir()), [])


class MmioVsockTest(VsockTest):
    """A guest without PCI."""

    APPEND = "pci=off"


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    only = ["VsockTest"] if guest.ENGINE == "interpreter" else None
    unittest.main(defaultTest=only, verbosity=2)
