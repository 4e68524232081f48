#!/usr/bin/env python3
"""Every rule of the protocol broken in turn: what sees it, after how many runs, and which invariant it hits.

tests/mutants/catches names for each rule what sees its breach, one line each:
    RULE  history FIRST BOUND [presence-sim arguments]   random histories of clusters, seeds FIRST to FIRST + BOUND - 1
    RULE  law FIRST BOUND                                random histories of one log (tests/laws/test_log_law.c)
    RULE  test PROGRAM CASE                              one scenario that is made for it
The same seeds and tests must pass with every rule in force.

usage: ci/mutants [--search | --table] [RULE…]
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("PRESENCE_MUTANTS_BUILD", ROOT / "build/mutants"))
CATCHES = ROOT / "tests/mutants/catches"
TIMEOUT = 120
SEARCH_RUNS = 1500
SLOW = {"test_sim_random"}
FAILED = re.compile(r"^\[  FAILED  \] ([a-z]\w+)$", re.M)


def rules():
    """[(name, section, what it says)]"""
    text = (ROOT / "core/src/base/rules.def").read_text()
    return [tuple(row) for row in re.findall(r'^RULE\((\w+), "([^"]*)", "([^"]*)"\)$', text, re.M)]


def catches():
    """{rule: [kind, …]}"""
    lines = [line.split("#")[0].split() for line in CATCHES.read_text().splitlines()]
    return {line[0]: line[1:] for line in lines if line}


def run(command, mutant):
    environment = dict(os.environ)
    environment.pop("PRESENCE_MUTANT", None)
    if mutant:
        environment["PRESENCE_MUTANT"] = mutant
    try:
        done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, errors="replace",
                              timeout=TIMEOUT, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def invariant(text, code):
    found = re.search(r"\bP\d+\b", text)
    if found:
        return found.group(0)
    if code is not None and code < 0:
        return "crash"
    for words, name in (("protocol error", "links hold"), ("key edge", "key edges"), ("time stands still", "P10"), ("accuses", "life"),
                        ("seq ", "seq"), ("diff order", "diff order")):
        if words in text:
            return name
    return ""


class Seen:
    """what a run showed: caught, after how many runs, the invariant, the text"""

    def __init__(self, caught, runs="", what="", text=""):
        self.caught, self.runs, self.what, self.text = caught, runs, what, text


def by_history(mutant, first, bound, *arguments):
    broken_rule = ["--mutant", mutant] if mutant else []
    code, text = run([BUILD / "presence-sim", "--seed", first, "--runs", bound, *broken_rule, *arguments], None)
    if code == 0 or code == 2 or code is None:
        return Seen(False, bound, "no answer" if code is None else "", text)
    seed = re.search(r"\bseed (\d+)", text)
    broken = next((line for line in text.splitlines() if re.search(r"\bat \d+ ms: ", line)), "")
    return Seen(True, int(seed.group(1)) - int(first) + 1 if seed else "", invariant(broken, code), broken.strip())


def by_law(mutant, first, bound):
    code, text = run([BUILD / "tests/test_log_law", first, bound], mutant)
    seed = re.search(r"\bseed (\d+)", text)
    broken = next((line for line in text.splitlines() if line.startswith("ERROR")), "")
    what = invariant(broken, code) or re.sub(r"ERROR: | \(line.*", "", broken)
    return Seen(code not in (0, None), int(seed.group(1)) - int(first) + 1 if seed else "", what, broken)


def by_test(mutant, program, case):
    code, text = run([BUILD / "tests" / program], mutant)
    failed = FAILED.findall(text)
    caught = case in failed or (code is not None and code < 0)
    broken = next((line for line in text.splitlines() if "error: " in line or "ERROR" in line), "")
    figure = re.search(r"^\d+ bytes for \d+ versions", text, re.M)
    return Seen(caught if mutant else code != 0, "", figure.group(0) if figure else "", broken.strip())


def look(rule, how, mutant):
    kind = {"history": by_history, "law": by_law, "test": by_test}[how[0]]
    return kind(rule if mutant else None, *how[1:])


def words(how):
    if how[0] == "test":
        return f"`{how[1]}`: {how[2].replace('_', ' ')}"
    return f"{'histories' if how[0] == 'history' else 'laws'}, within {how[2]}" + (f" ({' '.join(how[3:])})" if how[3:] else "")


def table():
    known = catches()
    print("| rule | section | what it says | seen by |\n|---|---|---|---|")
    for name, section, says in rules():
        print(f"| {name} | {section} | {says} | {words(known[name]) if name in known else 'nothing'} |")


def clean(known):
    """The same seeds and tests with every rule in force; the texts of what failed."""
    seen = set()
    for how in known.values():
        key = tuple(how)
        if how[0] == "test":
            key = (how[0], how[1], "")
        elif len(how) == 3:  # the widest range of those that begin alike
            key = (how[0], how[1], str(max(int(h[2]) for h in known.values() if h[:2] == how[:2] and len(h) == 3)))
        seen.add(key)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(pool.map(lambda how: (how, look(None, list(how), False)), sorted(seen)))
    return [f"with every rule in force {' '.join(how)} fails: {result.text}" for how, result in looks if result.caught], len(looks)


def hunt(only):
    known, start, passed, failures = catches(), time.monotonic(), 0, []
    names = {name for name, _, _ in rules()}
    failures += [f"tests/mutants/catches names {name}, which is no rule" for name in known if name not in names]
    chosen = [row for row in rules() if not only or row[0] in only]
    print(f"{'rule':<18} {'section':<8} {'seen by':<72} {'runs':>5}  invariant")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = pool.map(lambda row: look(row[0], known[row[0]], True) if row[0] in known else Seen(False), chosen)
        for (name, section, _), result in zip(chosen, looks):
            how = known.get(name, ["nothing"])
            by = how[0] if how[0] != "test" else f"{how[1]}: {how[2]}"
            what = result.what if result.caught else "NOT SEEN"
            print(f"{name:<18} {section:<8} {by:<72} {result.runs:>5}  {what}".rstrip(), flush=True)
            passed += result.caught
            if not result.caught:
                failures.append(f"{name} ({section}) can be broken and nothing sees it: {' '.join(how)}")
    broken, looked = clean({name: known[name] for name, _, _ in chosen if name in known})
    failures += broken
    for line in failures:
        print(line)
    print(f"{looked} ranges of seeds and test programs are clean with every rule in force; {time.monotonic() - start:.0f} s")
    print(f"mutants: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0


def search_one(name):
    for how in (["history", "1", str(SEARCH_RUNS)], ["law", "1", "20000"]):
        result = look(name, how, True)
        if result.caught:
            yield how[0], how[1], result.runs, result.what
    for program in sorted((BUILD / "tests").glob("test_*")):
        if program.suffix or program.name in SLOW or program.name.startswith(("test_mesh", "test_api", "test_wire", "test_log_law")):
            continue
        code, text = run([program], name)
        for case in sorted(set(FAILED.findall(text))) or ([f"exit {code}"] if code else []):
            yield "test", program.name, case, ""


def search(only):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = [name for name, _, _ in rules() if not only or name in only]
        for name, found in zip(chosen, pool.map(lambda name: list(search_one(name)), chosen)):
            for how in found or [("nothing",)]:
                print(f"{name:<18}", *how, flush=True)
    return 0


def main():
    arguments = sys.argv[1:]
    only = {argument for argument in arguments if not argument.startswith("-")}
    if "--table" in arguments:
        table()
        return 0
    return search(only) if "--search" in arguments else hunt(only)


if __name__ == "__main__":
    sys.exit(main())
