#!/usr/bin/env python3
"""Puts a benchmark report into the documents: all of it into one, the group means into another.

usage: update_benchmarks.py REPORT DETAILS README

The tables stand between the marks <!-- benchmarks --> and <!-- /benchmarks -->.
"""
import pathlib
import platform
import re
import sys

MARK = re.compile(r"<!-- benchmarks -->.*<!-- /benchmarks -->", re.S)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def put(path, text):
    document = path.read_text()
    if not MARK.search(document):
        sys.exit(f"{path}: no place for the table: the marks <!-- benchmarks --> are missing")
    path.write_text(MARK.sub(lambda _: f"<!-- benchmarks -->\n{text}\n<!-- /benchmarks -->", document))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    report, details, readme = (pathlib.Path(name) for name in sys.argv[1:])
    lines = report.read_text().splitlines()
    heads = [line for line in lines[:1]]
    groups = [line.replace(" geometric mean", "").replace("**", "") for line in lines if "geometric mean" in line]
    environments = heads[0].split("|")[3:-1]
    where = f"Measured on: {processor()}, Linux {platform.release().split('-')[0]}."
    put(details, where + "\n\n" + "\n".join(lines))
    table = ["| group |" + "|".join(environments) + "|", "|---|" + "---:|" * len(environments)]
    for line in groups:
        cells = line.split("|")
        table.append("|" + cells[1] + "|" + "|".join(cells[3:-1]) + "|")
    put(readme, where + "\n\n" + "\n".join(table))


main()
