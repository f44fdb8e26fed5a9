#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs moving_under_dma.pml through Spin: without a mistake no write is lost; with each mistake, and beyond each limit, one is found lost.

    check.py DIRECTORY [--soak]     DIRECTORY: for Spin's program and what it leaves

The exit status is 1 when the model says anything else than that, or a tool is missing.
"""

import pathlib
import re
import shutil
import subprocess
import sys

MODEL = pathlib.Path(__file__).resolve().parent / "moving_under_dma.pml"
DEPTH_MAX = 10000
MEMORY_MAX_MB = 6000

# (name, WRITES and READS of the device, CPU_ACCESSES)
SCENARIOS = [("ALONE", 3, 1, 1), ("PAIR", 2, 1, 1), ("SWAP", 2, 1, 1)]
SCENARIOS_SOAK = [("ALONE", 4, 2, 2), ("PAIR", 3, 1, 1), ("SWAP", 3, 1, 1)]
MISTAKES = [
    ("ALONE CPU_STAYS", 2, 0, 1),
    ("ALONE SWITCHED_FIRST", 2, 0, 1),
    ("ALONE PRISTINE_FIRST", 2, 0, 1),
    ("ALONE PRISTINE_LAST", 2, 0, 1),
    ("ALONE OLD_IS_PRISTINE", 2, 0, 1),
    ("ALONE NEW_IS_PRISTINE", 2, 0, 1),
    ("ALONE INVALIDATED_FIRST", 2, 0, 1),
    ("ALONE WRITES_NOT_DRAINED", 2, 0, 1),
    ("ALONE READS_NOT_DRAINED", 2, 1, 1),
    ("ALONE NO_MERGE", 2, 0, 1),
    ("ALONE MERGED_BEFORE_DRAIN", 2, 0, 1),
    ("ALONE WHOLE_WORDS", 2, 0, 1),
    ("ALONE PLAIN_STORE", 2, 0, 1),
    ("ALONE PRESENT_BEFORE_MERGE", 2, 0, 1),
    ("ONE_DRAIN", 2, 0, 1),
    ("REUSED_BEFORE_DRAIN", 2, 0, 1),
]
LIMITS = [
    ("ALONE AWAY_AND_BACK", 2, 0, 1),
    ("ALONE READ_BACK", 2, 1, 1),
    ("ALONE BUS_ATOMICS", 2, 0, 1),
    ("ALONE TWO_UNITS", 2, 0, 1),
]


def main():
    soak = "--soak" in sys.argv[2:]
    directory = pathlib.Path(sys.argv[1]).resolve()
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            print(f"model: {tool} is not there; `make setup` installs it")
            return 1
    wrong, states = 0, 0
    for run in SCENARIOS_SOAK if soak else SCENARIOS:
        count, lost, output = explore(directory, run)
        states += count
        wrong += report(run, not lost, f"{count} states, {'A WRITE IS LOST' if lost else 'no write lost'}", output)
    for run in MISTAKES + LIMITS:
        _, lost, output = explore(directory, run)
        wrong += report(run, lost, "a write is lost, as it should be" if lost else "NO WRITE IS LOST", output)
    print(f"figure: moving under DMA: {states} states without a lost write; one found lost with each of {len(MISTAKES)} mistakes, "
          f"beyond each of {len(LIMITS)} limits")
    return 1 if wrong else 0


def explore(directory, run):
    """(states, whether an assertion failed, what was printed). Anything else that stops the search ends the program."""
    names, writes, reads, accesses = run
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copy(MODEL, directory)
    defined = [f"-D{name}" for name in names.split()] + [f"-DWRITES={writes}", f"-DREADS={reads}", f"-DCPU_ACCESSES={accesses}"]
    call(directory, ["spin", "-a", *defined, MODEL.name])
    call(directory, ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MAX_MB}", "-o", "pan", "pan.c"])
    output = call(directory, ["./pan", "-b", f"-m{DEPTH_MAX}"])
    found = re.search(r"errors: (\d+)\n\s*([\d.e+]+) states, stored", output)
    lost = "assertion violated" in output
    if not found or (int(found[1]) > 0) != lost or "Search not completed" in output and not lost:
        sys.exit(f"model: {names}: the search did not come to an end\n{output}")
    if lost:
        output += call(directory, ["./pan", "-r"])
    return int(float(found[2])), lost, output


def call(directory, command):
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode and command[0] != "./pan":
        sys.exit(f"model: {command[0]} failed\n{done.stdout}")
    return done.stdout


def report(run, right, verdict, output):
    names, writes, reads, accesses = run
    print(f"{names:28} {writes} writes, {reads} reads, {accesses} accesses of the CPU: {verdict}", flush=True)
    if not right:
        print(output)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
