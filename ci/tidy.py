#!/usr/bin/env python3
"""Style as a test: sizes of functions and files, leftovers, banned calls, unique file names, first lines.

usage: ci/tidy.py        exits 1 and names every breach, ends with "N passed, N failed"
"""
import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION_MAX, FILE_MAX, LINE_MAX = 70, 600, 120
BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi)\s*\(": "unbounded or stateful libc call",
    r"\b_Thread_local\b|\b__thread\b": "thread-local state",
}
LAYERS = ["base", "store", "log", "wire", "engine", "transport", "tls", "net", "api"]  # downward only; sim and virtual stand beside net
BESIDE_NET = ("sim", "virtual")
PURE = {"base", "store", "log", "wire", "engine"}
PURE_BANNED = r"\b(malloc|calloc|realloc|free|time|clock_gettime|gettimeofday|rand|random|getenv|printf|socket|pthread_\w+)\s*\("
LEFTOVER = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")


def tracked():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in out.stdout.splitlines() if (ROOT / line).is_file()]


def c_functions(lines):
    """(first line, length) of every function: a body whose brace closes in column 0"""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and line and not line[0].isspace() and line.rstrip().endswith("{") and "(" in line \
                and not re.match(r"(typedef|struct|enum|union|static const|#|\})", line):
            start = number
        elif start is None and re.match(r"\s+.*\) \{$", line) and not re.match(r"\s+(if|for|while|switch|\})", line) \
                and number > 1 and lines[number - 2] and not lines[number - 2][0].isspace() and lines[number - 2].rstrip().endswith(","):
            start = number - 1
        if start is not None and line.startswith("}"):
            yield start, number - start + 1
            start = None


def check_c(path, lines, say):
    for start, length in c_functions(lines):
        if length > FUNCTION_MAX:
            say(path, start, f"function of {length} lines (at most {FUNCTION_MAX})")
    layer = path.relative_to(ROOT).parts
    pure = layer[:2] == ("core", "src") and layer[2] in PURE and path.name != "alloc.c"
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        for pattern, why in BANNED.items():
            if layer[0] != "tests" and re.search(pattern, code):
                say(path, number, why)
        if pure and not line.lstrip().startswith(("/*", "*")) and re.search(PURE_BANNED, code):
            say(path, number, "a pure layer reaches outside")
    if not lines or not lines[0].startswith("/*"):
        say(path, 1, "the first line does not say which idea the file holds")


def check_direction(path, lines, say):
    """an include names a header of the own layer or of one below"""
    layer = path.relative_to(ROOT).parts
    if layer[:2] != ("core", "src"):
        return
    depth = LAYERS.index("net" if layer[2] in BESIDE_NET else layer[2])
    beside = BESIDE_NET if layer[2] in ("net", *BESIDE_NET) else ()
    above = {header.name for name in (*LAYERS[depth:], *beside) if name != layer[2] for header in (ROOT / "core/src" / name).glob("*.h")}
    for number, line in enumerate(lines, 1):
        found = re.match(r'#include "([^"]+)"', line)
        if found and found.group(1) in above:
            say(path, number, f"{layer[2]} includes {found.group(1)} of a layer above or beside it")


def main():
    failures, checked = [], 0

    def say(path, number, text):
        failures.append(f"{path.relative_to(ROOT)}:{number}: {text}")

    names = collections.defaultdict(list)
    for path in tracked():
        relative = path.relative_to(ROOT)
        if path.suffix not in {".c", ".h", ".py", ".js", ".mjs", ".ts", ".pyi", ".sh", ".def"} and relative.parts[0] != "ci":
            continue
        if relative.parts[:2] == ("tests", "model"):
            continue
        checked += 1
        lines = path.read_text().splitlines()
        if len(lines) > FILE_MAX:
            say(path, len(lines), f"file of {len(lines)} lines (at most {FILE_MAX})")
        if re.search(r"\b(util|utils|common|misc|helpers)\b", path.stem):
            say(path, 1, "a file name that says nothing")
        for number, line in enumerate(lines, 1):
            if LEFTOVER.search(line):
                say(path, number, "left for later")
            if path.suffix in {".c", ".h"} and len(line) > LINE_MAX + 20:
                say(path, number, f"line of {len(line)} columns")
        if path.suffix in {".c", ".h"}:
            check_c(path, lines, say)
            check_direction(path, lines, say)
            public = relative.parts[:2] == ("core", "include")  # included by its folder too
            names["/".join(relative.parts[2:]) if public else path.name].append(relative)
    for name, places in names.items():
        if len(places) > 1:
            failures.append(f"{places[0]}: the file name {name} is not unique: {', '.join(map(str, places))}")
    for line in failures:
        print(line)
    print(f"tidy: {checked - len({f.split(':')[0] for f in failures})} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
