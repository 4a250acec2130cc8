#!/usr/bin/python3
"""How a machine ends, and what the program says then: with guests of a few instructions."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import guest
from tiny_guest import DELAY, HALT, SPIN, TRIPLE_FAULT
from tiny_guest import debug_exit, kernel, out_byte, out_double, say, stack

RESETS = {  # what a guest can do to reset a PC
    "reset control register": out_byte(0xCF9, 0x02) + out_byte(0xCF9, 0x06),
    "keyboard controller": out_byte(0x64, 0xFE),
    "system control port A": out_byte(0x92, 0x01),
}


class TinyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.image = self.folder / "kernel"

    def command(self, code, *options):
        self.image.write_bytes(kernel(stack() + code))
        return ("run", "--engine", guest.ENGINE, "--kernel", self.image, *options)

    def run_guest(self, code, *options, **more):
        return guest.vireo(*self.command(code, *options), **more)

    def start(self, code, *options, **more):
        words = [guest.VIREO, *map(str, self.command(code, *options))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_the_debug_exit_port_ends_the_program_with_its_status(self):
        for value in (0, 1, 5, 0x7F):
            with self.subTest(value=value):
                ended = self.run_guest(say("hello\n") + debug_exit(value) + HALT, "--debug-exit")
                self.assertEqual(ended.returncode, (value << 1) | 1)
                self.assertEqual(ended.stdout, "hello\n")
                self.assertEqual(ended.stderr, "")

    def test_a_wide_write_to_the_debug_exit_port_counts_too(self):
        ended = self.run_guest(out_double(0xF4, 0x2A) + HALT, "--debug-exit")
        self.assertEqual(ended.returncode, 0x55)

    def test_the_guest_does_nothing_behind_its_debug_exit(self):
        ended = self.run_guest(debug_exit(0) + say("X") + HALT, "--debug-exit")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))

    def test_without_the_option_there_is_no_debug_exit_port(self):
        ended = self.run_guest(
            debug_exit(5) + DELAY + say("on") + RESETS["keyboard controller"] + HALT, "--no-reboot")
        self.assertEqual((ended.returncode, ended.stdout), (0, "on"))

    def test_a_reset_ends_the_machine_if_the_user_wants_that(self):
        for way, code in RESETS.items():
            with self.subTest(way):
                ended = self.run_guest(say("a") + code + HALT, "--no-reboot", "--timeout", 30)
                self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "a", ""))

    def test_a_reset_starts_the_guest_anew(self):
        for way, code in RESETS.items():
            with self.subTest(way):
                ended = self.run_guest(say("a") + code + HALT, "--timeout", 3)
                self.assertEqual(ended.returncode, 124)
                self.assertRegex(ended.stdout, "^aaa+$")

    def test_a_triple_fault_is_the_guests_failure(self):
        ended = self.run_guest(say("a") + TRIPLE_FAULT)
        self.assertEqual((ended.returncode, ended.stdout), (4, "a"))
        self.assertIn("triple fault", ended.stderr)
        self.assertIn("0x10", ended.stderr)  # where: the code is loaded at 1 MiB

    def test_the_timeout_ends_a_guest_that_runs_and_one_that_waits(self):
        for name, code in (("runs", SPIN), ("waits", HALT), ("waits awake", b"\xf4\xeb\xfd")):
            with self.subTest(name):
                before = time.monotonic()
                ended = self.run_guest(code, "--timeout", "1.5")
                self.assertEqual(ended.returncode, 124)
                self.assertGreaterEqual(time.monotonic() - before, 1.5)
                self.assertLess(time.monotonic() - before, guest.COMMAND_SECONDS)

    def test_signals_end_the_program_whatever_the_guest_does(self):
        for code in (SPIN, HALT):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with self.subTest(code=code, number=number):
                    process = self.start(say("up\n") + code, stdin=subprocess.DEVNULL)
                    self.assertEqual(process.stdout.readline(), b"up\n")
                    process.send_signal(number)
                    self.assertNotIn(process.wait(guest.COMMAND_SECONDS), (2, 3, 4, 124))

    def test_the_serial_port_can_go_to_a_file(self):
        log = self.folder / "log"
        ended = self.run_guest(
            say("to a file\n") + debug_exit(0) + HALT, "--debug-exit", "--serial", f"file:{log}")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertEqual(log.read_text(), "to a file\n")

    def test_the_serial_port_can_go_nowhere(self):
        ended = self.run_guest(say("x") + debug_exit(0) + HALT, "--debug-exit", "--serial", "none")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))

    def test_the_debug_console_is_a_port_of_its_own(self):
        log = self.folder / "log"
        ended = self.run_guest(
            say("debug", port=0xE9) + say("serial") + debug_exit(0) + HALT,
            "--debug-exit", "--debug-console", f"file:{log}")
        self.assertEqual((ended.stdout, log.read_text()), ("serial", "debug"))

    def test_the_guest_hears_what_arrives_on_standard_input(self):
        # wait: mov dx, 0x3fd; in al, dx; test al, 1; jz wait; mov dx, 0x3f8; in al, dx; out dx, al
        echo = bytes.fromhex("66bafd03 ec a801 74f7 66baf803 ec ee")
        ended = self.run_guest(
            echo * 3 + debug_exit(0) + HALT, "--debug-exit", stdin=None, input="abc")
        self.assertEqual((ended.returncode, ended.stdout), (1, "abc"))

    def test_the_end_of_standard_input_does_not_end_the_guest(self):
        ended = self.run_guest(DELAY * 4 + say("on") + debug_exit(0) + HALT, "--debug-exit")
        self.assertEqual((ended.returncode, ended.stdout), (1, "on"))

    def test_a_reader_that_goes_away_does_not_hang_the_program(self):
        process = self.start(say("x\n" * 20) + SPIN, "--timeout", 3, stdin=subprocess.DEVNULL)
        process.stdout.read(1)
        process.stdout.close()
        process.wait(guest.COMMAND_SECONDS)

    def test_nothing_is_left_behind(self):
        home = self.folder / "home"
        home.mkdir()
        environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
        shared_before = set(os.listdir("/dev/shm"))
        for code in (debug_exit(0), TRIPLE_FAULT, SPIN):
            self.run_guest(
                code, "--debug-exit", "--timeout", 1, cwd=home, env=environment)
        self.assertEqual(list(home.iterdir()), [])
        self.assertEqual(set(os.listdir("/dev/shm")) - shared_before, set())


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
