#!/usr/bin/python3
"""SeaBIOS from the reset vector, and GRUB and Debian's kernel from disks and a CD-ROM behind it."""
import hashlib
import random
import struct
import time
import unittest

import boot_images
import guest
from firmware_case import FirmwareCase
from known_messages import unexpected_messages
from net_test import free_port
from vnc_client import VncClient

MENU = """set timeout=100
menuentry "The first entry" { echo first }
menuentry "The second entry" { echo second }
"""
LINUX = """set timeout=0
menuentry "Linux" {
  linux /vmlinuz console=ttyS0
  initrd /ide.gz
}
"""
LOAD = "for module in /lib/modules/*; do insmod $module; done"


class FirmwareTest(FirmwareCase):
    def test_seabios_says_that_there_is_nothing_to_boot(self):
        self.start("--firmware", "seabios")
        screen = self.expect_screen("No bootable device.")
        self.assertTrue(screen.startswith("SeaBIOS (version "), screen)
        self.assertIn("Booting from Hard Disk...\nBoot failed", screen)

    def test_grub_from_an_ide_disk_shows_its_menu(self):
        disk = boot_images.grub_disk(self.folder / "disk", MENU)
        self.start("--disk", f"{disk},format=raw,interface=ide")
        screen = self.expect_screen("*The first entry", "The second entry", "executed automatically")
        lines = screen.splitlines()
        self.assertEqual(len(lines), 25)
        self.assertRegex(lines[1], "^ +GNU GRUB +version ")
        self.assertEqual(lines[3], " \u250c" + "\u2500" * 76 + "\u2510")
        self.machine.send("\x1b[B")  # cursor down, by way of the serial line
        self.expect_screen(" The first entry", "*The second entry")
        self.machine.send("\n")
        self.expect_screen("second")

    def test_grub_from_a_virtio_disk_shows_its_menu(self):
        self.start(boot_images.grub_disk(self.folder / "disk", MENU))
        self.expect_screen("*The first entry")

    def test_grub_from_a_cdrom_shows_its_menu(self):
        self.start("--cdrom", boot_images.grub_iso(self.folder / "cd.iso", MENU))
        self.expect_screen("*The first entry")

    def test_the_first_disk_that_is_given_is_booted(self):
        other = self.folder / "other"
        other.write_bytes(bytes(1 << 20))
        disk = boot_images.grub_disk(self.folder / "disk", MENU.replace("The", "Its"))
        iso = boot_images.grub_iso(self.folder / "cd.iso", MENU)
        self.start("--disk", f"{disk},format=raw,interface=ide", "--disk", f"{other},format=raw",
                   "--cdrom", iso)
        self.expect_screen("*Its first entry")

    def test_a_reset_begins_with_the_firmware_again(self):
        disk = boot_images.grub_disk(self.folder / "disk", "echo one two\nsleep 1\nreboot\n")
        self.start("--disk", f"{disk},format=raw,interface=ide")
        for _ in range(3):
            self.machine.expect("SeaBIOS")
            self.machine.expect("one two")

    def test_a_vnc_client_sees_the_screen_and_has_a_keyboard(self):
        port = free_port()
        disk = boot_images.grub_disk(self.folder / "disk", MENU)
        machine = self.start("--display", f"vnc={port}", disk)
        machine.expect(r"\*The first entry")
        with VncClient(port) as client:
            deadline = time.monotonic() + guest.COMMAND_SECONDS
            while True:
                width, height, dots = client.picture()
                bright = sum(1 for dot in dots[::4] if dot > 0x80)
                if (width, height) == (720, 400) and bright > 5000:  # the line that is selected
                    break
                self.assertLess(time.monotonic(), deadline, (width, height, bright))
                time.sleep(0.1)
            client.press(0xFF54)  # cursor down
            machine.expect(r"\*The second entry")
            client.press(0xFF0D)
            machine.expect("second")
        with VncClient(port) as client:
            self.assertEqual(client.name, "vireo")

    def test_missing_firmware_is_a_usage_error(self):
        for name in ("/nowhere/bios.bin", "/dev/null", __file__):
            with self.subTest(name):
                ended = guest.vireo("run", "--firmware", name)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""))
                self.assertIn(name, ended.stderr)


