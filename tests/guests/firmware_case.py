"""A machine that starts with firmware, and what is on its screen."""
import pathlib
import signal
import tempfile
import time
import unittest

import guest


class FirmwareCase(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.screen_file = self.folder / "screen"

    def start(self, *options, memory="64M"):
        if "--display" not in options:
            options = ("--display", f"text:{self.screen_file}", *options)
        self.machine = self.enterContext(guest.Guest(*options, firmware=True, memory=memory))
        return self.machine

    def screen(self):
        """What is on the screen now, as lines of text."""
        self.screen_file.unlink(missing_ok=True)
        self.machine.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        while not self.screen_file.exists():
            self.machine.poll()
            self.assertLess(time.monotonic(), deadline, "no screen after SIGUSR1")
        return self.screen_file.read_text()

    def expect_screen(self, *texts, seconds=guest.COMMAND_SECONDS):
        """Waits until all of them are on the screen at once; the screen."""
        deadline = time.monotonic() + seconds
        while True:
            time.sleep(0.3)
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            self.assertIsNone(self.machine.process.poll(), self.machine.errors())
            self.assertLess(time.monotonic(), deadline, screen)

    def type_slowly(self, text):
        """Types no faster than firmware can put it into the keyboard's buffer, which has room for 15 keys."""
        for start in range(0, len(text), 6):
            self.machine.send(text[start : start + 6])
            time.sleep(0.15)
            self.machine.poll()
