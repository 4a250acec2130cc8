#!/usr/bin/python3
"""Debian's kernel finds all its processors, takes them off and on again, and ends with all of them."""
import os
import re
import time
import unittest

import guest
from known_messages import unexpected_messages

# How many processors there are, one boot after the other.
COUNTS = [int(word) for word in os.environ.get("VIREO_CPUS", "1 2 4 8").split()]
MEMORY_MIB = 512
FEATURES = {  # what Linux says of them
    "steal_time": r"kvm-guest: KVM setup pv remote TLB flush",
    "unhalt": r"kvm-guest: PV spinlocks enabled",
    "ipi": r"kvm-guest: setup PV IPIs",
    "yield": r"kvm-guest: setup PV sched yield",
}
# Linux expects each of its processors to go on within 21 seconds, which a host with few does not promise so many.
PATIENT = "rcupdate.rcu_cpu_stall_timeout=300"


class CpusTest(unittest.TestCase):
    def boot(self, count, *options, append=""):
        append = f"{append} {PATIENT}" if count > 16 else append
        machine = self.enterContext(guest.Guest("--cpus", count, *options, memory=f"{MEMORY_MIB}M", append=append))
        machine.wait_for_shell()
        self.assertEqual(self.processors(machine), list(range(count)))
        return machine

    def processors(self, machine):
        lines = machine.output("cat /proc/cpuinfo").splitlines()
        return [int(line.split(":")[1]) for line in lines if line.startswith("processor")]

    def finish(self, machine):
        self.assertEqual(unexpected_messages(machine.output("dmesg -r")), [])
        machine.send("poweroff -f\n")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(machine.errors(), "")

    def use(self, machine, count):
        """Work for each of them, one after the other."""
        return machine.output(f"for cpu in $(seq 0 {count - 1}); do taskset -c $cpu sh -c "
                              "'i=0; while [ $i -lt 500 ]; do i=$((i + 1)); done; echo done'; done")

    def set_online(self, machine, cpu, online):
        machine.output(f"echo {online} >/sys/devices/system/cpu/cpu{cpu}/online")

    def test_all_processors_work(self):
        for count in COUNTS:
            with self.subTest(cpus=count):
                machine = self.boot(count)
                # One loop for each of them; the answers are those of all.
                machine.output(f"mount -t tmpfs tmpfs /tmp; for i in $(seq 0 {count - 1}); do taskset -c $i sh -c "
                               f"'cat /proc/self/stat | cut -d\" \" -f39 >/tmp/ran.'$i & done; wait")
                ran = machine.output("cat /tmp/ran.*").split()
                self.assertEqual(sorted(map(int, ran)), list(range(count)))
                self.finish(machine)

    def test_processors_go_off_and_on_again(self):
        for count in COUNTS:
            if count == 1:
                continue
            with self.subTest(cpus=count):
                machine = self.boot(count)
                self.assertEqual(self.use(machine, count), "done\n" * (count - 1) + "done")
                for cpu in range(1, count):
                    self.set_online(machine, cpu, 0)
                self.assertEqual(self.processors(machine), [0])
                self.assertNotEqual(machine.run("taskset -c 1 true")[0], 0)
                for cpu in range(1, count):
                    self.set_online(machine, cpu, 1)
                self.assertEqual(self.processors(machine), list(range(count)))
                self.assertEqual(self.use(machine, count), "done\n" * (count - 1) + "done")
                self.finish(machine)

    def test_one_that_works_goes_off(self):
        machine = self.boot(4)
        machine.output("sh -c 'i=0; while [ ! -e /stop ]; do i=$((i + 1)); done; echo $i >/counted' & echo $! >/worker")
        for _ in range(5):
            machine.output("taskset -cp 2 $(cat /worker)")
            self.set_online(machine, 2, 0)
            self.assertEqual(self.processors(machine), [0, 1, 3])
            # What was pinned to it goes on elsewhere, and the kernel says so.
            self.assertRegex(machine.output("dmesg -c"), r"process \d+ \(sh\) no longer affine to cpu2")
            self.set_online(machine, 2, 1)
        self.assertEqual(self.processors(machine), [0, 1, 2, 3])
        self.assertGreater(int(machine.output("touch /stop; wait; cat /counted")), 1000)
        self.finish(machine)

    def test_an_nmi_reaches_each_processor(self):
        machine = self.boot(4)
        machine.output("dmesg -c; echo l >/proc/sysrq-trigger; sleep 1")
        log = machine.output("dmesg -c")
        shown = {int(number) for number in re.findall(r"NMI backtrace for cpu (\d+)", log)}
        self.assertEqual(shown, set(range(4)), log)
        self.finish(machine)

    def test_one_processor_has_nobody_to_tell(self):
        machine = self.boot(1)
        self.assertNotIn("KVM", machine.output("dmesg"))

    def test_several_tell_the_monitor_what_they_wait_for(self):
        machine = self.boot(4)
        log = machine.output("dmesg")
        for name, message in FEATURES.items():
            with self.subTest(name):
                self.assertRegex(log, message)
        self.assertEqual(machine.clock_source(), "tsc")
        stolen = int(machine.output("head -n 1 /proc/stat").split()[8])
        self.assertGreaterEqual(stolen, 0)

    def test_they_do_without_what_the_cpu_model_lacks(self):
        names = "steal-time pv-unhalt pv-tlb-flush pv-ipi pv-sched-yield".split()
        model = ",".join(["baseline", *(f"-kvm-{name}" for name in names)])
        machine = self.boot(4, "--cpu", model)
        self.assertNotIn("KVM", machine.output("dmesg"))
        self.finish(machine)

    def test_the_clock_that_kvm_has_tells_the_same_time(self):
        machine = self.boot(2, "--cpu", "baseline,+kvmclock", append="clocksource=kvm-clock")
        self.assertRegex(machine.output("dmesg"), r"kvm-clock: using sched offset of \d+ cycles")
        machine.output(f"echo kvm-clock >{guest.CLOCK_SOURCE}")
        self.assertEqual(machine.clock_source(), "kvm-clock")
        shown = [float(word) for word in machine.output(
            f"for source in kvm-clock tsc kvm-clock; do echo $source >{guest.CLOCK_SOURCE}; "
            "cut -d' ' -f1 /proc/uptime; sleep 1; done").split()]
        for earlier, later in zip(shown, shown[1:]):
            self.assertGreater(later - earlier, 0.9)
            self.assertLess(later - earlier, 20)
        # Whoever asks on one CPU after the other sees no time go back.
        times = machine.output("for i in $(seq 40); do taskset -c $((i % 2)) cut -d' ' -f1 /proc/uptime; done").split()
        self.assertEqual(len(times), 40)
        self.assertEqual(times, sorted(times, key=float))
        shown = int(machine.output("date -u +%s"))
        self.assertAlmostEqual(shown, time.time(), delta=guest.COMMAND_SECONDS)
        self.finish(machine)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