class LinuxTest(FirmwareCase):
    """Debian's kernel from an IDE disk by GRUB, with its own drivers for disks, a CD-ROM, a keyboard and a mouse."""

    def linux_disk(self):
        kernel, initrd = self.folder / "vmlinuz", self.folder / "ide.gz"
        kernel.write_bytes((guest.GUESTS / "amd64/vmlinuz").read_bytes())
        initrd.write_bytes((guest.GUESTS / "ide.cpio.gz").read_bytes())
        return boot_images.grub_disk(self.folder / "disk", LINUX, [kernel, initrd])

    def test_keys_and_a_mouse_reach_linux(self):
        port = free_port()
        machine = self.start("--display", f"vnc={port}", "--disk", f"{self.linux_disk()},format=raw,interface=ide",
                             memory="512M")
        machine.wait_for_shell()
        machine.output(LOAD)
        machine.output("while ! grep -q PS/2.*Mouse /proc/bus/input/devices; do sleep 0.1; done")
        machine.output("(head -n 1 </dev/tty1 >/tmp/line) & (head -c 9 /dev/input/mice >/tmp/mouse) & sleep 1")
        with VncClient(port) as client:
            client.press(0xFFE1, ord("V"))  # with Shift
            for keysym in (*b"nc 7", 0xFF0D):
                client.press(keysym)
            for x, y, buttons in ((10, 10, 0), (30, 15, 0), (30, 15, 1)):
                client.point(x, y, buttons)
                time.sleep(0.5)
        machine.output("wait")
        self.assertEqual(machine.output("cat /tmp/line"), "Vnc 7")
        packets = bytes.fromhex(machine.output("hexdump -v -e '1/1 \"%02x\"' /tmp/mouse; echo"))
        moves = struct.unpack("9b", packets)
        self.assertEqual((sum(moves[1::3]), sum(moves[2::3])), (30, -15))
        self.assertEqual([flags & 7 for flags in moves[::3]], [0, 0, 1])

    def test_linux_from_an_ide_disk(self):
        content = random.Random(1).randbytes(4 << 20)
        data = self.folder / "data"
        data.write_bytes(content)
        disk = self.linux_disk()
        iso = boot_images.grub_iso(self.folder / "cd.iso", MENU, [data])
        machine = self.start("--disk", f"{disk},format=raw,interface=ide", "--disk",
                             f"{data},format=raw,interface=ide", "--cdrom", iso, "--cpus", "2", memory="512M")
        machine.wait_for_shell()
        output = machine.output
        self.assertEqual(output("nproc"), "2")  # by the tables that the firmware has placed
        output(LOAD)
        output("while [ ! -b /dev/sda ] || [ ! -b /dev/sdb ] || [ ! -b /dev/sr0 ]; do sleep 0.1; done")
        # The kernel names them in the order in which it happens to be done with them.
        sizes = {name: output(f"cat /sys/block/{name}/size") for name in ("sda", "sdb")}
        name = next(name for name, size in sizes.items() if size == str(len(content) // 512))
        for drive in ("dev1.0", "dev1.1", "dev2.0"):
            self.assertEqual(output(f"cat /sys/class/ata_device/{drive}/dma_mode"), "XFER_MW_DMA_2")
        wanted = hashlib.md5(content).hexdigest()
        self.assertEqual(output(f"md5sum </dev/{name}").split()[0], wanted)
        self.assertEqual(output(f"cat /sys/block/{name}/device/vpd_pg80 | tr -cd 'a-z0-9-'; echo"),
                         "vireo-disk-1")
        output("mount -t iso9660 -o ro /dev/sr0 /root")
        self.assertEqual(output("md5sum </root/data").split()[0], wanted)
        output(f"dd if=/dev/sr0 of=/dev/{name} bs=64k count=32 conv=fsync 2>/dev/null")
        self.assertEqual(data.read_bytes()[: 2 << 20], iso.read_bytes()[: 2 << 20])
        self.assertEqual(data.read_bytes()[2 << 20 :], content[2 << 20 :])
        self.assertRegex(output("cat /proc/interrupts"), r"14: +\d+ +\d+ +IO-APIC +14-edge +ata_piix")
        self.assertEqual(unexpected_messages(output("dmesg -r")), [])
        machine.send("poweroff -f\n")
        self.assertEqual(machine.wait(), 0)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
