#!/usr/bin/python3
"""How Debian's kernel ends: it reboots, panics, is stopped, or runs without a terminal."""
import json
import pathlib
import signal
import tempfile
import unittest

import guest

# Panics at once: there is no init to run.
NO_INIT = "rdinit=/nowhere init=/nowhere"


class EndingTest(unittest.TestCase):
    def boot(self, *options, **more):
        machine = self.enterContext(guest.Guest(*options, **more))
        machine.wait_for_shell()
        return machine

    def test_a_reboot_ends_the_program_if_the_user_wants_that(self):
        machine = self.boot("--no-reboot")
        machine.send("reboot -f\n")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")

    def test_a_reboot_boots_again_and_orderly_power_off_works_then(self):
        machine = self.boot()
        machine.send("reboot -f\n")
        machine.wait_for_shell()
        self.assertEqual(machine.output("echo a''gain"), "again")
        machine.send("poweroff\n")
        self.assertEqual(machine.wait(), 0)

    def test_a_panic_is_the_guests_failure_and_is_quoted(self):
        machine = self.enterContext(guest.Guest(append=NO_INIT, initrd=None))
        self.assertEqual(machine.wait(guest.BOOT_SECONDS), 4)
        self.assertIn("Kernel panic", machine.errors())
        self.assertEqual(machine.terminal_now(), machine.terminal_before)

    def test_a_panic_that_would_reboot_is_a_failure_without_reboot(self):
        machine = self.boot("--no-reboot", append="panic=-1")
        machine.send("echo c >/proc/sysrq-trigger\n")
        self.assertEqual(machine.wait(), 4)
        self.assertIn("Kernel panic", machine.errors())

    def test_a_running_kernel_stops_at_ctrl_a_x_and_at_sigterm(self):
        for stop in (lambda m: m.send("\x01x"), lambda m: m.process.send_signal(signal.SIGTERM)):
            machine = self.enterContext(guest.Guest())
            machine.expect("Linux version", guest.BOOT_SECONDS)
            stop(machine)
            self.assertNotIn(machine.wait(), (2, 3, 4, 124))
            self.assertEqual(machine.terminal_now(), machine.terminal_before)

    def test_a_kernel_boots_without_a_terminal_and_the_accounts_are_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            stats = pathlib.Path(folder) / "stats.json"
            ended = guest.vireo(
                "run", "--engine", guest.ENGINE, "--kernel", guest.KERNEL,
                "--initrd", guest.GUESTS / "script.cpio.gz", "--append", "console=ttyS0 quiet",
                "--stats", stats, timeout=guest.BOOT_SECONDS)
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertIn("script says: 42\n", guest.plain(ended.stdout))
            accounts = json.loads(stats.read_text())
        if guest.ENGINE != "auto":
            self.assertEqual(accounts["engine"], guest.ENGINE)
        self.assertGreater(accounts["wall_seconds"], 0)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
