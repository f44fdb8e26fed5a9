#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the tests: unit tests, what make checks without a machine, and the system tests. Prints a line for each and ends with

    N passed, N failed

The exit status is 1 when any failed, or none ran. Nothing is skipped and nothing is tried twice: a missing tool is a failure.
Unit programs (cmocka) count as many tests as they hold; everything else counts as one.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / os.environ.get("BUILD", "build")
RUNS = BUILD / "tests"
sys.path.insert(0, str(ROOT / "tests" / "system"))

import machine  # noqa: E402
import registry  # noqa: E402

UNIT_TIMEOUT = 300
MAKE_TIMEOUT = 900
FUZZ_SECONDS, FUZZ_SECONDS_SOAK = 5, 300
STOP_GRACE = 20


@dataclasses.dataclass
class Item:
    """One line of the report: a command whose exit status says whether it passed."""

    name: str
    command: list
    timeout: int
    cost: int = 1
    weight: int = 1
    environment: dict = dataclasses.field(default_factory=dict)
    counts_tap: bool = False


@dataclasses.dataclass
class Result:
    """What came of an Item."""

    item: Item
    passed: int
    failed: int
    seconds: float
    output: str


def main():
    options = parse_arguments()
    if options.one:
        return run_one(options.one, options.work, options.soak)
    work = RUNS / f"run-{os.getpid()}"
    items = [item for item in all_items(work, options.soak) if re.search(options.filter, item.name)]
    if options.list:
        print("\n".join(f"{item.name}  (about {item.cost} s)" for item in items))
        return 0
    lock = claim(work)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the machines too
    try:
        results = run_all(work, items, options.jobs)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    lock.close()
    if failed:
        print("\nThose that failed:")
        for result in results:
            if result.failed:
                report(result)
        print(f"what the failed tests left is in {work}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default="", metavar="REGEX", help="only tests whose name matches")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    parser.add_argument("--soak", action="store_true", help="the long run: full matrices and figures")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N",
                        help="CPUs of this host to use; so many machines at a time at most (default %(default)s)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


def claim(work):
    """Makes this run's directory, and removes those of runs that have ended. Two runs in one checkout do not meet."""
    for old in RUNS.glob("run-*"):
        with contextlib.suppress(OSError), open(old / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
    work.mkdir(parents=True)
    lock = open(work / "lock", "w")  # held, open, until the end
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


# --- what there is to run ---------------------------------------------------------------------------------------------


def all_items(work, soak):
    return unit_items(soak) + make_items(soak) + system_items(work, soak)


def unit_items(soak):
    """A program for each tests/unit/test_NAME.c, and one for each directory tests/unit/NAME, made of all that is in it.

    In the long run SOAK is in its environment.
    """
    environment = {"CMOCKA_MESSAGE_OUTPUT": "TAP"} | ({"SOAK": "1"} if soak else {})
    folder = ROOT / "tests" / "unit"
    names = [source.stem for source in folder.glob("test_*.c")]
    names += [f"test_{part.name}" for part in folder.iterdir() if any(part.glob("*.c"))]
    return [
        Item(f"unit/{name}", [str(BUILD / "unit" / name)], UNIT_TIMEOUT,
             environment=environment, counts_tap=True)
        for name in sorted(names)
    ]


def make_items(soak):
    """Checks that are a make target: static ones, fuzzers, the mock test of the fuzzer of the port, what unit tests reach, the model."""
    make = ["make", "-s", "--no-print-directory", "-C", str(ROOT), f"BUILD={os.environ.get('BUILD', 'build')}"]
    fuzz_seconds = FUZZ_SECONDS_SOAK if soak else FUZZ_SECONDS
    return [
        Item("lint", make + ["lint"], MAKE_TIMEOUT, cost=60),
        Item("fuzz", make + ["fuzz", f"FUZZ_SECONDS={fuzz_seconds}"], MAKE_TIMEOUT + 20 * fuzz_seconds, cost=60 + 5 * fuzz_seconds),
        Item("guest-test", make + ["guest-test"], MAKE_TIMEOUT, cost=5),
        Item("coverage", make + ["coverage"], MAKE_TIMEOUT, cost=40),
        Item("model", make + ["model"] + (["MODEL_FLAGS=--soak"] if soak else []), 10 * MAKE_TIMEOUT if soak else MAKE_TIMEOUT, cost=60),
    ]


def system_items(work, soak):
    mode = "soak" if soak else "test"
    flags = ["--soak"] if soak else []
    one = [sys.executable, str(ROOT / "tests" / "run.py"), "--one"]
    chosen = [found for found in registry.all_tests().values() if mode in found.when]
    return [
        Item(f"system/{found.name}", one + [found.name, "--work", str(work / file_name(found.name))] + flags,
             found.timeout, found.cost, found.weight)
        for found in chosen
    ]


def file_name(name):
    return re.sub(r"[^\w.-]", "_", name)


# --- running ----------------------------------------------------------------------------------------------------------


def run_all(work, items, jobs):
    """Longest first, never more weight at a time than `jobs`. Returns the results in the order of their ends."""
    budget = Budget(jobs)
    items = sorted(items, key=lambda item: (-item.weight, -item.cost))
    results = []
    with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            for future in concurrent.futures.as_completed([pool.submit(run_within, budget, work, item) for item in items]):
                results.append(future.result())
                report(results[-1])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            RUNNING.stop_all()
            raise
    return results


class Budget:
    """CPUs to give out, in the order in which they were asked for. A test heavier than all there are takes all."""

    def __init__(self, total):
        self._total = max(1, total)
        self._free = self._total
        self._asked = self._served = 0
        self._changed = threading.Condition()

    def take(self, weight):
        weight = min(weight, self._total)
        with self._changed:
            turn, self._asked = self._asked, self._asked + 1
            self._changed.wait_for(lambda: self._served == turn and self._free >= weight)
            self._free -= weight
            self._served += 1
            self._changed.notify_all()
        return weight

    def give(self, weight):
        with self._changed:
            self._free += weight
            self._changed.notify_all()


class Running:
    """Process groups of the tests under way, so that none outlives this program."""

    def __init__(self):
        self._processes = set()
        self._lock = threading.Lock()

    def start(self, item, output):
        process = subprocess.Popen(item.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   env={**os.environ, **item.environment}, start_new_session=True)
        with self._lock:
            self._processes.add(process)
        return process

    def end(self, process):
        with self._lock:
            self._processes.discard(process)

    def stop_all(self):
        with self._lock:
            for process in self._processes:
                stop_group(process)


RUNNING = Running()


def stop_group(process):
    """First asks, so that a test can give its machine's memory back; then kills what is left of its group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run_within(budget, work, item):
    weight = budget.take(item.weight)
    try:
        return run_item(work, item)
    except Exception:  # pylint: disable=broad-except
        return Result(item, 0, 1, 0.0, traceback.format_exc())
    finally:
        budget.give(weight)


def run_item(work, item):
    """Runs one item to its end or its timeout."""
    begin = time.monotonic()
    path = work / "output" / file_name(item.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as output:
        try:
            process = RUNNING.start(item, output)
        except OSError as reason:
            return Result(item, 0, 1, 0.0, f"cannot run {item.command[0]}: {reason.strerror}; is everything built? (`make test`)")
        try:
            status = process.wait(item.timeout)
            note = ""
        except subprocess.TimeoutExpired:
            stop_group(process)
            status, note = -1, f"\nstopped: it had not ended after {item.timeout} s"
        RUNNING.end(process)
    text = path.read_text(errors="replace") + note
    return judge(item, status, time.monotonic() - begin, text)


def judge(item, status, seconds, text):
    if not item.counts_tap:
        return Result(item, int(status == 0), int(status != 0), seconds, text)
    passed, failed = tap_counts(text)
    if status != 0 and failed == 0:
        failed = 1
        text += f"\nended with status {status} and no failed test named"
    if passed + failed == 0:
        failed = 1
        text += "\nheld no test"
    return Result(item, passed, failed, seconds, text)


def tap_counts(text):
    """(passed, failed) of a cmocka program's TAP lines. A skipped test has shown nothing, so it has failed."""
    lines = re.findall(r"^\s*(not ok|ok) \d+ (.*)$", text, re.MULTILINE)
    passed = sum(1 for verdict, rest in lines if verdict == "ok" and "# SKIP" not in rest)
    return passed, len(lines) - passed


def report(result):
    verdict = "FAIL" if result.failed else "ok  "
    count = f" ({result.passed} of {result.passed + result.failed})" if result.item.counts_tap else ""
    print(f"{verdict} {result.item.name}{count}  {result.seconds:.1f} s", flush=True)
    if result.failed:
        print(indented(result.output), flush=True)
        return
    for line in result.output.splitlines():
        if line.startswith("figure: "):
            print(f"       {line.removeprefix('figure: ')}", flush=True)


def indented(text):
    return "\n".join("  | " + line for line in text.rstrip().splitlines())


# --- one system test, in its own process ------------------------------------------------------------------------------


def run_one(name, work, soak):
    machine.end_with_parent()
    found = registry.all_tests()[name]
    try:
        found.function(registry.Context(work, soak))
    except (AssertionError, machine.MachineError) as reason:
        print(f"{type(reason).__name__}: {reason}")
        print("at " + where(reason))
        return 1
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc(file=sys.stdout)
        return 1
    shutil.rmtree(work, ignore_errors=True)
    return 0


def where(reason):
    """The line of the test itself that failed."""
    frames = traceback.extract_tb(reason.__traceback__)
    own = [frame for frame in frames if "/test_" in frame.filename] or frames
    return f"{pathlib.Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}"


if __name__ == "__main__":
    sys.exit(main())
