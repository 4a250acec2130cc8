#!/usr/bin/env python3
"""Adds up a JUnit report of CTest: prints `PASSED FAILED SKIPPED`, and on standard error what else
there is to know: which were skipped and which failed, with the end of their output.

Skipped is only what said so itself. A test that could not run - no program, a failed fixture - has
failed, although CTest files it under skipped.

usage: count_tests.py REPORT
"""
import sys
import textwrap
import xml.etree.ElementTree

OUTPUT_LINES = 40


def verdict(case):
    skipped = case.find("skipped")
    if case.get("status") == "run":
        return "passed"
    if case.get("status") == "disabled":
        return "skipped"
    if skipped is not None and skipped.get("message", "").startswith("SKIP_"):
        return "skipped"
    return "failed"


def main(report):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        result = verdict(case)
        counts[result] += 1
        if result != "passed":
            print(f"  {result}: {case.get('name')}", file=sys.stderr)
        if result == "failed":
            lines = (case.findtext("system-out") or "").splitlines()[-OUTPUT_LINES:]
            print(textwrap.indent("\n".join(lines), "    "), file=sys.stderr)
    print(*counts.values())


if __name__ == "__main__":
    main(sys.argv[1])
