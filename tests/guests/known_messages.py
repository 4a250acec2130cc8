"""The kernel's warnings and errors that a real PC of this kind would show as well."""
import re

# What is matched, and why it is no sign of a defect of the machine.
KNOWN = [
    (r"Spectre|RETBleed|MDS|TAA|MMIO Stale|SRSO|GDS|Speculat|VMSCAPE|ITS:|TSA",
     "what mitigations the processor can offer is a matter of its model"),
    (r"fail to add MMCONFIG information",
     "the 440FX chipset has no memory-mapped configuration space"),
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
