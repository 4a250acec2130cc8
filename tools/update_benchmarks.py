#!/usr/bin/env python3
"""Puts a benchmark report into the documents: all of it into one, the group means into another.

usage: update_benchmarks.py REPORT DETAILS README
       update_benchmarks.py --section NAME REPORT DETAILS

The tables stand between the marks <!-- benchmarks --> and <!-- /benchmarks -->, those of a section of
its own between <!-- benchmarks NAME --> and <!-- /benchmarks NAME -->.
"""
import argparse
import pathlib
import platform
import re
import sys


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def put(path, text, name="benchmarks"):
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    document = path.read_text()
    mark = re.compile(f"{first}.*{last}", re.S)
    if not mark.search(document):
        sys.exit(f"{path}: no place for the table: the marks {first} are missing")
    path.write_text(mark.sub(lambda _: f"{first}\n{text}\n{last}", document))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--section")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    if len(arguments.files) != (2 if arguments.section else 3):
        sys.exit(__doc__)
    report, details, *readme = arguments.files
    lines = report.read_text().splitlines()
    where = f"Measured on: {processor()}, Linux {platform.release().split('-')[0]}."
    name = f"benchmarks {arguments.section}" if arguments.section else "benchmarks"
    put(details, where + "\n\n" + "\n".join(lines), name)
    if readme:
        put(readme[0], where + "\n\n" + summary(lines))


def summary(lines):
    """The means by group alone."""
    groups = [line.replace(" geometric mean", "").replace("**", "") for line in lines if "geometric mean" in line]
    environments = lines[0].split("|")[3:-1]
    table = ["| group |" + "|".join(environments) + "|", "|---|" + "---:|" * len(environments)]
    for line in groups:
        cells = line.split("|")
        table.append("|" + cells[1] + "|" + "|".join(cells[3:-1]) + "|")
    return "\n".join(table)


main()
