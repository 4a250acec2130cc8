#!/usr/bin/python3
"""What the program says to people who make mistakes: one sentence, and the right exit status."""
import json
import os
import pathlib
import resource
import shutil
import socket
import struct
import tempfile
import unittest

import guest
from tiny_guest import HALT, kernel

USAGE, HOST = 2, 3


class UsageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.good = self.file("good", kernel(HALT))

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def assert_refused(self, status, words, *arguments):
        """It ends with the status; the one line on standard error has the words in it."""
        before = sorted(os.listdir(self.folder))
        ended = guest.vireo(*arguments, cwd=self.folder, env={**os.environ, "TMPDIR": self.folder})
        self.assertEqual(ended.returncode, status, ended)
        self.assertEqual(ended.stdout, "")
        lines = ended.stderr.splitlines()
        self.assertIn(len(lines), (1, 2), ended.stderr)
        self.assertLess(len(ended.stderr), 600)
        for word in words:
            self.assertIn(str(word), ended.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def assert_run_refused(self, words, *options, status=USAGE, image=None):
        self.assert_refused(status, words, "run", "--kernel", image or self.good, *options)

    def test_a_kernel_that_is_no_kernel(self):
        for name, content in {
            "empty": b"", "text": b"just text\n" * 1000, "zeros": bytes(1 << 20),
            "elf": b"\x7fELF" + bytes(200), "short": b"\x7f", "setup": bytes(0x1FE) + b"\x55\xaa",
        }.items():
            with self.subTest(name):
                path = self.file(name, content)
                self.assert_run_refused([path], image=path)

    def test_a_kernel_that_is_cut_off(self):
        image = guest.KERNEL.read_bytes()
        for size in (0x260, 4096, len(image) // 2, len(image) - 4096):
            with self.subTest(size=size):
                path = self.file("cut", image[:size])
                self.assert_run_refused(["cut off"], "--timeout", "10", image=path)

    def test_a_program_is_no_kernel(self):
        self.assert_run_refused(["/bin/ls", "program"], image="/bin/ls")

    def test_a_static_program_is_no_kernel(self):
        busybox = shutil.which("busybox")
        self.assert_run_refused([busybox, "program"], image=busybox)
        start = 64 + 56
        code = bytes.fromhex("b83c000000 31ff 0f05")  # exit(0)
        header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
            "<HHIQQQIHHHHHH", 2, 62, 1, 0x400000 + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000,
                              start + len(code), start + len(code), 0x1000)
        path = self.file("program", header + segment + code)
        self.assert_run_refused([path, "program"], "--timeout", "10", image=path)

    def test_files_that_are_not_there(self):
        missing = self.folder / "missing"
        self.assert_run_refused([missing], image=missing)
        self.assert_run_refused([missing], "--initrd", missing)
        self.assert_run_refused([self.folder], image=self.folder)

    def test_nothing_to_run(self):
        self.assert_refused(USAGE, ["--kernel"], "run")

    def test_an_initial_ram_disk_larger_than_memory(self):
        disk = self.folder / "disk"
        with disk.open("wb") as file:
            file.truncate(300 << 20)
        self.assert_run_refused(["--memory"], "--initrd", disk, "--memory", "256M",
                                image=guest.KERNEL)

    def test_too_little_memory_for_the_kernel(self):
        for size in ("2M", "8M", "16M"):
            with self.subTest(size):
                self.assert_run_refused(["--memory"], "--memory", size, image=guest.KERNEL)

    def test_memory_sizes_that_make_no_sense(self):
        for size in ("0", "-1", "1", "512X", "M", "", "1.5Q", "99999999999999999999G", "4K"):
            with self.subTest(size):
                self.assert_run_refused([], f"--memory={size}")

    def test_a_limit_on_files_below_the_memory(self):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, limits[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        self.assert_run_refused(["MiB of guest memory", "ulimit -f"], "--memory", "128M", status=HOST)

    def test_numbers_of_cpus_that_make_no_sense(self):
        for number in ("0", "-1", "two", "1.5", "99999999999"):
            with self.subTest(number):
                self.assert_run_refused([], f"--cpus={number}")

    def test_timeouts_that_make_no_sense(self):
        for seconds in ("-1", "soon", "nan"):
            with self.subTest(seconds):
                self.assert_run_refused([], f"--timeout={seconds}")

    def test_unknown_words_are_named(self):
        self.assert_refused(USAGE, ["frobnicate"], "frobnicate")
        self.assert_run_refused(["--frobnicate"], "--frobnicate")
        self.assert_run_refused(["warp"], "--engine", "warp")
        self.assert_run_refused(["pentium"], "--cpu", "pentium")
        self.assert_run_refused(["frob"], "--cpu", "baseline,+frob")
        self.assert_run_refused(["frob"], "--cpu", "baseline,-frob")
        self.assert_run_refused(["carrier-pigeon"], "--serial", "carrier-pigeon")

    def test_an_option_without_its_value(self):
        self.assert_refused(USAGE, ["--memory"], "run", "--kernel", self.good, "--memory")

    def test_a_serial_port_in_a_folder_that_is_not_there(self):
        path = self.folder / "no" / "where"
        self.assert_run_refused([path], "--serial", f"file:{path}")

    def test_disks_that_make_no_sense(self):
        disk = self.file("disk", bytes(1 << 20))
        missing = self.folder / "missing"
        self.assert_run_refused([missing], "--disk", missing)
        self.assert_run_refused(["format=vmdk"], "--disk", f"{disk},format=vmdk")
        self.assert_run_refused(["interface=scsi"], "--disk", f"{disk},interface=scsi")
        self.assert_run_refused(["shiny"], "--disk", f"{disk},shiny")
        self.assert_run_refused(["--disk"], "--disk")
        self.assert_run_refused([missing], "--cdrom", missing)

    def test_firmware_and_displays_that_make_no_sense(self):
        missing = self.folder / "missing"
        self.assert_run_refused(["--kernel", "--firmware"], "--firmware", "seabios")
        self.assert_refused(USAGE, [missing], "run", "--firmware", missing)
        for display in ("", "vga", "png:", "text:", "vnc=", "vnc=host:port"):
            with self.subTest(display):
                self.assert_run_refused([display.removeprefix("vnc=")], f"--display={display}")

    def test_ports_that_others_have(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assert_run_refused([port, "in use"], "--net", f"user,forward=tcp:{port}:22", status=HOST)
            self.assert_run_refused([port, "taken"], "--display", f"vnc={port}", status=HOST)

    def test_shares_sockets_and_consoles_that_make_no_sense(self):
        self.assert_run_refused(["--share", "HOSTDIR=TAG"], "--share", ".")
        self.assert_run_refused(["./missing"], "--share", "./missing=files")
        self.assert_run_refused(["tag"], "--share", f".={'x' * 300}")
        self.assert_run_refused(["'a'"], "--share", ".=a", "--share", "/=a")
        self.assert_run_refused(["missing"], "--vsock", "dir=missing")
        self.assert_run_refused(["cid"], "--vsock", "cid=1,dir=.")
        self.assert_run_refused(["too long"], "--vsock", "dir=./" + "./" * 60)
        self.assert_run_refused(["terminal", "--console"], "--console", "stdio", "--serial", "stdio")
        self.assert_run_refused(["'nothing'"], "--console", "nothing")
        self.assert_run_refused(["--channel"], "--channel", "name")
        self.assert_run_refused(["no terminal"], "--channel", "name=stdio")
        self.assert_run_refused(["'a'"], "--channel", "a=pty", "--channel", "a=pty")
        self.assert_run_refused(["--balloon"], "--balloon", "12")
        self.assert_run_refused(["balloon"], "--memory", "64M", "--balloon", "64M")

    def test_a_kernel_command_line_that_is_too_long(self):
        self.assert_run_refused([], "--append", "x" * 100000, image=guest.KERNEL)

    def test_an_engine_that_this_host_lacks_is_the_hosts_failure(self):
        for name, engine in guest.engines().items():
            if not engine["available"]:
                with self.subTest(name):
                    self.assertNotEqual(engine["reason"], "")
                    self.assert_run_refused([name], "--engine", name, status=HOST)

    def test_the_engines_are_listed(self):
        listed = guest.engines()
        self.assertTrue(listed["interpreter"]["available"])
        text = guest.vireo("engines")
        self.assertEqual(text.returncode, 0)
        for name in listed:
            self.assertIn(name, text.stdout)

    def test_help_is_everywhere(self):
        for arguments in (("--help",), ("help",), ("run", "--help"), ("help", "run")):
            with self.subTest(arguments):
                ended = guest.vireo(*arguments)
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                self.assertIn("--kernel" if "run" in arguments else "engines", ended.stdout)
        self.assert_refused(USAGE, ["frobnicate"], "help", "frobnicate")

    def test_the_version_is_told(self):
        ended = guest.vireo("version")
        self.assertEqual(ended.returncode, 0)
        self.assertRegex(ended.stdout, r"\d+\.\d+\.\d+")
        self.assertEqual(guest.vireo("--version").returncode, 0)

    def test_what_prints_data_prints_json(self):
        for verb in ("version", "engines", "cpu-models", "doctor"):
            with self.subTest(verb):
                ended = guest.vireo(verb, "--json")
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                self.assertTrue(json.loads(ended.stdout))


if __name__ == "__main__":
    unittest.main(verbosity=2)
