#!/usr/bin/python3
"""Debian's kernel and its own drivers with virtio disks and random numbers."""
import hashlib
import os
import pathlib
import random
import tempfile
import time
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
        def cpu_seconds():
            fields = pathlib.Path(f"/proc/{self.machine.process.pid}/stat").read_text()
            user, system = fields.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

        time.sleep(1)
        before = cpu_seconds()
        time.sleep(3)
        self.assertLess(cpu_seconds() - before, 1)

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


class MmioDiskTest(DiskCase):
    """A guest without PCI finds its disks by ACPI."""

    APPEND = "pci=off"
    DISKS = ["", ",readonly"]

    def test_a_disks_work_without_pci(self):
        self.assertEqual(self.md5("vda"), digest(self.before[0]))
        self.assertEqual(self.md5("vdb"), digest(self.before[1]))
        self.write_and_compare(1, 2)
        self.assertRegex(self.output("cat /proc/interrupts"), r"IO-APIC +5-fasteoi +virtio0")

    def test_y_the_kernel_has_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_z_power_off(self):
        self.assert_power_off()


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
