#!/usr/bin/python3
"""Debian's kernel and its own driver with virtio network cards: to the host, and to each other."""
import contextlib
import hashlib
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import guest
import tiny_guest
from known_messages import unexpected_messages

MIB = 1 << 20
INITRD = guest.GUESTS / "net.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"
DHCP = "ip link set eth0 up && udhcpc -i eth0 -n -q -s /bin/dhcp_lease >/dev/null 2>&1"
SIZE = (24 if guest.ENGINE != "interpreter" else 6) * MIB
DATA = random.Random(1).randbytes(SIZE)
DIGEST = hashlib.md5(DATA).hexdigest()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class HostServer:
    """A TCP server on the host: who says `get` gets DATA, whatever else comes is summed up."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.digests = []
        self.summed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            if connection.recv(4) == b"get\n":
                return connection.sendall(DATA)
            digest = hashlib.md5()
            while data := connection.recv(MIB):
                digest.update(data)
            self.digests.append(digest.hexdigest())
            self.summed.set()


def boot(stack, *options, append="", memory="256M"):
    machine = stack(guest.Guest(*options, append=append, initrd=INITRD, memory=memory))
    machine.wait_for_shell()
    machine.output(LOAD)
    machine.output("while [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done")
    return machine


class UserNetworkCase(unittest.TestCase):
    """A guest with an address by DHCP, and a server on the host."""

    OPTIONS = []
    APPEND = ""
    MORE = ""  # behind the network's other options

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(HostServer())
        cls.forwarded = free_port()
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.pcap = folder / "frames.pcap"
        net = f"user,forward=tcp:{cls.forwarded}:9000,pcap={cls.pcap}{cls.MORE}"
        cls.machine = boot(cls.enterClassContext, *cls.OPTIONS, "--net", net, append=cls.APPEND)
        cls.machine.output(DHCP)

    def output(self, command, **options):
        return self.machine.output(command, **options)

    def fetch(self):
        """From the host; what came is left in /tmp/data."""
        got = self.output(f"echo get | nc 10.0.2.2 {self.server.port} >/tmp/data; md5sum </tmp/data")
        self.assertEqual(got.split()[0], DIGEST)

    def send_back(self):
        self.server.summed.clear()
        self.output(f"(echo put; cat /tmp/data) | nc 10.0.2.2 {self.server.port}")
        self.assertTrue(self.server.summed.wait(guest.COMMAND_SECONDS))
        self.assertEqual(self.server.digests.pop(), DIGEST)

    def assert_both_directions(self):
        self.fetch()
        self.send_back()

    def assert_quiet_end(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")


class UserNetworkTest(UserNetworkCase):
    OPTIONS = ["--cpus", "2"]

    def test_a_the_guest_has_an_address_a_router_and_a_name_server(self):
        self.assertIn("inet 10.0.2.15/24", self.output("ip addr show dev eth0"))
        self.assertIn("default via 10.0.2.2", self.output("ip route"))
        self.assertEqual(self.output("cat /etc/resolv.conf"), "nameserver 10.0.2.3")
        self.assertEqual(self.output("cat /sys/class/net/eth0/address"), "02:56:52:00:00:00")
        # Linux takes up to a second to say so.
        self.output("while [ $(cat /sys/class/net/eth0/operstate) != up ]; do sleep 0.1; done")
        self.output("ping -c 1 10.0.2.2")

    def test_b_tens_of_megabytes_pass_unchanged_in_both_directions(self):
        self.assert_both_directions()

    def test_c_the_host_reaches_a_server_in_the_guest(self):
        self.output(f"(nc -l -p 9000 | md5sum >/tmp/sum) & {guest.listening(9000)}")
        with socket.create_connection(("127.0.0.1", self.forwarded)) as connection:
            connection.sendall(DATA)
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(1), b"")
        self.assertIn(DIGEST, self.output("wait; cat /tmp/sum"))

    def test_d_each_cpu_has_queues_of_its_own(self):
        """What CPU 1 sends and gets goes through the second pair."""
        def interrupts():
            line = next(line for line in self.output("cat /proc/interrupts").splitlines()
                        if "input.1" in line)
            return sum(map(int, line.split()[1:3]))

        self.assertEqual(self.output("ls /sys/class/net/eth0/queues").split(),
                         ["rx-0", "rx-1", "tx-0", "tx-1"])
        before = interrupts()
        got = self.output(f"echo get | taskset 2 nc 10.0.2.2 {self.server.port} | md5sum")
        self.assertEqual(got.split()[0], DIGEST)
        self.assertGreater(interrupts(), before)

    def test_e_an_address_where_nobody_listens_refuses(self):
        self.assertNotEqual(self.machine.run(f"nc -w 5 10.0.2.2 {free_port()} </dev/null")[0], 0)

    def test_f_connections_at_once_do_not_mix(self):
        command = f"(echo get | nc 10.0.2.2 {self.server.port} | head -c {MIB} | md5sum >/tmp/sum$i)"
        self.output(f"for i in 1 2 3 4; do {command} & done; wait")
        sums = self.output("cat /tmp/sum?").split()[::2]
        self.assertEqual(sums, 4 * [hashlib.md5(DATA[:MIB]).hexdigest()])

    def test_g_a_guest_that_stops_reading_stops_the_host(self):
        """And what it has not read is neither lost nor kept in this process."""
        self.output(f"(echo get | nc 10.0.2.2 {self.server.port} | (sleep 3; md5sum) >/tmp/late) &")
        time.sleep(2)
        pages = int(pathlib.Path(f"/proc/{self.machine.process.pid}/statm").read_text().split()[1])
        self.output("wait")
        self.assertIn(DIGEST, self.output("cat /tmp/late"))
        self.assertLess(pages * os.sysconf("SC_PAGE_SIZE"), 500 * MIB)

    def test_h_an_idle_machine_needs_no_cpu(self):
        self.assertLess(guest.idle_share(self.machine.process.pid), 0.35)

    def test_y_frames_are_in_the_file(self):
        data = self.pcap.read_bytes()
        self.assertEqual(struct.unpack("<IHHIIII", data[:24])[::6], (0xA1B23C4D, 1))
        at, types, longest = 24, set(), 0
        while at < len(data):
            _, nanoseconds, stored, original = struct.unpack_from("<IIII", data, at)
            self.assertEqual(stored, original)
            self.assertLess(nanoseconds, 10**9)
            types.add(struct.unpack_from(">H", data, at + 16 + 12)[0])
            longest = max(longest, stored)
            at += 16 + stored
        self.assertEqual(at, len(data), "the last record is whole")
        self.assertLessEqual({0x0800, 0x0806}, types, "IPv4 and ARP")
        self.assertGreater(longest, 20000, "streams come in few large frames")
        self.assertGreater(len(data), 2 * SIZE)

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class PlainNetworkTest(UserNetworkCase):
    """Interrupt pins; then registers of before 1.0, and frames that the guest finishes."""

    APPEND = "pci=nomsi"

    def test_a_a_card_works_with_interrupt_pins(self):
        self.assert_both_directions()
        self.assertRegex(self.output("cat /proc/interrupts"), r"IO-APIC +\d+-fasteoi +virtio")

    def test_b_a_driver_of_before_1_0(self):
        self.output("rmmod virtio_net && rmmod virtio_pci")
        self.output("insmod /lib/modules/*-virtio_pci.ko force_legacy=1")
        self.output("insmod /lib/modules/*-virtio_net.ko napi_weight=16 csum=0 gso=0")
        self.output("while [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done")
        features = self.output("cat /sys/class/net/eth0/device/features")
        self.assertEqual(features[32], "0", "VERSION_1 is not accepted")
        self.output(DHCP)
        self.assert_both_directions()

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class MmioNetworkTest(UserNetworkCase):
    """A guest without PCI finds its card by ACPI."""

    APPEND = "pci=off"

    def test_a_a_card_works_without_pci(self):
        self.assert_both_directions()
        self.assertRegex(self.output("cat /proc/interrupts"), r"IO-APIC +5-fasteoi +virtio0")

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class LimitedNetworkTest(UserNetworkCase):
    """A network with a rate: streams get what it says, in each direction, and not much less."""

    MBIT = 80
    MORE = f",rate={MBIT}Mbit"

    def test_a_streams_get_their_rate(self):
        wanted = SIZE * 8 / (self.MBIT * 1e6)
        for transfer in (self.fetch, self.send_back):
            with self.subTest(transfer.__name__):
                for _ in range(3):  # what a busy host takes from us is not the network's
                    before = time.monotonic()
                    transfer()
                    took = time.monotonic() - before
                    self.assertGreater(took, wanted * 0.9)
                    if took < wanted * 4 + 5:
                        break
                self.assertLess(took, wanted * 4 + 5)

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class SwitchTest(unittest.TestCase):
    """Two guests on one switch, which a third machine has made."""

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = folder
        cls.addClassCleanup(lambda: os.environ.update(XDG_RUNTIME_DIR=before) if before
                            else os.environ.pop("XDG_RUNTIME_DIR"))
        kernel = pathlib.Path(folder) / "kernel"
        kernel.write_bytes(tiny_guest.kernel(tiny_guest.stack() + tiny_guest.say("up\n")
                                             + tiny_guest.HALT))
        cls.holder = cls.enterClassContext(guest.Guest(
            "--net", "switch=lab", kernel=kernel, initrd=None, memory="16M"))
        cls.holder.expect("^up\n")
        cls.machines = [boot(cls.enterClassContext, "--net", "switch=lab") for _ in range(2)]
        for number, machine in enumerate(cls.machines, 1):
            machine.output(f"ip link set eth0 up; ip addr add 10.9.8.{number}/24 dev eth0")

    def transfer(self, meanwhile=lambda: None):
        first, second = self.machines
        second.output(f"rm -f /tmp/sum; (nc -l -p 9000 | md5sum >/tmp/sum) & {guest.listening(9000)}")
        # The same bytes again and again, so that it takes a while and is known beforehand.
        first.output("dd if=/dev/zero bs=1M count=1 2>/dev/null | tr '\\0' x >/tmp/x")
        first.output(f"(for i in $(seq {SIZE // MIB}); do cat /tmp/x; done | nc 10.9.8.2 9000) &")
        meanwhile()
        first.output("wait")
        self.assertIn(hashlib.md5(b"x" * SIZE).hexdigest(), second.output("wait; cat /tmp/sum"))

    def test_a_the_machines_have_addresses_of_their_own(self):
        addresses = [m.output("cat /sys/class/net/eth0/address") for m in self.machines]
        self.assertNotEqual(*addresses)
        self.assertTrue(all(address.startswith("02:56:52:") for address in addresses))

    def test_b_they_talk(self):
        self.machines[0].output("ping -c 1 10.9.8.2")
        self.transfer()

    def test_c_and_go_on_when_the_machine_that_holds_the_switch_is_killed(self):
        def end_holder():
            time.sleep(0.3)
            self.holder.process.send_signal(signal.SIGKILL)

        self.transfer(end_holder)
        self.transfer()

    def test_z_nothing_to_complain_about(self):
        for machine in self.machines:
            self.assertEqual(unexpected_messages(machine.output("dmesg -r")), [])
            machine.send("poweroff -f\n")
            self.assertEqual(machine.wait(), 0)
            self.assertEqual(machine.errors(), "")


class TapTest(unittest.TestCase):
    """A guest on a tap of the host, where that may be made."""

    NAME, HOST, GUEST = "vireo-guest", "10.9.7.1", "10.9.7.2"

    @classmethod
    def setUpClass(cls):
        def ip(*words):
            return subprocess.run(["ip", *words], capture_output=True, text=True).returncode == 0

        try:
            made = ip("tuntap", "add", "dev", cls.NAME, "mode", "tap")
        except FileNotFoundError:
            made = False
        if not made:
            raise unittest.SkipTest("no tap can be made here: it takes root and the package iproute2")
        cls.addClassCleanup(ip, "link", "del", cls.NAME)
        ip("addr", "add", f"{cls.HOST}/24", "dev", cls.NAME)
        ip("link", "set", cls.NAME, "up")
        cls.machine = boot(cls.enterClassContext, "--net", f"tap={cls.NAME},mac=02:56:52:aa:bb:cc")
        cls.machine.output(f"ip link set eth0 up; ip addr add {cls.GUEST}/24 dev eth0")

    def test_a_data_passes_in_both_directions(self):
        self.assertEqual(self.machine.output("cat /sys/class/net/eth0/address"), "02:56:52:aa:bb:cc")
        self.machine.output(f"ping -c 1 {self.HOST}")
        self.machine.output(f"(nc -l -p 9000 | tee /tmp/data | md5sum >/tmp/sum) & {guest.listening(9000)}")
        with socket.create_connection((self.GUEST, 9000), 10) as connection:
            connection.sendall(DATA)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        self.assertIn(DIGEST, self.machine.output("wait; cat /tmp/sum"))
        with socket.create_server((self.HOST, 0)) as server:
            server.settimeout(30)
            self.machine.output(f"nc {self.HOST} {server.getsockname()[1]} </tmp/data &")
            connection, _ = server.accept()
            digest = hashlib.md5()
            with connection:
                while data := connection.recv(MIB):
                    digest.update(data)
            self.assertEqual(digest.hexdigest(), DIGEST)

    def test_b_a_tap_serves_one_machine(self):
        other = guest.vireo("run", "--kernel", guest.KERNEL, "--net", f"tap={self.NAME}")
        self.assertEqual(other.returncode, 3)
        self.assertIn("in use", other.stderr)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    # Cards do the same on every engine: one network is enough for the slow one.
    only = ["MmioNetworkTest"] if guest.ENGINE == "interpreter" else None
    unittest.main(defaultTest=only, verbosity=2)
