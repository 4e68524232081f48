"""Runs the benchmarks and prints one table: figure, budget, and the ratio to others with --baseline.

usage: table.py BUILD_FOLDER [--json] [--baseline] [--only WORD] [--write FILE]

Every program prints lines of name, value, unit. ROWS says in which order they are shown, what the budget is, and which
figure of a baseline it is compared with. Times of single-threaded calls are CPU time of the calling thread, so they
hold on a machine that others use too; times of waiting are wall time.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Row:
    def __init__(self, name, title, unit, budget="", limit=None, more=False, base="", times=1.0):
        self.name, self.title, self.unit = name, title, unit
        self.budget, self.limit = budget, limit  # the budget in words, and as a number
        self.more = more  # more is better
        self.base, self.times = base, times


def rate(name, title, base="", limit=None, unit="/s", budget=""):
    return Row(name, title, unit, budget or (f">= {limit:,}" if limit else ""), limit, True, base)


def cost(name, title, unit, limit=None, base="", budget=""):
    return Row(name, title, unit, budget or (f"<= {limit:,}" if limit else ""), limit, False, base)


LANGUAGES = ("c", "python", "node")
NAMES = {"c": "C", "python": "Python", "node": "Node"}
ROWS = [
    rate("c.track.100000", "C: track, 100 k entries", "track", 1_000_000),
    rate("c.track.1000000", "C: track, up to 1 M entries", "track", 425_000),
    cost("c.track_longest.1000000", "  the longest of these 1 M calls", "ms", 10),
    rate("c.update.100000", "C: update, 100 k entries", "update", 400_000),
    rate("c.update.1000000", "C: update, 1 M entries", "update", 400_000),
    rate("c.untrack.100000", "C: untrack, 100 k entries", "untrack"),
    rate("c.untrack.1000000", "C: untrack, 1 M entries", "untrack"),
    cost("c.untrack_owner.10000", "C: untrack of an owner with 10 000", "us", 10_000, "untrack_owner.10000"),
    cost("c.list.100", "C: list of 100, every entry read", "us", None, "list.100"),
    cost("c.list_json.100", "C: list of 100 as JSON", "us", 20, "list.100"),
    cost("c.list.10000", "C: list of 10 000, every entry read", "us", None, "list.10000"),
    cost("c.list_json.10000", "C: list of 10 000 as JSON", "us", 2_100, "list.10000"),
    rate("c.get_by_key.100000", "C: get_by_key, 100 k entries"),
    rate("c.get_by_key.1000000", "C: get_by_key, 1 M entries"),
    rate("c.count.100000", "C: count, 100 k entries"),
    rate("c.count.1000000", "C: count, 1 M entries"),
    rate("c.threads.1", "C: track and list in turn, 1 thread", unit="pairs/s"),
    rate("c.threads.4", "C: track and list in turn, 4 threads", unit="pairs/s"),
    cost("c.threads_cpu.1", "  CPU time of a pair, 1 thread", "us"),
    cost("c.threads_cpu.4", "  CPU time of a pair, 4 threads", "us"),
    cost("c.merge.10000", "merge of one entry into 10 k", "us", 10, "merge"),
    cost("c.merge.100000", "merge of one entry into 100 k", "us", 10, "merge"),
    cost("c.merge.1000000", "merge of one entry into 1 M", "us", 10, "merge"),
    cost("merge_ratio", "merge into 1 M as a multiple of 10 k", "x", 2),
    cost("c.apply.100000", "apply of a snapshot of 100 k, per entry", "us", 0.6, "apply"),
    cost("c.apply.1000000", "apply of a snapshot of 1 M, per entry", "us", 0.6, "apply"),
    cost("c.apply_slice.1000000", "apply of 1 M, longest frame", "ms", 10),
    cost("c.sync.100000", "new member has all 100 k, two processes", "ms", 1_000),
    cost("c.sync_turn.100000", "  longest turn of its loop", "ms", 10),
    cost("c.sync_hold.100000", "  longest hold of its lock", "ms", 10),
    cost("c.sync_list_p99.100000", "  its local list meanwhile, p99", "ms", 2),
    cost("c.sync.1000000", "new member has all 1 M, two processes", "ms"),
    cost("c.sync_turn.1000000", "  longest turn of its loop", "ms", 10),
    cost("c.sync_hold.1000000", "  longest hold of its lock", "ms", 10),
    cost("c.sync_list_p99.1000000", "  its local list meanwhile, p99", "ms", 2),
    cost("c.memory.local.0", "memory per own presence, not updated", "B", 160, "memory"),
    cost("c.memory.local.100", "memory per own presence, all updated", "B", 160, "memory"),
    cost("c.memory.remote.0", "memory per presence of others, not updated", "B", 160, "memory"),
    cost("c.memory.remote.100", "memory per presence of others, all updated", "B", 160, "memory"),
    cost("c.wire.join", "on the wire: a join alone", "B", 90, "wire.join"),
    cost("c.wire.join_batch", "on the wire: a join in 100", "B", 75, "wire.join_batch"),
    cost("c.wire.update", "on the wire: an update", "B"),
    cost("c.wire.leave", "on the wire: a leave", "B"),
    cost("c.wire.heartbeat", "on the wire: a heartbeat", "B"),
    cost("c.wire.snapshot", "on the wire: a snapshot, per entry", "B", None, "wire.snapshot"),
]
ROWS += [
    cost("c.tls.handshake", "TLS by secret: a handshake, both ends", "us"),
    cost("c.tls.memory", "TLS: memory of an idle link, one end", "B"),
    cost("c.tls.heartbeat", "TLS: a heartbeat sealed and opened", "us"),
    rate("c.tls.bulk", "TLS: 64 KiB frames sealed and opened", unit="MB/s"),
    cost("tls.latency.c.c.p50", "TLS: join to diff, C to C, p50", "ms"),
    cost("tls.latency.c.c.p99", "TLS: join to diff, C to C, p99", "ms", 20),
    cost("tls.c.sync.100000", "TLS: new member has all 100 k, two processes", "ms", 1_000),
    cost("tls.c.sync_turn.100000", "  longest turn of its loop", "ms", 10),
]
for writer in LANGUAGES:
    for reader in LANGUAGES:
        pair = f"{NAMES[writer]} to {NAMES[reader]}"
        ROWS += [
            cost(f"latency.{writer}.{reader}.p50", f"join to diff, {pair}, p50", "ms", None, "latency.p50"),
            cost(f"latency.{writer}.{reader}.p99", f"join to diff, {pair}, p99", "ms", 20, "latency.p99"),
        ]
# what two members feel while a third party sends one of them this, as fast as it can (bench_bystanders)
BAD_INPUT = {
    "none": "nothing",
    "half_frame": "half frames",
    "huge_length": "huge lengths",
    "http": "HTTP requests",
    "random_bytes": "random bytes",
    "random_frames": "random frames",
    "silent": "silent connections",
    "flood": "a flood of connections",
    "wrong_cluster": "members of another cluster",
    "another_log": "frames for another's log",
    "stale": "an incarnation long over",
    "no_descriptors": "no descriptors left",
}
for kind, words in BAD_INPUT.items():
    ROWS += [
        cost(f"bystanders.{kind}.p50", f"bystanders of {words}, p50", "ms"),
        cost(f"bystanders.{kind}.p99", "  p99", "ms", 50),
        rate(f"bystanders.{kind}.steps", "  attempts meanwhile"),
    ]
ROWS += [
    rate("python.dict", "Python: a dict of dicts by hand (yardstick)"),
    rate("python.track", "Python: track", "track", budget="as the dict"),
    rate("python.update", "Python: update", "update"),
    rate("python.track_many", "Python: track_many of 100", "track"),
    rate("python.count", "Python: count"),
    cost("python.list.100", "Python: list of 100", "us"),
    cost("python.memory.0", "Python: memory per presence, not updated", "B"),
    cost("python.memory.100", "Python: memory per presence, all updated", "B"),
    rate("python.subscribe", "Python: subscribe", unit="diffs/s"),
    rate("node.track", "Node: track", "track", 300_000),
    rate("node.update", "Node: update", "update"),
    rate("node.track_many", "Node: trackMany of 100", "track"),
    cost("node.list.100", "Node: list of 100", "us"),
    cost("node.memory.0", "Node: memory per presence, not updated", "B"),
    cost("node.memory.100", "Node: memory per presence, all updated", "B"),
    rate("node.subscribe", "Node: subscribe", unit="diffs/s"),
]

BASELINES = {"redis": "Redis", "awareness": "Awareness", "phoenix": "Phoenix *"}
# Phoenix.Tracker 2.2 (Elixir 1.14, OTP 25) on another machine of 2 cores, of each figure the best seen: row -> figure.
PHOENIX = {
    "c.track.100000": 42_000,
    "c.update.100000": 16_000,
    "c.list_json.100": 220,
    "c.list_json.10000": 21_000,
    "c.merge.10000": 8_600,
    "c.merge.1000000": 1_200_000,
    "c.apply.100000": 6.5,
    "c.memory.remote.0": 568,
    "c.wire.join": 709,
    "c.wire.join_batch": 208,
    "latency.c.c.p99": 1_500,
}
PHOENIX_NOTE = "* recorded on another machine, not measured here: Phoenix.Tracker 2.2, Elixir 1.14, OTP 25"


def run(*command, cwd=ROOT, **environment):
    """The figures a program prints."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))} failed with {done.returncode}")
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) == 3}


