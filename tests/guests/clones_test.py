#!/usr/bin/python3
"""Programs that choose their code by what the CPU is called find nothing in it that the CPU has not."""
import re
import unittest

import guest
from known_messages import unexpected_messages

# What compilers call the CPU, where that needs nothing of the host but the model.
CALLED = {("v2", "intel"): ["nehalem"], ("baseline", "intel"): [], ("baseline", "amd"): []}


def available_models():
    listed = guest.vireo("cpu-models").stdout
    return re.findall(r"^(\w+) +available", listed, re.M)


class ClonesTest(unittest.TestCase):
    def run_clones(self, model, vendor):
        with guest.Guest("--cpu", f"{model},vendor={vendor}",
                         initrd=guest.GUESTS / "clones.cpio.gz") as machine:
            machine.wait_for_shell()
            status, text = machine.run("clones")
            self.assertEqual(status, 0, text)
            self.assertIn("clones: all well", text)
            called = re.findall(r"called (\S+)", text)
            self.assertEqual(called, CALLED.get((model, vendor), called))
            self.assertEqual(unexpected_messages(machine.output("dmesg -r")), [])
            machine.send("poweroff -f\n")
            self.assertEqual(machine.wait(), 0)

    def test_each_model_of_each_vendor(self):
        for model in available_models():
            for vendor in ["intel", "amd"]:
                with self.subTest(model=model, vendor=vendor):
                    self.run_clones(model, vendor)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
