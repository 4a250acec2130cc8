#!/usr/bin/python3
"""An installed Debian, as scripts/make-debian-image makes it: firmware, GRUB, systemd, the network, packages, SSH."""
import hashlib
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.request

import guest
from known_messages import unexpected_messages
from net_test import free_port

IMAGE = guest.GUESTS / "debian.qcow2"
ROOT = pathlib.Path(__file__).parents[2]
PROMPT = r"root@debian:~# "
PACKAGE = "hello"


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)


class ImageTest(unittest.TestCase):
    """What the script that makes images says to mistakes."""

    def make(self, *options):
        return run(ROOT / "scripts/make-debian-image", *options)

    def test_mistakes_are_named(self):
        for options in (["--nothing"], ["--size"], ["--size", "8"], ["--size", "100M"], ["--size", "4096G"],
                        ["--hostname", "a b"], ["--kernel", "best"], ["--include", "a b"], ["--output", "disk.img"],
                        ["--ssh-key", __file__]):
            with self.subTest(options):
                done = self.make(*options)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(options[-1], done.stderr)

    def test_an_image_is_not_overwritten(self):
        before = IMAGE.stat()
        done = self.make("--output", IMAGE.absolute())
        self.assertEqual((done.returncode, done.stdout), (0, f"{IMAGE.resolve()}\n"))
        self.assertIn("--force", done.stderr)
        self.assertEqual(IMAGE.stat(), before)


class DebianTest(unittest.TestCase):
    """Two boots of one disk; each test goes on where the one before it ended."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.disk = cls.folder / "disk.qcow2"
        made = run("qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", IMAGE.absolute(), cls.disk)
        assert made.returncode == 0, made.stderr
        cls.boot()

    @classmethod
    def boot(cls):
        """To the prompt of a shell."""
        cls.port = free_port()
        cls.machine = cls.enterClassContext(guest.Guest(
            cls.disk, "--net", f"user,forward=tcp:{cls.port}:22", "--display", f"text:{cls.folder / 'screen'}",
            firmware=True, memory="1G"))
        started = time.monotonic()
        cls.machine.expect(r"^SeaBIOS ")
        cls.machine.expect(r"\*Debian GNU/Linux +")
        cls.machine.expect(r"^debian login: ", guest.BOOT_SECONDS)
        print(f"login after {time.monotonic() - started:.1f} s", flush=True)
        cls.machine.send("root\n")
        cls.machine.expect(PROMPT)

    def output(self, command, **options):
        return self.machine.output(command, **options)

    def ssh(self, command):
        """A command by SSH from the host, again until the guest's server is there."""
        deadline = time.monotonic() + guest.COMMAND_SECONDS
        while True:
            done = run("ssh", "-F", IMAGE.with_suffix(".ssh"), "-p", self.port, "-o", "BatchMode=yes", "debian", command)
            if done.returncode != 255 or time.monotonic() > deadline:
                return done
            time.sleep(1)

    def assert_in_order(self):
        self.assertEqual(self.output("systemctl is-system-running --wait", seconds=guest.BOOT_SECONDS), "running")
        self.assertEqual(self.output("systemctl --failed --no-legend --no-pager"), "")
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_a_all_of_it_has_started(self):
        self.assert_in_order()

    def test_b_it_has_an_address(self):
        self.assertIn("inet 10.0.2.15/24", self.output("ip -4 address show dev eth0"))
        self.assertIn("default via 10.0.2.2", self.output("ip route"))
        self.assertIn("nameserver 10.0.2.3", self.output("cat /etc/resolv.conf"))

    def test_c_ssh_reaches_it_with_the_key_beside_the_image(self):
        done = self.ssh("id -un; hostname")
        self.assertEqual((done.returncode, done.stdout), (0, "root\ndebian\n"), done.stderr)
        done = run("ssh", "-F", IMAGE.with_suffix(".ssh"), "-p", self.port, "-o", "BatchMode=yes",
                   "-o", "PubkeyAuthentication=no", "debian", "true")
        self.assertEqual(done.returncode, 255)
        self.assertIn("Permission denied (publickey", done.stderr)

    def test_d_packages_are_installed_from_the_mirror(self):
        mirror = self.output("sed -n 's/^deb \\([^ ]*\\) bookworm .*/\\1/p' /etc/apt/sources.list | head -n 1")
        try:
            urllib.request.urlopen(mirror.rstrip("/") + "/dists/bookworm/InRelease", timeout=20).close()
        except OSError as error:
            self.skipTest(f"the mirror cannot be reached from here: {error}")
        self.output("apt-get -q update", seconds=guest.BOOT_SECONDS)
        self.output(f"apt-get -q -y install {PACKAGE}", seconds=guest.BOOT_SECONDS)
        self.assertEqual(self.output(PACKAGE), "Hello, world!")
        self.assertEqual(self.output(f"dpkg --verify {PACKAGE}"), "")

    def test_e_grub_can_be_installed_and_configured_anew(self):
        self.output("grub-install /dev/vda 2>&1")
        self.output("sed -i s/quiet/systemd.journald.forward_to_console=0/ /etc/default/grub && update-grub 2>&1")

    def test_f_it_switches_itself_off(self):
        self.output("head -c 3000000 /dev/urandom | tee /root/data | md5sum >/root/sum")
        self.machine.send("systemctl poweroff\n")
        self.assertEqual(self.machine.wait(guest.BOOT_SECONDS), 0)
        self.assertEqual(self.machine.errors(), "")
        self.assertRegex((self.folder / "screen").read_text(), r"(?m)\] reboot: Power down$")

    def test_g_the_second_boot_finds_a_clean_file_system_and_all_files(self):
        type(self).boot()
        self.assertIn("systemd.journald.forward_to_console=0", self.output("cat /proc/cmdline"))
        self.assertRegex(self.output("journalctl -b -o cat --no-pager -u systemd-fsck-root"), r"(?m)^root: clean, ")
        self.assertNotIn("recovery complete", self.output("dmesg"))
        self.output("[ \"$(md5sum </root/data)\" = \"$(cat /root/sum)\" ]")
        self.assert_in_order()

    def test_h_what_was_flushed_survives_the_end_of_the_program(self):
        self.output("head -c 1000000 /dev/urandom >/root/flushed && sync /root /root/flushed")
        wanted = self.output("md5sum </root/flushed")
        self.machine.process.send_signal(9)
        self.machine.wait()
        raw = self.folder / "disk.raw"
        self.assertEqual(run("qemu-img", "check", self.disk).returncode, 0)
        # Behind the first MiB is the file system.
        self.assertEqual(run("qemu-img", "dd", "-O", "raw", "bs=1M", "skip=1", f"if={self.disk}", f"of={raw}").returncode, 0)
        # With what the journal says; then there is nothing to mend.
        self.assertIn("recovering journal", run("e2fsck", "-p", raw).stdout)
        checked = run("e2fsck", "-f", "-n", raw)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        copy = self.folder / "flushed"
        run("debugfs", "-R", f"dump /root/flushed {copy}", raw)
        self.assertEqual(hashlib.md5(copy.read_bytes()).hexdigest() + "  -", wanted)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