def side(build, language):
    return {
        "c": [str(build / "tests/bench_latency")],
        "python": [sys.executable, str(HERE / "bench_python.py")],
        "node": ["node", str(HERE / "bench_node.js")],
    }[language]


def latency(build, writer, reader, count=400, **environment):
    """Milliseconds from track in one process to the diff in another."""
    env = {**os.environ, **environment}
    heard = subprocess.Popen([*side(build, reader), "read", str(count)], stdout=subprocess.PIPE, text=True, env=env)
    address = heard.stdout.readline().strip()
    said = subprocess.Popen([*side(build, writer), "write", str(count), address], stdin=subprocess.PIPE, env=env)
    p50, p99 = map(float, heard.stdout.readline().split())
    said.stdin.close()
    if said.wait() or heard.wait():
        sys.exit(f"bench: latency from {writer} to {reader} failed")
    return {f"latency.{writer}.{reader}.p50": p50, f"latency.{writer}.{reader}.p99": p99}


def tls(build):
    """What security adds: alone, and to the same figures without it (latency.c.c, c.sync)."""
    secret = {"BENCH_SECRET": "correct horse battery staple"}
    found = run(build / "tests/bench_tls")
    found |= {f"tls.{name}": value for name, value in latency(build, "c", "c", **secret).items()}
    found |= {f"tls.{name}": value for name, value in run(build / "tests/bench_sync", "live", 100000, **secret).items()}
    return found


