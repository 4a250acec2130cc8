"""A machine under test: the program on a pseudo-terminal of its own, and what to say to it.

The environment says what is tested: VIREO (the program), VIREO_ENGINE, VIREO_FLAVOUR (of Debian's
kernel) and VIREO_GUESTS (the folder with kernels and RAM disks, as the scripts leave it).
"""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

VIREO = os.environ.get("VIREO", "build/release/apps/vireo/vireo")
ENGINE = os.environ.get("VIREO_ENGINE", "auto")
FLAVOUR = os.environ.get("VIREO_FLAVOUR", "cloud-amd64")
GUESTS = pathlib.Path(os.environ.get("VIREO_GUESTS", "build/guests"))
KERNEL = GUESTS / FLAVOUR / "vmlinuz"
SHELL_INITRD = GUESTS / "shell.cpio.gz"

# Generous: several of these run at once on slow machines, on engines of very different speed.
BOOT_SECONDS = 400
COMMAND_SECONDS = 90
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
READY = "vireo-initrd: ready"
SKIPPED = 77  # CTest's SKIP_RETURN_CODE

_ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[78=>c]|\r")


def plain(text):
    """Terminal output without escape sequences and carriage returns."""
    return _ESCAPES.sub("", text)


def vireo(*arguments, timeout=60, **options):
    """Runs the program to its end without a terminal; a CompletedProcess with text output."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [VIREO, *map(str, arguments)], capture_output=True, text=True, errors="replace",
        timeout=timeout, **options,
    )


def cpu_seconds(process):
    """The CPU time that a process has used so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text()
    return sum(map(int, fields.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def idle_share(process, tries=5):
    """How much of a CPU a process uses that has nothing to do: at rest in one of several looks, since what was before may
    take a busy host a while."""
    shares = []
    for _ in range(tries):
        before, cpu_before = time.monotonic(), cpu_seconds(process)
        time.sleep(2)
        shares.append((cpu_seconds(process) - cpu_before) / (time.monotonic() - before))
        if shares[-1] < 0.1:
            break
    return min(shares)


def listening(port):
    """A command for the guest's shell that waits until somebody listens at a TCP port."""
    return f"while ! grep -q ':{port:04X} [0-9A-F:]* 0A' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done"


def engines():
    """What `vireo engines --json` lists, by name."""
    listed = json.loads(vireo("engines", "--json").stdout)
    return {engine["name"]: engine for engine in listed["engines"]}


def skip_unless_engine_runs():
    """Ends the whole test as skipped, with the reason, if this host lacks the engine."""
    if ENGINE == "auto":
        return
    engine = engines().get(ENGINE)
    if engine is None or not engine["available"]:
        print(f"skipped: {ENGINE}: {engine['reason'] if engine else 'not in this build'}")
        sys.exit(SKIPPED)


class GuestError(AssertionError):
    """The guest or the program did not do what was waited for; shows the end of the console."""


class Program:
    """A program on a terminal, started by the leader of the terminal's session as a shell would."""

    def __init__(self, words, terminal, errors, role):
        reports, report = os.pipe()
        leader = pathlib.Path(__file__).with_name("session_leader.py")
        self._leader = subprocess.Popen(
            [sys.executable, leader, str(report), role, *words], start_new_session=True,
            stdin=terminal, stdout=terminal, stderr=errors, pass_fds=[report])
        os.close(report)
        self._reports = os.fdopen(reports)
        self.pid = int(self._reports.readline())
        self.returncode = None

    def poll(self):
        if self.returncode is None and select.select([self._reports], [], [], 0)[0]:
            self.returncode = int(self._reports.readline())
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def close(self):
        """Ends the program, if it still runs, and its leader."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.returncode = int(self._reports.readline())
        self._leader.kill()
        self._leader.wait()
        self._reports.close()


class Guest:
    """`vireo run` with a terminal. Use it in a `with` block: at its end the process is gone."""

    def __init__(self, *options, append="", kernel=None, initrd=SHELL_INITRD, memory="512M",
                 terminal_role="controlling", firmware=False):
        self.console = ""
        self._seen = 0
        self._undecoded = b""
        self._lost = False
        self._errors = tempfile.TemporaryFile()
        self.terminal, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x32\x00\xff\x00\x00\x00\x00\x00")
        self._slave = slave
        self.terminal_before = termios.tcgetattr(slave)
        command = [VIREO, "run", "--engine", ENGINE, "--memory", memory]
        if not firmware:  # which finds what there is to boot by itself
            command += ["--kernel", kernel or KERNEL]
            if initrd:
                command += ["--initrd", initrd]
            if kernel is None:
                command += ["--append", f"console=ttyS0 {append}".strip()]
        words = [str(word) for word in [*command, *options]]
        self.process = Program(words, slave, self._errors, terminal_role)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.close()
        os.close(self.terminal)
        os.close(self._slave)
        self._errors.close()

    def terminal_now(self):
        return termios.tcgetattr(self._slave)

    def errors(self):
        """What the program wrote to standard error so far."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def _fail(self, what):
        tail = self.console[-3000:]
        raise GuestError(f"{what}\n--- console ends with:\n{tail}\n--- errors:\n{self.errors()}")

    def _receive(self, seconds):
        """Takes what arrives within the time; false if nothing did."""
        if not select.select([self.terminal], [], [], max(seconds, 0))[0]:
            return False
        data = self._undecoded + os.read(self.terminal, 65536)
        # An escape sequence or a character may be cut in two: keep an incomplete end back.
        cut = re.search(rb"(\x1b(\[[0-9;?=]*)?|[\xc0-\xff][\x80-\xbf]{0,2})$", data)
        self._undecoded = data[cut.start():] if cut else b""
        self.console += plain((data[: cut.start()] if cut else data).decode(errors="replace"))
        return True

    def expect(self, pattern, seconds=COMMAND_SECONDS):
        """Waits for a regular expression in console output not yet consumed; the match."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.compile(pattern, re.M).search(self.console, self._seen)
            if match:
                self._seen = match.end()
                return match
            ended = self.process.poll() is not None
            if not self._receive(0.1 if ended else min(1, deadline - time.monotonic())):
                if ended:
                    self._fail(f"ended with status {self.process.returncode} before {pattern!r}")
                if time.monotonic() > deadline:
                    self._fail(f"no {pattern!r} within {seconds} s")

    def send(self, text):
        """Types, while taking what comes back, so that neither side can block the other."""
        data = text.encode()
        while data:
            if select.select([], [self.terminal], [], 5)[1]:
                data = data[os.write(self.terminal, data[:256]):]
            self._receive(0)

    def wait_for_shell(self):
        self.expect(READY, BOOT_SECONDS)
        self.expect(r"vireo# ", BOOT_SECONDS)
        self.run("dmesg -n 1")  # the console is for the commands' output from here on

    def run(self, command, seconds=COMMAND_SECONDS):
        """Runs a command in the guest's shell: (exit status, output)."""
        if self._lost:  # do not wait again and again for a guest that hangs
            self._fail(f"{command!r} was not tried: an earlier command did not come back")
        self._lost = True
        # What the shell echoes holds the quotes, what the commands print does not. All is one line: the
        # terminal would echo the start of a second one into the output of the first.
        then = "" if command.endswith("&") else ";"
        self.send(f"echo be''gin; {command}{then} echo do''ne:$?:\n")
        self.expect(r"^begin\n", seconds)
        start = self._seen
        match = self.expect(r"^done:(\d+):\n", seconds)
        self._lost = False
        return int(match[1]), self.console[start : match.start()].rstrip("\n")

    def output(self, command, seconds=COMMAND_SECONDS):
        """The output of a command that must succeed."""
        status, text = self.run(command, seconds)
        if status != 0:
            raise GuestError(f"{command!r} ended with status {status} in the guest:\n{text}")
        return text

    def clock_source(self):
        """The clock source that Linux stays with: it measures the time-stamp counter for a second before it trusts it."""
        return self.output(f"while [ $(cat {CLOCK_SOURCE}) = tsc-early ]; do sleep 0.1; done; cat {CLOCK_SOURCE}")

    def poll(self):
        """Takes what arrives within a moment."""
        self._receive(0.1)

    def wait(self, seconds=COMMAND_SECONDS):
        """Waits until the program has ended; its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self._receive(0.1)
            if time.monotonic() > deadline:
                self._fail(f"still runs after {seconds} s")
        while self._receive(0):
            pass
        return self.process.returncode
