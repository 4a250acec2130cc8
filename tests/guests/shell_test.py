#!/usr/bin/python3
"""Debian's kernel boots to a shell, and what people do first in a shell works."""
import hashlib
import re
import time
import unittest

import guest
from known_messages import unexpected_messages

MEMORY_MIB = 512
BASELINE_FLAGS = (
    "fpu de pse tsc msr pae mce cx8 apic sep pge mca cmov pat clflush mmx fxsr sse sse2 "
    "syscall nx lm rep_good"
).split()


class ShellTest(unittest.TestCase):
    """One boot for all: the tests only look, or clean up after themselves."""

    @classmethod
    def setUpClass(cls):
        cls.machine = cls.enterClassContext(guest.Guest(memory=f"{MEMORY_MIB}M"))
        cls.machine.wait_for_shell()

    def output(self, command, **options):
        return self.machine.output(command, **options)

    def interrupts(self, names):
        """How often the interrupts came whose line in /proc/interrupts matches."""
        counts = re.findall(rf"^ *(?:{names}): +((?:\d+ +)+)", self.output("cat /proc/interrupts"), re.M)
        return sum(int(word) for count in counts for word in count.split())

    def test_the_kernel_is_debians_own(self):
        release = (guest.GUESTS / guest.FLAVOUR / "release").read_text().strip()
        self.assertEqual(self.output("uname -rm"), f"{release} x86_64")

    def test_the_processor_describes_itself(self):
        lines = self.output("cat /proc/cpuinfo").splitlines()
        fields = dict(re.split(r"\s*: ?", line, maxsplit=1) for line in lines if ":" in line)
        self.assertRegex(fields["model name"], r"\w")
        self.assertGreater(float(fields["cpu MHz"]), 100)
        self.assertGreater(float(fields["bogomips"]), 10)
        self.assertEqual(set(BASELINE_FLAGS) - set(fields["flags"].split()), set())
        self.assertEqual(lines.count("processor\t: 0"), 1)

    def test_the_kernel_has_nothing_to_complain_about(self):
        self.assertEqual(unexpected_messages(self.output("dmesg -r")), [])

    def test_the_clock_shows_the_time_of_day(self):
        before = time.time()
        shown = int(self.output("date -u +%s"))
        self.assertGreaterEqual(shown, before - 5)
        self.assertLessEqual(shown, time.time() + 5)

    def test_the_clock_runs_as_fast_as_the_hosts(self):
        def sample():
            before = time.monotonic()
            up = float(self.output("cat /proc/uptime").split()[0])
            after = time.monotonic()
            return up, (before + after) / 2, (after - before) / 2

        up1, host1, error1 = sample()
        time.sleep(5)
        up2, host2, error2 = sample()
        self.assertAlmostEqual(up2 - up1, host2 - host1, delta=0.2 + error1 + error2)

    def test_sleep_takes_as_long_as_it_says(self):
        before = time.monotonic()
        self.output("sleep 2")
        self.assertGreaterEqual(time.monotonic() - before, 1.99)

    def test_a_busy_processor_gets_timer_ticks(self):
        before = self.interrupts("LOC|0")
        for _ in range(10):  # how many come in three seconds is for the host to say
            self.output("end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done")
            if self.interrupts("LOC|0") > before + 50:
                break
        self.assertGreater(self.interrupts("LOC|0"), before + 50)

    def test_the_serial_port_interrupts(self):
        self.assertGreater(self.interrupts("4"), 0)

    def test_the_serial_port_is_a_16550a(self):
        self.assertRegex(self.output("cat /proc/tty/driver/serial"), "0: uart:16550A port:000003F8")

    def test_most_of_the_memory_is_usable(self):
        total = int(re.search(r"MemTotal: +(\d+) kB", self.output("cat /proc/meminfo"))[1])
        self.assertGreater(total, MEMORY_MIB * 1024 * 0.8)
        self.assertLess(total, MEMORY_MIB * 1024)

    def test_the_clock_source_is_a_hardware_counter(self):
        self.assertIn(self.machine.clock_source(), ("tsc", "kvm-clock", "hpet", "acpi_pm"))

    def test_output_arrives_complete(self):
        expected = "\n".join(str(number) for number in range(1, 3001))
        self.assertEqual(self.output("seq 1 3000"), expected)

    def test_pasted_input_arrives_complete(self):
        text = "".join(f"{number:04} the quick brown fox jumps\n" for number in range(300))
        self.machine.send("stty -echo; cat >/tmp/pasted; stty echo\n")
        time.sleep(1)
        self.machine.send(text + "\x04")
        digest = hashlib.md5(text.encode()).hexdigest()
        self.assertEqual(self.output("md5sum </tmp/pasted").split()[0], digest)

    def test_ctrl_c_stops_a_command(self):
        self.machine.send("echo sta''rted; sleep 1000\n")
        self.machine.expect("^started\n")
        time.sleep(1)
        self.machine.send("\x03")
        self.machine.expect("vireo# ")
        self.assertEqual(self.output("echo usable"), "usable")

    def test_arithmetic_is_right(self):
        self.assertEqual(self.output("echo $((123456789 * 987654321 % 1000007))"),
                         str(123456789 * 987654321 % 1000007))
        values = ", ".join(f"{n}/7+{n}*{n}/13" for n in range(1, 40))
        shown = self.output(f"awk 'BEGIN {{ print {values} }}'").split()
        self.assertEqual(shown, [f"{n / 7 + n * n / 13:.6g}" for n in range(1, 40)])

    def test_digests_are_right(self):
        data = "".join(f"{number}\n" for number in range(1, 5001)).encode()
        for name in ("md5", "sha1", "sha256", "sha512"):
            with self.subTest(name):
                shown = self.output(f"seq 1 5000 | {name}sum").split()[0]
                self.assertEqual(shown, hashlib.new(name, data).hexdigest())

    def test_compression_gives_back_what_it_took(self):
        self.assertEqual(
            self.output("dd if=/dev/urandom of=/tmp/a bs=64k count=8 2>/dev/null; "
                        "gzip -c /tmp/a | gunzip | cmp - /tmp/a && echo same; rm /tmp/a"), "same")

    def test_processes_come_and_go(self):
        command = "i=0; while [ $i -lt 50 ]; do i=$(expr $i + 1); done; echo $i"
        self.assertEqual(self.output(command), "50")
        self.assertEqual(self.machine.run("sh -c 'kill -SEGV $$'")[0], 128 + 11)

    def test_zz_power_off_ends_the_program_with_success(self):
        self.machine.send("poweroff -f\n")
        self.assertEqual(self.machine.wait(), 0)
        self.assertEqual(self.machine.errors(), "")
        self.assertEqual(self.machine.terminal_now(), self.machine.terminal_before)


if __name__ == "__main__":
    guest.skip_unless_engine_runs()
    unittest.main(verbosity=2)
