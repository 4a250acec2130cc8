#!/usr/bin/python3
"""Memtest86+: its tests of memory find none that is bad. Read from the screen, told what to do by the serial line.

With --fade also the test that waits whether memory forgets: two passes take twelve minutes.
usage: memtest_test.py [--fade] [--memory SIZE] [--passes N]
"""
import argparse
import re
import time
import unittest

import boot_images
import guest
from firmware_case import FirmwareCase

MEMTEST = guest.GUESTS / "memtest86+/boot/memtest86+x64.bin"
CONFIG = """set timeout=0
menuentry "Memtest86+" { linux16 /memtest86+x64.bin console=ttyS0,115200 }
"""
PASS_SECONDS = 200  # without --fade, on slow engines with little memory


class MemtestTest(FirmwareCase):
    options = argparse.Namespace(fade=False, memory="16M", passes=2 if guest.ENGINE != "interpreter" else 1)

    def leave_out_the_test_that_waits(self):
        machine = self.machine
        machine.send("1")
        self.expect_screen("Settings:", "Test selection")
        machine.send("1")
        self.expect_screen("Test Selection:", "0─────────10\n" + " " * 24 + "*.*********")
        machine.send("2")
        self.expect_screen("Enter test #")
        machine.send("10\n")
        self.expect_screen("*.********.")
        machine.send("0")
        self.expect_screen("Settings:", "Test selection")
        machine.send("0")

    def test_no_error_is_found(self):
        iso = boot_images.grub_iso(self.folder / "memtest.iso", CONFIG, [MEMTEST])
        self.start("--cdrom", iso, "--net", "none", memory=self.options.memory)
        self.expect_screen("Memtest86+ v", "Vireo virtual CPU", "Status: Init.")
        if not self.options.fade:
            self.leave_out_the_test_that_waits()
            self.machine.send("\n")
        screen = self.expect_screen("Status: Testing")
        self.assertRegex(screen, rf"Memory +: +{self.options.memory}B ")
        seen = set()
        seconds = self.options.passes * (PASS_SECONDS + (1000 if self.options.fade else 0))
        deadline = time.monotonic() + seconds
        passes = 0
        while passes < self.options.passes:
            self.assertLess(time.monotonic(), deadline, screen)
            time.sleep(0.2)
            screen = self.screen()
            match = re.search(r"Test #(\d+)", screen)
            if match:
                seen.add(int(match[1]))
            # The line may be read while it is drawn.
            match = re.search(r"Pass: +(\d+) +Errors: (\d+) *$", screen, re.M)
            if match:
                self.assertEqual(match[2], "0", screen)
                passes = int(match[1])
        self.assertIn("######      ##      #####    #####", screen)  # the banner: PASS
        self.assertGreater(len(seen), 3, seen)
        self.assertEqual(self.machine.errors(), "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fade", action="store_true")
    parser.add_argument("--memory", default=MemtestTest.options.memory)
    parser.add_argument("--passes", type=int, default=MemtestTest.options.passes)
    MemtestTest.options = parser.parse_args()
    guest.skip_unless_engine_runs()
    unittest.main(argv=[__file__], verbosity=2)