def groups(build):
    """Name of the group -> how its figures come about."""
    program = lambda name: build / "tests" / name
    python, node = HERE / "bench_python.py", HERE / "bench_node.js"
    made = {
        f"calls.{n}": (lambda n=n: run(program("bench_local"), "calls", n)) for n in (100000, 1000000)
    }
    made["longest"] = lambda: run(program("bench_local"), "longest", 1000000)
    made["lists"] = lambda: run(program("bench_local"), "lists")
    made["memory"] = lambda: run(program("bench_local"), "memory", 100000)
    made["threads"] = lambda: run(program("bench_local"), "threads")
    for n in (10000, 100000, 1000000):
        made[f"merge.{n}"] = lambda n=n: run(program("bench_sync"), "merge", n)
    for n in (100000, 1000000):
        made[f"apply.{n}"] = lambda n=n: run(program("bench_sync"), "apply", n)
        made[f"sync.{n}"] = lambda n=n: run(program("bench_sync"), "live", n)
    made["tls"] = lambda: tls(build)
    made["wire"] = lambda: run(program("bench_wire"))
    for writer in LANGUAGES:
        for reader in LANGUAGES:
            made[f"latency.{writer}.{reader}"] = lambda w=writer, r=reader: latency(build, w, r)
    made["bystanders"] = lambda: run(program("bench_bystanders"))
    for what in ("dict", "calls", "memory", "subscribe"):
        made[f"python.{what}"] = lambda what=what: run(sys.executable, python, what)
    for what in ("calls", "memory", "subscribe"):
        made[f"node.{what}"] = lambda what=what: run("node", node, what)
    return made


