"""The kernel's warnings and errors that a real PC of this kind would show as well."""
import re

# What is matched, and why it is no sign of a defect of the machine.
KNOWN = [
    (r"acpi PNP0A03:00: fail to add MMCONFIG information, can't access extended PCI configuration",
     "the 440FX chipset has no memory-mapped configuration space; Linux warns of every PC without"),
    (r"PCI: (Fatal: No config space access function found|System does not support PCI)$",
     "what Linux says when it is told pci=off, on any PC"),
    (r"tsc: Unable to calibrate against PIT$",
     "on AMD's processors, where CPUID does not tell the frequency, if the host gave the CPU to "
     "others meanwhile; on a PC it is system management mode that takes it away"),
    (r"device-mapper: core: CONFIG_IMA_DISABLE_HTABLE is disabled\.",
     "a wish about how Debian configures its kernel, on any machine"),
    (r"\.\.MP-BIOS bug: 8254 timer not connected to IO-APIC$",
     "Linux waits 40 ms by the TSC for ticks of the PIT; the host gave the CPU to others meanwhile. "
     "Then it tries another way, and says so if that does not work either"),
    (r"hrtimer: interrupt took \d+ ns$",
     "the host gave the CPU to others in the midst of a timer interrupt, and time went on"),
    (r"atkbd serio0: Spurious ACK on isa0060/serio0\.",
     "Linux waits 200 ms for the keyboard's answer; the host gave the CPU that is interrupted for it "
     "to others meanwhile, and then the answer comes late"),
]
WARNING = 4  # levels 0-4 are emergency to warning


def unexpected_messages(raw_log):
    """The lines of `dmesg -r` at warning level or worse that are not known."""
    unexpected = []
    for line in raw_log.splitlines():
        match = re.match(r"<(\d+)>(.*)", line)
        if match and int(match[1]) & 7 <= WARNING:
            if not any(re.search(pattern, match[2]) for pattern, _ in KNOWN):
                unexpected.append(line)
    return unexpected
