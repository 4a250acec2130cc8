#!/usr/bin/python3
"""Debian's kernel and its own driver with a balloon: memory goes back to the host."""
import os
import pathlib
import time
import unittest

import guest
from known_messages import unexpected_messages

MIB = 1 << 20
INITRD = guest.GUESTS / "balloon.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"
FILE = 96  # MiB


class BalloonCase(unittest.TestCase):
    OPTIONS = []
    APPEND = ""

    @classmethod
    def setUpClass(cls):
        cls.machine = cls.enterClassContext(guest.Guest(*cls.OPTIONS, append=cls.APPEND, initrd=INITRD, memory="384M"))
        cls.machine.wait_for_shell()

    @classmethod
    def output(cls, command, **options):
        return cls.machine.output(command, **options)

    def kept(self):
        """MiB that the host keeps for the guest."""
        process = pathlib.Path(f"/proc/{self.machine.process.pid}/fd")
        for link in process.iterdir():
            if "guest-memory" in os.readlink(link):
                return link.stat().st_blocks * 512 / MIB
        raise AssertionError("no guest memory")

    def free(self):
        return int(self.output("awk '/^MemFree/ {print $2}' /proc/meminfo")) / 1024

    def wait_until(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s; the host keeps {self.kept()} MiB")
            time.sleep(0.3)

    def use_and_free(self):
        """Fills memory and frees it again; what the host kept meanwhile."""
        self.output(f"dd if=/dev/zero of=/tmp/file bs=1M count={FILE} 2>/dev/null")
        used = self.kept()
        self.output("rm /tmp/file")
        return used

    def assert_quiet_end(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")


class ReportingTest(BalloonCase):
    """Without any option: what is free goes back by itself."""

    def test_a_without_the_driver_nothing_goes_back(self):
        used = self.use_and_free()
        time.sleep(3)
        self.assertGreater(self.kept(), used - 10)

    def test_b_free_memory_goes_back(self):
        before = self.kept()
        self.output(LOAD)
        self.wait_until(lambda: self.kept() < before - FILE * 0.8)
        used = self.use_and_free()
        self.wait_until(lambda: self.kept() < used - FILE * 0.8)
        self.output(f"dd if=/dev/zero of=/tmp/file bs=1M count={FILE} 2>/dev/null; md5sum /tmp/file; rm /tmp/file")

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class MmioReportingTest(ReportingTest):
    """A guest without PCI."""

    APPEND = "pci=off"


class InflatedTest(BalloonCase):
    OPTIONS = ["--balloon", "128M"]

    def test_a_the_guest_does_without_what_it_is_asked_for(self):
        before = self.free()
        self.output(LOAD)
        self.wait_until(lambda: self.free() < before - 120)
        self.wait_until(lambda: self.kept() < 384 - 120)

    def test_b_it_takes_memory_back_before_it_dies(self):
        self.output("mount -o remount,size=100% /tmp || mount -t tmpfs -o size=100% tmpfs /tmp")
        size = int(self.free() + 64)
        self.output(f"dd if=/dev/zero of=/tmp/file bs=1M count={size} 2>/dev/null && rm /tmp/file")

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    only = ["ReportingTest"] if guest.ENGINE == "interpreter" else None
    unittest.main(defaultTest=only, verbosity=2)
