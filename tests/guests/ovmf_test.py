#!/usr/bin/python3
"""OVMF, the UEFI firmware: to its shell, and what its drivers find from there."""
import signal
import struct
import unittest
import zlib

import boot_images
import guest
from firmware_case import FirmwareCase
from known_messages import unexpected_messages

OVMF = guest.GUESTS / "ovmf/usr/share/ovmf/OVMF.fd"
CODE = guest.GUESTS / "ovmf/usr/share/OVMF/OVMF_CODE_4M.fd"
GUID = "-guid 12345678-1234-1234-1234-123456789abc"
VARIABLES = guest.GUESTS / "ovmf/usr/share/OVMF/OVMF_VARS_4M.fd"


class OvmfTest(FirmwareCase):
    def shell(self, command):
        """What the shell answers."""
        self.machine.send(command + "\r")
        start = self.machine.expect(command).end()
        end = self.machine.expect("Shell> ").start()
        return self.machine.console[start:end]

    def to_the_shell(self, *options, firmware=OVMF, **more):
        machine = self.start("--firmware", firmware, "--net", "none", *options, **more)
        machine.expect("UEFI Interactive Shell", guest.BOOT_SECONDS)
        machine.expect("Press ESC in . seconds")
        machine.send("\x1b")
        machine.expect("Shell> ")
        return machine

    def test_the_shell_sees_disks_and_files(self):
        note = self.folder / "note.txt"
        note.write_text("from a disk\r\n")
        ide, virtio = (boot_images.grub_disk(self.folder / name, "", [note]) for name in ("ide", "virtio"))
        machine = self.to_the_shell("--disk", f"{ide},format=raw,interface=ide", "--disk", f"{virtio},format=raw", memory="128M")
        self.assertIn("a picture of 1280 x 800", self.screen())
        self.assertRegex(self.shell("ver"), r"UEFI v2\.\d+ \(EDK II")
        self.assertRegex(self.shell("map"), r"(?s)FS0:.*FS1:")
        self.assertIn("from a disk", self.shell("type fs0:note.txt"))
        self.assertIn("from a disk", self.shell("type fs1:note.txt"))
        machine.send("reset -s\r")  # by the power management registers, where it has put them
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")

    def test_the_picture_of_the_screen_is_saved(self):
        picture = self.folder / "screen.png"
        machine = self.to_the_shell("--display", f"png:{picture}", memory="128M")
        machine.send("reset -s\r")
        self.assertEqual(machine.wait(), 0)
        data = picture.read_bytes()
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">II", data[16:24]), (1280, 800))
        at, rows = 8, b""
        while at < len(data):
            size, kind = struct.unpack(">I4s", data[at : at + 8])
            rows += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
            at += size + 12
        dots = zlib.decompress(rows)
        self.assertEqual(len(dots), 800 * (1 + 3 * 1280))
        self.assertGreater(sum(1 for byte in dots if byte != 0), 5000, "letters")

    def test_linux_is_started_by_uefi(self):
        """Debian's kernel is a UEFI program. Its tables say what the firmware has done."""
        kernel, initrd = self.folder / "vmlinuz", self.folder / "ide.gz"
        kernel.write_bytes((guest.GUESTS / "amd64/vmlinuz").read_bytes())
        initrd.write_bytes((guest.GUESTS / "ide.cpio.gz").read_bytes())
        disk = boot_images.grub_disk(self.folder / "disk", "", [kernel, initrd])
        machine = self.to_the_shell("--disk", f"{disk},format=raw", "--cpus", "2", memory="512M")
        machine.send("fs0:vmlinuz initrd=\\ide.gz console=ttyS0\r")
        machine.wait_for_shell()
        self.assertEqual(machine.output("nproc"), "2")
        log = machine.output("dmesg -r")
        self.assertIn("ACPI: PM-Timer IO Port: 0xb008", log)
        self.assertIn("efifb", machine.output("cat /proc/iomem"))
        self.assertEqual(unexpected_messages(log), [])
        machine.send("poweroff -f\n")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")

    def test_what_it_remembers_is_there_the_next_time(self):
        variables = self.folder / "variables.fd"
        variables.write_bytes(VARIABLES.read_bytes())
        script = self.folder / "fill.nsh"  # more than the flash has room for, if nothing were ever erased
        script.write_text(f"@echo -off\r\nfor %i run (1 140)\r\n  setvar Large {GUID} -nv -bs =\"{'x' * 2000}%i\"\r\nendfor\r\n")
        disk = boot_images.grub_disk(self.folder / "disk", "", [script])

        def again():
            return self.to_the_shell("--firmware-variables", variables, "--disk", f"{disk},format=raw",
                                     firmware=CODE, memory="128M")

        machine = again()
        self.shell(f'setvar Note {GUID} -nv -rt -bs ="kept"')
        self.assertIn("Add Boot", self.shell('bcfg boot add 0 fs0:fill.nsh "an entry of ours"'))
        machine.send("reset -s\r")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")

        machine = again()
        self.assertIn(b"kept".hex(" "), self.shell(f"setvar Note {GUID}").lower())
        self.assertIn("an entry of ours", self.shell("bcfg boot dump"))
        self.shell("fs0:fill.nsh")
        machine.process.send_signal(signal.SIGKILL)  # what was said to be kept is
        machine.wait()

        machine = again()
        self.assertIn("an entry of ours", self.shell("bcfg boot dump"))
        self.assertIn(b"x140".hex(" "), self.shell(f"setvar Large {GUID}").lower())
        machine.send("reset -s\r")
        self.assertEqual(machine.wait(), 0)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