def baselines(say):
    say("baseline: Redis")
    found = run(sys.executable, HERE / "baseline_redis.py")
    say("baseline: y-protocols awareness")
    found |= run("node", "--expose-gc", HERE / "baseline_awareness.js")
    return found, [PHOENIX_NOTE]


def verdict(row, value, figures):
    if row.name == "python.track" and "python.dict" in figures:
        return "ok" if value >= figures["python.dict"] else "MISS"
    if row.limit is None:
        return ""
    return "ok" if (value >= row.limit if row.more else value <= row.limit) else "MISS"


def compared(row, value, figures):
    """How many times better than each baseline this figure is."""
    ratios = {}
    for who in BASELINES:
        measured = figures.get(f"{who}.{row.base}") if row.base else None
        theirs = PHOENIX.get(row.name) if who == "phoenix" else measured
        if theirs and value:
            ratios[who] = value / theirs if row.more else theirs / value
    return ratios


def shown(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def rows_of(figures):
    for row in ROWS:
        if row.name in figures:
            value = figures[row.name]
            yield row, value, verdict(row, value, figures), compared(row, value, figures)


def table(figures, notes, with_baseline):
    others = list(BASELINES) if with_baseline else []
    heads = "".join(f"{'x ' + BASELINES[who]:>13}" for who in others)
    lines = [f"{'':46}{'figure':>12} {'unit':8}{'budget':>14}     {heads}"]
    for row, value, said, ratios in rows_of(figures):
        cells = "".join(f"{ratios[who]:>13,.1f}" if who in ratios else " " * 13 for who in others)
        lines.append(f"{row.title:46}{shown(value):>12} {row.unit:8}{row.budget:>14} {said:4}{cells}".rstrip())
    return "\n".join([*lines, *notes]) + "\n"


def write_into(path, text):
    """Puts the table in place of what is between the marks of a document."""
    begin, end = "<!-- table of ci/bench -->\n```\n", "```\n<!-- end of the table -->"
    before, _, rest = path.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not rest or not after:
        sys.exit(f"bench: {path} has no marks for the table")
    path.write_text(before + begin + text + end + after)


def print_json(figures, notes):
    rows = [
        {"name": row.name, "title": row.title.strip(), "value": value, "unit": row.unit, "budget": row.budget or None,
         "verdict": said or None, "times_better": ratios}
        for row, value, said, ratios in rows_of(figures)
    ]
    others = {name: value for name, value in figures.items() if name.split(".")[0] in BASELINES}
    print(json.dumps({"rows": rows, "baselines": others, "notes": notes}, indent=1))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("build", type=Path, help="folder of a release build with tests")
    options.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options.add_argument("--baseline", action="store_true", help="run the same load on others too")
    options.add_argument("--only", default="", metavar="WORD", help="only groups whose name contains this")
    options.add_argument("--write", type=Path, metavar="FILE", help="also put the table into this document")
    chosen = options.parse_args()
    say = lambda text: print(f"bench: {text}", file=sys.stderr, flush=True)
    figures, notes = {}, []
    for name, measure in groups(chosen.build.resolve()).items():
        if chosen.only in name:
            say(name)
            figures |= measure()
    if {"c.merge.10000", "c.merge.1000000"} <= figures.keys():
        figures["merge_ratio"] = figures["c.merge.1000000"] / figures["c.merge.10000"]
    if chosen.baseline:
        others, notes = baselines(say)
        figures |= others
    if chosen.json:
        print_json(figures, notes)
    else:
        print(table(figures, notes, chosen.baseline), end="")
    if chosen.write:
        write_into(chosen.write, table(figures, notes, chosen.baseline))


if __name__ == "__main__":
    main()
