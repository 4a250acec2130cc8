#!/usr/bin/python3
"""The program is killed while its guest writes to a qcow2 disk, again and again: the image is never damaged, and what the
guest has flushed is there. The guest itself judges that, by a journal on the disk (journal.c).

usage: kill_test.py [--kills N] [--seed N]      N: of all shapes of images together
"""
import argparse
import pathlib
import random
import subprocess
import tempfile
import time
import unittest

import guest

JOURNAL = guest.GUESTS / "journal"
SHAPES = {
    "clusters of 64 KiB": "qemu-img create -q -f qcow2 IMAGE 5M",
    "clusters of 512 bytes": "qemu-img create -q -f qcow2 -o cluster_size=512 IMAGE 5M",
    "version 2 with a snapshot":
        "qemu-img create -q -f qcow2 -o compat=0.10,cluster_size=4k IMAGE 5M && "
        "qemu-io -f qcow2 -c 'write -q -P 0 1M 2M' IMAGE && qemu-img snapshot -c s IMAGE",
    "a backing file":
        "qemu-img create -q -f raw IMAGE.below 3M && "
        "qemu-img create -q -f qcow2 -o cluster_size=32k -F raw -b IMAGE.below IMAGE 5M",
}


def shell(command):
    return subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class KillTest(unittest.TestCase):
    options = argparse.Namespace(kills=200, seed=1)

    def run_and_kill(self, image, seconds):
        """The guest's lines until the program was killed, so long after it had judged the disk."""
        process = subprocess.Popen(
            [guest.VIREO, "run", "--engine", guest.ENGINE, "--kernel", JOURNAL, "--append", "pci=off", "--memory", "16M",
             "--disk", f"{image},format=qcow2"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = process.stdout.readline()
        if first.startswith(b"good"):
            time.sleep(seconds)
        process.kill()
        rest, errors = process.communicate()
        self.assertEqual(errors, b"")
        # The last line may have been cut off.
        return (first + rest).decode().rpartition("\n")[0].split("\n")

    def check(self, image):
        """The kernel lets go of the files of a program a little after its end, locks included."""
        for _ in range(3000):
            done = shell(f"qemu-img check -q -f qcow2 {image}")
            if done.returncode != 1:
                return done
            time.sleep(0.02)
        return done

    def judge_shape(self, image, kills, moments):
        flushed = leaks = 0
        for kill in range(kills):
            first, *rest = self.run_and_kill(image, moments.uniform(0, 0.15 if kill % 2 else 0.6))
            self.assertRegex(first, "^good ", f"kill {kill} of seed {self.options.seed}")
            found = int(first.removeprefix("good "), 16)
            self.assertGreaterEqual(found, flushed, "what the journal said before was lost")
            flushed = int(rest[-1], 16) if rest else found
            done = self.check(image)
            self.assertIn(done.returncode, (0, 3), done.stdout)  # 3: clusters that nobody uses
            leaks += done.returncode == 3
        self.assertGreater(flushed, 10 * kills, "hardly anything was written")
        return flushed, leaks

    def test_no_kill_damages_an_image(self):
        moments = random.Random(self.options.seed)
        for name, create in SHAPES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                image = pathlib.Path(folder) / "disk.qcow2"
                done = shell(create.replace("IMAGE", str(image)))
                self.assertEqual(done.returncode, 0, done.stdout)
                kills = -(-self.options.kills // len(SHAPES))
                flushed, leaks = self.judge_shape(image, kills, moments)
                print(f"{name}: {kills} kills, {flushed} writes, {leaks} with leaked clusters", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=KillTest.options.kills)
    parser.add_argument("--seed", type=int, default=KillTest.options.seed)
    KillTest.options = parser.parse_args()
    guest.skip_unless_engine_runs()
    unittest.main(argv=[__file__], verbosity=2)
