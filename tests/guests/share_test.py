#!/usr/bin/python3
"""Debian's kernel and its own driver with folders of the host, by 9P."""
import fcntl
import hashlib
import os
import pathlib
import random
import tempfile
import unittest

import guest
from known_messages import unexpected_messages

MIB = 1 << 20
INITRD = guest.GUESTS / "share.cpio.gz"
LOAD = "for module in /lib/modules/*; do insmod $module; done"
MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000"
SLOW = guest.ENGINE == "interpreter"
SIZE = (2 if SLOW else 32) * MIB
ENTRIES = 200 if SLOW else 2000
DATA = random.Random(1).randbytes(SIZE)
DIGEST = hashlib.md5(DATA).hexdigest()


class ShareCase(unittest.TestCase):
    """A folder to write to, one to read, and a secret beside them."""

    APPEND = ""

    @classmethod
    def setUpClass(cls):
        top = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.secret, cls.files, cls.fixed = top / "secret", top / "files", top / "fixed"
        cls.secret.write_text("secret\n")
        cls.files.mkdir()
        cls.fixed.mkdir()
        (cls.fixed / "data").write_bytes(DATA)
        (cls.files / "out").symlink_to("../secret")
        (cls.files / "up").symlink_to("..")
        cls.machine = cls.enterClassContext(guest.Guest(
            "--share", f"{cls.files}=files", "--share", f"{cls.fixed}=fixed,readonly",
            append=cls.APPEND, initrd=INITRD, memory="256M"))
        cls.machine.wait_for_shell()
        cls.output(LOAD)
        cls.output(f"mkdir /f /r && {MOUNT} files /f && {MOUNT} fixed /r")

    @classmethod
    def output(cls, command, **options):
        return cls.machine.output(command, **options)

    def fails(self, command):
        status, text = self.machine.run(command)
        self.assertNotEqual(status, 0, text)
        return text

    def assert_quiet_end(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")


class ShareTest(ShareCase):
    def test_a_files_of_the_host_are_read_whole(self):
        self.assertEqual(self.output("md5sum </r/data").split()[0], DIGEST)

    def test_b_files_of_the_guest_reach_the_host(self):
        self.output("dd if=/r/data of=/f/copy bs=1M conv=fsync 2>/dev/null")
        self.assertEqual(hashlib.md5((self.files / "copy").read_bytes()).hexdigest(), DIGEST)
        self.output("echo one >/f/log; echo two >>/f/log")
        self.assertEqual((self.files / "log").read_text(), "one\ntwo\n")
        (self.files / "log").write_text("three\n")
        self.assertEqual(self.output("cat /f/log"), "three")

    def test_c_programs_and_mappings_are_read(self):
        self.output("cp /bin/busybox /f/busybox && /f/busybox true")
        self.assertEqual((self.files / "busybox").stat().st_mode & 0o777, 0o755)
        self.assertEqual(self.output("probe map /r/data"), str(sum(DATA)))

    def test_d_files_are_cut_renamed_linked_and_removed(self):
        self.output("echo 123456 >/f/a && truncate -s 3 /f/a && mv /f/a /f/b && ln /f/b /f/c && rm /f/b")
        self.assertEqual((self.files / "c").read_text(), "123")
        self.assertFalse((self.files / "a").exists() or (self.files / "b").exists())
        self.output("chmod 640 /f/c && touch -d '2001-02-03 04:05:06' /f/c")
        self.assertEqual((self.files / "c").stat().st_mode & 0o7777, 0o640)
        self.assertEqual((self.files / "c").stat().st_mtime, 981173106)

    def test_e_folders_of_many_files_are_read(self):
        self.output(f"mkdir /f/many && cd /f/many && for i in $(seq {ENTRIES}); do : >file$i; done; cd /")
        self.assertEqual(len(list((self.files / "many").iterdir())), ENTRIES)
        self.assertEqual(self.output("ls /f/many | sort -u | wc -l"), str(ENTRIES))
        self.output("rm -r /f/many")
        self.assertFalse((self.files / "many").exists())

    def test_f_links_are_the_guests_own_and_lead_nowhere_on_the_host(self):
        self.output("ln -s /etc/passwd /f/link")
        self.assertEqual(os.readlink(self.files / "link"), "/etc/passwd")
        self.assertTrue(self.output("cat /f/link").startswith("root:x:0:0"))
        self.fails("cat /f/out")
        self.assertNotIn("files", self.output("ls /f/up/"))
        self.fails("cat /f/../secret")
        self.assertEqual(self.secret.read_text(), "secret\n")

    def test_g_what_is_only_to_be_read_stays_as_it_is(self):
        for command in ["echo x >/r/data", "touch /r/new", "rm /r/data", "mkdir /r/d", "mv /r/data /r/e",
                        "chmod 600 /r/data", "ln -s x /r/l"]:
            self.assertIn("Read-only", self.fails(command))
        self.assertEqual(os.listdir(self.fixed), ["data"])

    def test_h_locks_count_on_both_sides(self):
        self.output("probe lock /f/lock 1000 >/tmp/locked & while [ ! -s /tmp/locked ]; do sleep 0.1; done")
        with open(self.files / "lock", "r+") as lock:
            with self.assertRaises(BlockingIOError):
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.output("kill $! && wait || true")
        with open(self.files / "lock", "r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.fails("probe lock /f/lock 0")
        self.output("probe lock /f/lock 0")

    def test_i_no_devices_and_nothing_that_runs_as_its_owner(self):
        self.fails("mknod /f/null c 1 3")
        self.output("mkfifo /f/pipe && (echo through >/f/pipe &) && [ $(cat /f/pipe) = through ]")
        self.output("cp /bin/busybox /f/s && chmod 6755 /f/s")
        self.assertEqual((self.files / "s").stat().st_mode & 0o7777, 0o755)

    def test_j_extended_attributes_count_on_both_sides(self):
        path = self.files / "marked"
        path.write_text("x")
        try:
            os.setxattr(path, "user.host", b"here")
        except OSError as error:
            self.skipTest(f"no extended attributes where temporary files are: {error}")
        self.assertEqual(self.output("probe get /f/marked user.host"), "here")
        self.output("probe set /f/marked user.guest there")
        self.assertEqual(os.getxattr(path, "user.guest"), b"there")
        self.assertEqual(sorted(self.output("probe names /f/marked").split()), ["user.guest", "user.host"])
        self.output("probe unset /f/marked user.host")
        self.assertEqual(os.listxattr(path), ["user.guest"])
        self.fails("probe get /f/marked user.host")
        self.fails("probe set /f/marked security.capability x")
        self.fails("probe set /r/data user.guest there")

    def test_k_a_share_is_mounted_again(self):
        self.output(f"umount /f && {MOUNT},cache=loose files /f && md5sum </f/copy")
        self.output("echo cached >/f/cached && sync && umount /f")
        self.assertEqual((self.files / "cached").read_text(), "cached\n")

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


class MmioShareTest(ShareCase):
    """A guest without PCI."""

    APPEND = "pci=off"

    def test_a_files_are_read_and_written(self):
        self.assertEqual(self.output("md5sum </r/data").split()[0], DIGEST)
        self.output("echo hello >/f/hello")
        self.assertEqual((self.files / "hello").read_text(), "hello\n")

    def test_z_nothing_to_complain_about(self):
        self.assert_quiet_end()


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    only = ["ShareTest"] if SLOW else None
    unittest.main(defaultTest=only, verbosity=2)
