#!/usr/bin/python3
"""The program at a terminal: raw while the guest runs, as it was when the program has ended."""
import itertools
import pathlib
import signal
import tempfile
import termios
import time
import unittest

import guest
from tiny_guest import HALT, SPIN, TRIPLE_FAULT, debug_exit, kernel, say, stack

LOCAL_MODES = 3  # index in what tcgetattr() answers
# Echoes what is typed, for ever: wait for a byte at the serial port, send it back.
ECHO = bytes.fromhex("66bafd03 ec a801 74f7 66baf803 ec ee ebef")


class TerminalTest(unittest.TestCase):
    def start(self, code, *options, role="controlling"):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        image = pathlib.Path(folder.name) / "kernel"
        image.write_bytes(kernel(stack() + say("up\n") + code))
        machine = self.enterContext(
            guest.Guest(*options, kernel=image, initrd=None, terminal_role=role))
        machine.expect("^up\n", 30)
        return machine

    def assert_terminal_is_back(self, machine):
        self.assertEqual(machine.terminal_now(), machine.terminal_before)

    def test_the_terminal_is_raw_while_the_guest_runs(self):
        machine = self.start(SPIN)
        modes = machine.terminal_now()[LOCAL_MODES]
        self.assertEqual(modes & (termios.ICANON | termios.ECHO | termios.ISIG), 0)

    def test_every_key_reaches_the_guest(self):
        for role in ("controlling", "foreign"):
            with self.subTest(role):
                machine = self.start(ECHO, role=role)
                machine.send("a\x03\x04\x1a\x11\x13~")  # among them ^C, ^D, ^Z, ^Q and ^S
                machine.expect("a\x03\x04\x1a\x11\x13~")

    def test_ctrl_a_x_ends_the_program(self):
        machine = self.start(SPIN)
        machine.send("\x01x")
        self.assertEqual(machine.wait(), 0)
        self.assert_terminal_is_back(machine)

    def test_ctrl_a_h_explains_the_keys(self):
        machine = self.start(SPIN)
        machine.send("\x01h")
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        while "Ctrl-A" not in machine.console + machine.errors():
            self.assertLess(time.monotonic(), deadline)
            machine.poll()

    def test_ctrl_a_twice_is_ctrl_a_for_the_guest(self):
        machine = self.start(ECHO)
        machine.send("\x01\x01!")
        machine.expect("\x01!")

    def test_the_terminal_comes_back_whatever_ends_the_program(self):
        endings = {
            "debug exit": (debug_exit(0), 1),
            "triple fault": (TRIPLE_FAULT, 4),
            "timeout": (HALT, 124),
        }
        for name, (code, status) in endings.items():
            with self.subTest(name):
                machine = self.start(code, "--debug-exit", "--timeout", "2")
                self.assertEqual(machine.wait(), status)
                self.assert_terminal_is_back(machine)

    def test_a_terminal_that_is_not_the_controlling_one_is_treated_alike(self):
        machine = self.start(SPIN, role="foreign")
        modes = machine.terminal_now()[LOCAL_MODES]
        self.assertEqual(modes & (termios.ICANON | termios.ECHO | termios.ISIG), 0)
        machine.send("\x01x")
        self.assertEqual(machine.wait(), 0)
        self.assert_terminal_is_back(machine)

    def test_the_terminal_comes_back_after_signals(self):
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT)
        for number, role in itertools.product(numbers, ("controlling", "foreign")):
            with self.subTest((number, role)):
                machine = self.start(SPIN, role=role)
                machine.process.send_signal(number)
                machine.wait()
                self.assert_terminal_is_back(machine)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
