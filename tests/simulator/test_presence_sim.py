"""presence-sim as a program: exit codes, sums, jobs, and that a history is a function of its seed and length."""
import pathlib
import re
import subprocess

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "build" / "presence-sim"


def run(*arguments, timeout=60):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def test_runs_that_hold_exit_0_and_end_with_the_sums():
    done = run("--seed", 1, "--runs", 20)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.match(r"held: 20 histories, \d+ events, \d+ steps, \d+ frames, \d+ faults \(.*cuts.*\) in .* per second", last)


def test_jobs_share_the_same_histories():
    sums = [re.sub(r" in .*", "", run("--seed", 5, "--runs", 12, "--jobs", jobs).stdout.splitlines()[-1]) for jobs in (1, 3)]
    assert sums[0] == sums[1]


def test_a_history_is_a_function_of_its_seed_and_a_prefix_is_the_same_up_to_there():
    long, again, short = (run("--seed", 9, "--events", events, "--trace").stdout for events in (60, 60, 30))
    strip = lambda text: text[: text.index("members saw")]
    assert strip(long) == strip(again)
    before = short[: short[: short.index("---- the faults end")].rindex("\n")]
    assert len(before.splitlines()) > 50 and long.startswith(before)


def test_neighbouring_seeds_have_nothing_in_common():
    first, second = (run("--seed", seed, "--events", 0, "--trace").stdout for seed in (3, 4))
    numbers = [set(re.findall(r"inst ([0-9a-f]{16})", text)) for text in (first, second)]
    assert numbers[0] and numbers[1] and not numbers[0] & numbers[1]


def test_a_history_over_a_broker_is_a_function_of_its_seed_too():
    long, again, short = (run("--broker", "--seed", 12, "--events", events, "--trace").stdout for events in (60, 60, 30))
    strip = lambda text: text[: text.index("members saw")]
    assert strip(long) == strip(again) and "publishes to beats" in long and "dials sim" not in long
    before = short[: short[: short.index("---- the faults end")].rindex("\n")]
    assert len(before.splitlines()) > 50 and long.startswith(before)


def test_exactly_so_many_events_and_members():
    done = run("--seed", 2, "--members", 4, "--events", 33)
    assert done.returncode == 0 and "1 histories, 33 events" in done.stdout


def test_usage_errors_exit_2_and_name_the_option():
    for arguments, word in [(("--runs", "0"), "--runs"), (("--seconds", "x"), "--seconds"), (("--members", "1"), "--members"),
                            (("--jobs", "-1"), "--jobs"), (("--seed", ""), "--seed"), (("more",), "more"), (("--what",), "what")]:
        done = run(*arguments)
        assert done.returncode == 2 and word in done.stderr and not done.stdout, arguments


def test_a_build_without_mutants_says_so_by_name():
    done = run("--mutant", "no_refute")
    assert done.returncode == 2 and "no_refute" in done.stderr and "no mutants" in done.stderr


def test_help_and_version():
    assert "--mutant" in run("--help").stdout
    assert re.fullmatch(r"presence-sim \d+\.\d+\.\d+\n", run("--version").stdout)
