#!/usr/bin/python3
"""OVMF, the UEFI firmware: to its shell, and what its drivers find from there."""
import unittest

import boot_images
import guest
from firmware_case import FirmwareCase

OVMF = guest.GUESTS / "ovmf/usr/share/ovmf/OVMF.fd"


class OvmfTest(FirmwareCase):
    def shell(self, command):
        """What the shell answers."""
        self.machine.send(command + "\r")
        self.machine.expect(command)
        start = len(self.machine.console)
        self.machine.expect("Shell> ")
        return self.machine.console[start:]

    def test_the_shell_sees_disks_and_files(self):
        note = self.folder / "note.txt"
        note.write_text("from a disk\r\n")
        ide, virtio = (boot_images.grub_disk(self.folder / name, "", [note]) for name in ("ide", "virtio"))
        machine = self.start("--firmware", OVMF, "--disk", f"{ide},format=raw,interface=ide", "--disk",
                             f"{virtio},format=raw", "--net", "none", "--no-reboot",
                             memory="128M")
        machine.expect("UEFI Interactive Shell", guest.BOOT_SECONDS)
        machine.expect("Press ESC in . seconds")
        machine.send("\x1b")
        machine.expect("Shell> ")
        self.assertIn("a picture of 1280 x 800", self.screen())
        self.assertRegex(self.shell("ver"), r"UEFI v2\.\d+ \(EDK II")
        self.assertRegex(self.shell("map"), r"(?s)FS0:.*FS1:")
        self.assertIn("from a disk", self.shell("type fs0:note.txt"))
        self.assertIn("from a disk", self.shell("type fs1:note.txt"))
        machine.send("reset -c\r")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
