#!/usr/bin/python3
"""Debian's kernel and its own drivers with virtio disks and random numbers."""
import hashlib
import os
import pathlib
import random
import re
import resource
import subprocess
import tempfile
import unittest

import guest
from known_messages import unexpected_messages

MIB = 1 << 20
SIZE = 32 * MIB
INITRD = guest.GUESTS / "disk.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"


def digest(data):
    return hashlib.md5(data).hexdigest()


def image(folder, name, seed, size=SIZE):
    path = pathlib.Path(folder) / name
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


class DiskCase(unittest.TestCase):
    """One boot for all tests of a class, with disks of random bytes."""

    OPTIONS = []
    APPEND = ""
    DISKS = []  # what follows the file of each

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.images = [image(folder, f"disk{i}", i) for i in range(len(cls.DISKS))]
        cls.before = [path.read_bytes() for path in cls.images]
        options = [*cls.OPTIONS]
        for path, more in zip(cls.images, cls.DISKS):
            options += ["--disk", f"{path},format=raw{more}"]
        cls.machine = cls.enterClassContext(
            guest.Guest(*options, append=cls.APPEND, initrd=INITRD))
        cls.machine.wait_for_shell()
        cls.machine.output(LOAD)
        last = "vd" + "abc"[len(cls.DISKS) - 1]
        cls.machine.output(f"while [ ! -b /dev/{last} ]; do sleep 0.1; done")

    def output(self, command, **options):
        return self.machine.output(command, **options)

    def md5(self, device):
        return self.output(f"md5sum </dev/{device}").split()[0]

    def write_and_compare(self, offset_mib, count_mib):
        """Random bytes from the guest, which the host finds in the file after fsync."""
        self.output(f"dd if=/dev/urandom of=/tmp/data bs=1M count={count_mib} 2>/dev/null")
        self.output(f"dd if=/tmp/data of=/dev/vda bs=64k seek={offset_mib * 16} conv=fsync 2>/dev/null")
        wanted = self.output("md5sum /tmp/data; rm /tmp/data").split()[0]
        data = self.images[0].read_bytes()
        self.assertEqual(digest(data[offset_mib * MIB : (offset_mib + count_mib) * MIB]), wanted)
        return data

    def assert_power_off(self):
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")


