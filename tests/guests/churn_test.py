#!/usr/bin/python3
"""Programs that compute without pause while memory, code and processes change under them."""
import json
import pathlib
import tempfile
import unittest

import guest


class ChurnTest(unittest.TestCase):
    def churn(self, cpus, *options):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        figures = folder / "figures"
        with guest.Guest("--cpus", cpus, "--stats", figures, *options,
                         initrd=guest.GUESTS / "churn.cpio.gz") as machine:
            machine.wait_for_shell()
            words = " & ".join(["churn 5"] * cpus)
            status, text = machine.run(f"({words}; wait)")
            self.assertEqual(status, 0, text)
            self.assertEqual(text.count(", all well"), cpus, text)
            machine.send("poweroff -f\n")
            self.assertEqual(machine.wait(), 0)
            self.assertEqual(machine.errors(), "")
        counters = json.loads(figures.read_text())
        if guest.ENGINE == "direct":
            self.assertGreater(find(counters, "direct_runs"), 50)
            self.assertGreater(find(counters, "direct_microseconds"), 100_000)

    def test_one_program_on_one_cpu(self):
        self.churn(1)

    def test_a_cpu_of_the_hosts_features(self):
        self.churn(1, "--cpu", "host")

    def test_programs_on_two_cpus(self):
        self.churn(2)


def find(tree, name):
    """The sum of all numbers of that name, wherever they are."""
    if isinstance(tree, dict):
        return sum(value if key == name and isinstance(value, int) else find(value, name)
                   for key, value in tree.items())
    return sum(find(one, name) for one in tree) if isinstance(tree, list) else 0


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
