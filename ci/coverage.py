#!/usr/bin/env python3
"""What gcovr counted, by layer and by function: the figures, what is left, and the tables of docs/coverage.md.

tests/coverage/reasons says why something may be left; the first line that fits counts:
    NAME: why                          a reason
    NAME PLACE PATTERN                 where it holds: PLACE is a file or file:function, a * stands for anything, PATTERN (a regular
                                       expression) fits the text of the line
usage: ci/coverage.py COVERAGE.json [--left | --table]
"""
import collections
import fnmatch
import functools
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = ("store", "log", "wire", "engine")
LINES_MIN, BRANCHES_MIN = 95, 85
REASONS = ROOT / "tests/coverage/reasons"
UNKNOWN = "?"


class Count:
    """lines and branches: all, and those that were never taken"""

    def __init__(self):
        self.lines = self.lines_left = self.branches = self.branches_left = 0

    def add(self, line):
        self.lines += 1
        self.lines_left += line["count"] == 0
        self.branches += len(line["branches"])
        self.branches_left += untaken(line)

    def shares(self):
        return (100 * (1 - self.lines_left / max(self.lines, 1)), 100 * (1 - self.branches_left / max(self.branches, 1)))


def untaken(line):
    return sum(branch["count"] == 0 for branch in line["branches"])


def lines_of(measured):
    """(file below core/src, function, line) of all that was measured"""
    for file in sorted(measured["files"], key=lambda file: file["file"]):
        for line in file["lines"]:
            yield file["file"].removeprefix("core/src/"), line.get("function_name", ""), line


def lines_left(measured):
    return ((file, function, line) for file, function, line in lines_of(measured) if line["count"] == 0 or untaken(line))


@functools.cache
def source(file):
    return (ROOT / "core/src" / file).read_text().splitlines()


def text_of(file, line):
    return source(file)[line["line_number"] - 1].strip()


@functools.cache
def reasons():
    """({name: why}, [(name, place, pattern)])"""
    lines = [line for line in REASONS.read_text().splitlines() if line.strip() and not line.startswith("#")]
    why = dict(line.split(": ", 1) for line in lines if re.match(r"\w+: ", line))
    places = [line.split(None, 2) for line in lines if not re.match(r"\w+: ", line)]
    return why, [(name, place, re.compile(pattern)) for name, place, pattern in places]


def reason(file, function, line):
    for name, place, pattern in reasons()[1]:
        if any(fnmatch.fnmatchcase(name_of, place) for name_of in (file, f"{file}:{function}")) and pattern.search(text_of(file, line)):
            return name
    return UNKNOWN


def print_left(measured):
    for file, function, line in lines_left(measured):
        what = "never run" if line["count"] == 0 else f"{untaken(line)} of {len(line['branches'])} branches"
        print(f"{file}:{line['line_number']}: {function}: {what}: {reason(file, function, line)}: {text_of(file, line)}")


def print_layers(measured):
    """how many layers have less than they must"""
    layers = {layer: Count() for layer in LAYERS}
    for file, _, line in lines_of(measured):
        layers[file.split("/")[0]].add(line)
    low = 0
    print("| layer | lines | covered | branches | covered |\n|---|---|---|---|---|")
    for layer, count in layers.items():
        lines, branches = count.shares()
        low += lines < LINES_MIN or branches < BRANCHES_MIN
        print(f"| {layer} | {count.lines} | {lines:.1f} % | {count.branches} | {branches:.1f} % |")
    return low


def print_table(measured):
    """by reason how much, then by function which"""
    by_reason, by_function = collections.defaultdict(Count), collections.defaultdict(lambda: (Count(), set()))
    for file, function, line in lines_left(measured):
        name = reason(file, function, line)
        by_reason[name].add(line)
        count, names = by_function[file, function]
        count.add(line)
        names.add(name)
    print_layers(measured)
    print("\n| reason | lines left | branches left | what it means |\n|---|---|---|---|")
    for name, count in sorted(by_reason.items(), key=lambda item: -item[1].branches_left):
        print(f"| {name} | {count.lines_left} | {count.branches_left} | {reasons()[0].get(name, 'not looked at yet')} |")
    print("\n| file | function: lines and branches left, reasons |\n|---|---|")
    files = collections.defaultdict(list)
    for (file, function), (count, names) in by_function.items():
        files[file].append(f"`{function}` {count.lines_left}/{count.branches_left} {', '.join(sorted(names))}")
    for file, functions in files.items():
        print(f"| {file} | {'; '.join(functions)} |")


def print_figures(measured):
    """0 when every layer is covered as it must be"""
    low = print_layers(measured)
    unknown = [f"{file}:{line['line_number']} ({function})" for file, function, line in lines_left(measured)
               if reason(file, function, line) == UNKNOWN]
    if unknown:
        print(f"left without a reason in tests/coverage/reasons: {len(unknown)} lines: {', '.join(unknown[:8])} …")
    print(f"coverage: {len(LAYERS) - low} passed, {low} failed")
    return 1 if low else 0


def main():
    measured = json.loads(pathlib.Path(sys.argv[1]).read_text())
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    if mode == "--left":
        return print_left(measured)
    if mode == "--table":
        return print_table(measured)
    return print_figures(measured)


if __name__ == "__main__":
    sys.exit(main())