class DiskTest(DiskCase):
    """Message-signalled interrupts, packed rings, two CPUs and two queues."""

    OPTIONS = ["--cpus", "2"]
    DISKS = ["", ",readonly", ",discard-changes"]

    def interrupts(self, name):
        lines = self.output("cat /proc/interrupts").splitlines()
        return sum(int(word) for line in lines if name in line
                   for word in line.split()[1:3])

    def test_a_the_disks_are_as_they_were_made(self):
        for name, path, content in zip(("vda", "vdb", "vdc"), self.images, self.before):
            with self.subTest(name):
                self.assertEqual(self.output(f"cat /sys/block/{name}/size"), str(SIZE // 512))
                self.assertEqual(self.md5(name), digest(content))
        self.assertEqual(self.output("cat /sys/block/vda/serial; echo"), "vireo-disk-0")
        self.assertEqual(self.output("cat /sys/block/vda/queue/physical_block_size"), "4096")
        self.assertEqual(self.output("ls /sys/block/vda/mq | wc -l"), "2")
        features = self.output("cat /sys/block/vda/device/features")
        self.assertEqual((features[32], features[34]), ("1", "1"), "VERSION_1, RING_PACKED")

    def test_b_what_is_written_is_in_the_file_after_a_flush(self):
        data = self.write_and_compare(3, 5)
        self.assertEqual(data[: 3 * MIB], self.before[0][: 3 * MIB])
        self.assertEqual(data[8 * MIB :], self.before[0][8 * MIB :])
        self.assertEqual(len(data), SIZE)

    def test_c_both_cpus_write_at_once(self):
        self.output(
            "for i in 0 1 2 3; do dd if=/dev/vdb of=/dev/vda bs=4k skip=$((i * 256)) "
            "seek=$((4096 + i * 256)) count=256 conv=fsync 2>/dev/null & done; wait")
        data = self.images[0].read_bytes()
        self.assertEqual(digest(data[16 * MIB : 20 * MIB]), digest(self.before[1][: 4 * MIB]))

    def test_d_discarded_blocks_read_as_zeroes(self):
        self.output(f"blkdiscard -o {24 * MIB} -l {MIB} /dev/vda && sync")
        data = self.images[0].read_bytes()
        self.assertEqual(data[24 * MIB : 25 * MIB], bytes(MIB))
        self.assertEqual(data[25 * MIB :], self.before[0][25 * MIB :])
        self.assertEqual(self.md5("vda"), digest(data))

    def test_a_read_only_disk_is_not_written(self):
        self.assertEqual(self.output("cat /sys/block/vdb/ro"), "1")
        self.assertNotEqual(self.machine.run("dd if=/dev/zero of=/dev/vdb count=1 conv=fsync")[0], 0)
        self.assertEqual(self.images[1].read_bytes(), self.before[1])

    def test_changes_can_be_discarded(self):
        self.output("dd if=/dev/zero of=/dev/vdc bs=64k count=32 conv=fsync 2>/dev/null")
        self.output("echo 3 >/proc/sys/vm/drop_caches")
        self.assertEqual(self.md5("vdc"), digest(bytes(2 * MIB) + self.before[2][2 * MIB :]))
        self.assertEqual(self.images[2].read_bytes(), self.before[2])

    def test_interrupts_are_messages(self):
        before = self.interrupts("virtio0-req")
        self.output("echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=1M count=4 2>&1")
        self.assertGreater(self.interrupts("virtio0-req"), before)

    def test_random_numbers_come_from_the_host(self):
        self.assertRegex(self.output("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng")
        read = "dd if=/dev/hwrng bs=64 count=64 2>/dev/null | md5sum"
        self.assertNotEqual(self.output(read), self.output(read))

    def test_an_idle_machine_needs_no_cpu(self):
        self.assertLess(guest.idle_share(self.machine.process.pid), 0.33)

    def test_y_the_kernel_has_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_z_the_file_is_what_the_guest_saw_last(self):
        last = self.md5("vda")
        self.assert_power_off()
        self.assertEqual(digest(self.images[0].read_bytes()), last)


class LegacyDiskTest(DiskCase):
    """Interrupt pins through the I/O APIC; then the driver's other half, for before 1.0."""

    APPEND = "pci=nomsi"
    DISKS = [""]

    def test_a_disk_works_with_interrupt_pins(self):
        self.assertEqual(self.md5("vda"), digest(self.before[0]))
        self.write_and_compare(1, 2)
        self.assertRegex(self.output("cat /proc/interrupts"), r"IO-APIC +\d+-fasteoi +virtio")

    def test_b_disk_works_with_registers_of_before_1_0(self):
        self.output("rmmod virtio_blk && rmmod virtio_pci")
        self.output("insmod /lib/modules/*-virtio_pci.ko force_legacy=1; insmod /lib/modules/*_blk.ko")
        self.output("while [ ! -b /dev/vda ]; do sleep 0.1; done")
        features = self.output("cat /sys/block/vda/device/features")
        self.assertEqual(features[32], "0", "VERSION_1 is not accepted")
        self.write_and_compare(5, 4)
        self.assertEqual(self.md5("vda"), digest(self.images[0].read_bytes()))

    def test_y_the_kernel_has_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_z_power_off(self):
        self.assert_power_off()


class PicDiskTest(DiskCase):
    """Interrupt pins through the PIC, found by the interrupt line registers."""

    APPEND = "pci=nomsi noapic acpi=off"
    DISKS = [""]

    def test_a_disk_works_with_the_pic(self):
        self.assertEqual(self.md5("vda"), digest(self.before[0]))
        self.write_and_compare(1, 2)
        self.assertRegex(self.output("cat /proc/interrupts"), r"XT-PIC +virtio")


class BypassCacheDiskTest(DiskCase):
    """A disk past the host's page cache; the guest's buffers are anywhere in its memory."""

    DISKS = [",cache=none"]

    @classmethod
    def setUpClass(cls):
        with tempfile.NamedTemporaryFile() as probe:
            try:
                os.close(os.open(probe.name, os.O_RDWR | os.O_DIRECT))
            except OSError as error:
                raise unittest.SkipTest(f"the folder for temporary files: {error}") from error
        super().setUpClass()

    def test_a_a_disk_works(self):
        self.assertEqual(self.md5("vda"), digest(self.before[0]))
        data = self.write_and_compare(3, 5)
        self.assertEqual(data[: 3 * MIB], self.before[0][: 3 * MIB])
        self.output("dd if=/dev/zero of=/dev/vda bs=512 seek=3 count=1 conv=fsync 2>/dev/null")
        self.assertEqual(self.images[0].read_bytes()[: 4096],
                         data[:1536] + bytes(512) + data[2048:4096])

    def test_z_power_off(self):
        self.assert_power_off()


class MmioDiskTest(DiskCase):
    """A guest without PCI finds its disks by ACPI."""

    APPEND = "pci=off"
    DISKS = ["", ",readonly"]

    def test_a_disks_work_without_pci(self):
        self.assertEqual(self.md5("vda"), digest(self.before[0]))
        self.assertEqual(self.md5("vdb"), digest(self.before[1]))
        self.write_and_compare(1, 2)
        self.assertRegex(self.output("cat /proc/interrupts"), r"IO-APIC +5-fasteoi +virtio0")
        self.assertRegex(self.output("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng")
        self.output("[ $(dd if=/dev/hwrng bs=64 count=64 2>/dev/null | wc -c) = 4096 ]")

    def test_y_the_kernel_has_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_z_power_off(self):
        self.assert_power_off()


class AnnouncedDiskTest(unittest.TestCase):
    """A guest that looks for neither PCI nor ACPI is told on its command line. Debian has no driver for that:
    what is there is looked at by hand."""

    def test_the_command_line_says_where_a_disk_is(self):
        with tempfile.TemporaryDirectory() as folder:
            disk = image(folder, "disk", 1, MIB)
            machine = self.enterContext(guest.Guest("--disk", f"{disk},format=raw", append="pci=off acpi=off", initrd=INITRD))
            machine.wait_for_shell()
            window = re.search(r"virtio_mmio.device=4K@(0x\w+):5", machine.output("cat /proc/cmdline"))
            self.assertTrue(window)
            base = int(window[1], 16)
            self.assertEqual(machine.output(f"devmem {base}"), "0x74726976", "virt")
            self.assertEqual(machine.output(f"devmem {base + 8}"), "0x00000002", "a disk")


class FullHostCase:
    """What the host has room for ends before the disk does: the guest hears of it, and so does the user."""

    ROOM = 4 * MIB

    def boot(self, folder):
        self.image = pathlib.Path(folder) / "disk.qcow2"
        self.shell(f"qemu-img create -q -f qcow2 {self.image} 32M")
        self.machine = self.enterContext(guest.Guest("--disk", self.image, initrd=INITRD))
        self.machine.wait_for_shell()
        self.machine.output(LOAD)
        self.machine.output("while [ ! -b /dev/vda ]; do sleep 0.1; done")

    def shell(self, command):
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def fill(self, reason):
        output = self.machine.output
        output("dd if=/dev/urandom of=/tmp/data bs=1M count=1 2>/dev/null")
        output("dd if=/tmp/data of=/dev/vda bs=64k conv=fsync 2>/dev/null")
        status, text = self.machine.run("dd if=/dev/urandom of=/dev/vda bs=64k seek=16 count=200 conv=fsync")
        self.assertNotEqual(status, 0, text)
        self.assertIn("Input/output error", text)
        told = self.machine.errors()
        self.assertEqual(len(told.splitlines()), 1, told)
        self.assertIn(f"the qcow2 image {self.image} cannot be written: {reason}", told)

    def assert_sound(self):
        """What was flushed before is there, what the guest lets go of makes room, and no damage is left."""
        output = self.machine.output
        output("blkdiscard -o 2097152 -l 31457280 /dev/vda && echo 3 >/proc/sys/vm/drop_caches")
        output("dd if=/tmp/data of=/dev/vda bs=64k seek=64 conv=fsync 2>&1")
        wanted = output("md5sum </tmp/data")
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(len(self.machine.errors().splitlines()), 1, "once is enough")
        self.shell(f"qemu-img check -q -f qcow2 {self.image}")
        raw = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "raw"
        self.shell(f"qemu-img convert -f qcow2 -O raw {self.image} {raw}")
        data = raw.read_bytes()
        for start in (0, 4):
            self.assertEqual(digest(data[start * MIB : (start + 1) * MIB]), wanted.split()[0])


class FullHostDiskTest(FullHostCase, unittest.TestCase):
    def test_a_full_host_disk_is_an_error_of_the_guests_disk(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.ROOM}", "none", folder], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("only root makes a file system that is full so soon")
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        self.boot(folder)
        self.fill("No space left on device")
        self.assert_sound()


class FileSizeLimitTest(FullHostCase, unittest.TestCase):
    def test_so_is_the_limit_on_the_size_of_files(self):
        self.boot(self.enterContext(tempfile.TemporaryDirectory()))
        process = self.machine.process.pid
        hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process, resource.RLIMIT_FSIZE, (self.ROOM, hard))
        self.fill("File too large")
        self.assert_sound()


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
