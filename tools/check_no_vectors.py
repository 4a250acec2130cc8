#!/usr/bin/env python3
"""Fails if a function touches vector registers, or calls another, which might.

usage: check_no_vectors.py FUNCTION... -- OBJECT...

Looks for functions whose name contains one of FUNCTION in the object files (which must define each).
"""
import re
import subprocess
import sys

HEAD = re.compile(r"^[0-9a-f]+ <(?P<name>.*)>:$")
VECTOR = re.compile(r"%?\b[xyz]?mm[0-9]")
CALL = re.compile(r"\bcall")


def findings(wanted, objects):
    seen, bad = set(), []
    for path in objects:
        dump = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", path], check=True,
                              capture_output=True, text=True).stdout
        function = None
        for line in dump.splitlines():
            if head := HEAD.match(line):
                function = next((name for name in wanted if name in head["name"]), None)
                if function:
                    seen.add(function)
            elif function and (VECTOR.search(line) or CALL.search(line)):
                bad.append(f"{function}: {line.strip()}")
    return bad + [f"{name}: not found" for name in wanted if name not in seen]


def main():
    split = sys.argv.index("--")
    wanted, objects = sys.argv[1:split], sys.argv[split + 1:]
    bad = findings(wanted, objects)
    print("\n".join(bad) if bad else f"{len(wanted)} functions touch no vector register")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
