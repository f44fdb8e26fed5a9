#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what the fixed loads cost on the bare machine, on Scrim, in a KVM guest and in Xen's dom0: `make bench-backends`.

All of them run in the same emulated machine, one CPU, instructions counted by QEMU. Scrim is measured native, and with each
back-end of fixed_loads.BACKENDS, every page at home and every page scattered. KVM is Debian's, with its nested paging and
with its shadow page tables; so are the QEMU above it, and Xen. Xen's dom0 is another kernel, so it is compared with the bare machine under that.

Beside the instructions stands the CPU time that the emulator took, as the medians' ratio to the bare machine's. In a round every
system runs once, and does all loads some times over in each of its states; the first of these passes warms up what is only
translated, loaded or touched once, and is not counted. The bare machine runs twice a round; that ratio is the noise. Leaves
bench/results/backends.md, which is what is printed, and backends.csv with all counters.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import fixed_loads  # noqa: E402
import kvm_host  # noqa: E402
import programs  # noqa: E402
import xen  # noqa: E402
from fixed_loads import BACKENDS, Suite  # noqa: E402
from machine import MachineError  # noqa: E402
from results import keep, markdown, write_csv  # noqa: E402
from stamped import StampedMachine, load_seconds  # noqa: E402

AGAIN, FULL = "bare-again", "bare-full"
FEWEST_PASSES = 2  # of which the first is the warm-up
TITLES = Suite(programs=programs.PROGRAMS).titles
NAMES = {"bare": "bare", AGAIN: "bare again", "native": "Scrim native"}
for _backend in BACKENDS:
    NAMES |= {_backend: f"Scrim {_backend}", f"{_backend}-scattered": f"{_backend}, scattered"}
NAMES |= {"kvm-npt": "KVM npt=1", "kvm-shadow": "KVM npt=0", FULL: "bare, full kernel",
          "xen-pv": "Xen PV", "xen-pvh": "Xen PVH"}


@dataclasses.dataclass
class Measured:
    """Of all rounds: {phase: {load: [what was seen in each round]}}, the same of seconds for each counted pass, and {system that did not run: what it said}."""

    seen: dict = dataclasses.field(default_factory=dict)
    seconds: dict = dataclasses.field(default_factory=dict)
    failed: dict = dataclasses.field(default_factory=dict)


def main():
    options = parse_arguments()
    measured = Measured()
    with tempfile.TemporaryDirectory() as work:
        suite = Suite(options.percent, programs.PROGRAMS, programs.initrd(pathlib.Path(work)), options.passes)
        runs = systems(work, options.only, suite)
        for number in range(1, options.rounds + 1):
            for name, run in runs.items():
                if name not in measured.failed:
                    print(f"round {number} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                    measure(measured, name, run, f"{work}/machine")
            text = kept(measured, options.percent, number)
    print(text, flush=True)


def kept(measured, percent, rounds):
    """Keeps the tables of the rounds so far: a run that is cut short leaves those of its whole rounds. Returns them."""
    phases = {phase: {load: seen[0] for load, seen in loads.items()} for phase, loads in measured.seen.items()}
    fixed_loads.check_same_work(phases)
    rows_csv(measured, phases)
    text = report(measured, phases, percent, rounds)
    keep("backends", text)
    return text


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=int, default=100, choices=range(1, 101), metavar="P", help="of the operations of each load but the programs (default 100)")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 100), metavar="N", help="for the medians of CPU time (default 3)")
    parser.add_argument("--passes", type=int, default=3, choices=range(FEWEST_PASSES, 100), metavar="N",
                        help="over all loads in each state of a system, the first of them not counted (default 3)")
    parser.add_argument("--only", default="", metavar="SYSTEM[,SYSTEM]", help="of scrim, kvm-npt, kvm-shadow, xen-pv, xen-pvh (default: all)")
    return parser.parse_args()


def systems(work, only, suite):
    """{system: function of machine_of that returns {phase: {load: Seen}}}, in the order of the table's columns."""
    others = {"scrim": lambda machine_of: fixed_loads.scrim(machine_of, suite)}
    for name, npt in (("kvm-npt", True), ("kvm-shadow", False)):
        others[name] = lambda machine_of, npt=npt, seeds=list(kvm_host.SEEDS): kvm_host.loads_by_some_seed(machine_of, work, npt, suite, seeds)
    for name in xen.DOM0:
        others[name] = lambda machine_of, name=name: xen.loads(machine_of, name, suite)
    wanted = only.split(",") if only else list(others)
    bare = {"bare": lambda machine_of: fixed_loads.bare(machine_of, suite),
            AGAIN: lambda machine_of: {AGAIN: fixed_loads.bare(machine_of, suite)["bare"]},
            FULL: lambda machine_of: {FULL: fixed_loads.bare(machine_of, suite, xen.KERNEL)["bare"]}}
    return bare | {name: others[name] for name in wanted}


def reference(phase):
    """The bare machine with the same kernel."""
    return FULL if phase == FULL or phase in xen.DOM0 else "bare"


def measure(measured, name, run, work):
    """One run of a system. That Scrim or the bare machine fails ends it all; that another fails is noted."""
    machines = []

    def machine_of(**how):
        machines.append(StampedMachine(work, **how))
        return machines[-1]

    with contextlib.ExitStack() as stack:
        if name.startswith(("kvm", "xen")):
            stack.enter_context(noting(measured.failed, name))
        phases = run(machine_of)
        seconds = load_seconds(machines[-1].stamped)
        for phase, loads in phases.items():
            for load, seen in loads.items():
                measured.seen.setdefault(phase, {}).setdefault(load, []).append(seen)
                _, *counted = seconds["bare" if phase in (AGAIN, FULL) else phase, load]
                measured.seconds.setdefault(phase, {}).setdefault(load, []).extend(counted)


@contextlib.contextmanager
def noting(failed, name):
    try:
        yield
    except MachineError as reason:
        failed[name] = str(reason)
        print(f"{name}: {reason}", file=sys.stderr, flush=True)


def report(measured, phases, percent, rounds):
    """Three tables: instructions, CPU time, exits an operation."""
    counted = [phase for phase in phases if phase != AGAIN]
    passes = len(measured.seconds["bare"]["exec"])
    part = "" if percent == 100 else f" ({percent}% of each load that is no program)"
    text = f"Millions of instructions, and as a multiple of the bare machine's with the same kernel{part}:\n\n"
    text += table(counted, lambda phase, load: millions(phases[phase][load].instructions, phases[reference(phase)][load].instructions),
                  lambda phase: millions(fixed_loads.total(phases[phase]), fixed_loads.total(phases[reference(phase)])))
    text += f"\nThe emulator's CPU time, in the same way (medians of {passes} passes in {rounds} interleaved rounds; the noise is bare again, and the least and the most of bare):\n\n"
    text += table(list(phases), lambda phase, load: f"{slower(measured, phase, [load]):.2f}{reach(measured, load) if phase == 'bare' else ''}",
                  lambda phase: f"{slower(measured, phase, phases[phase]):.2f}")
    text += "\nExits an operation (word, fork+exec, page, page, mprotect, system call, round trip, read, compile, command):\n\n"
    text += table([phase for phase in counted if phases[phase]["exec"].counters], lambda phase, load: exits(phases[phase][load]))
    if rounds > 1:
        text += f"\nBetween rounds, the instructions of a load differ by {spread(measured):.4%} at most.\n"
    return text + "".join(f"\n{NAMES[name]} did not run: {reason.splitlines()[0]}\n" for name, reason in measured.failed.items())


def table(phases, cell, total=None):
    """A row a load, a column a phase; a last row for all loads where there is a `total`."""
    rows = [[title, *(cell(phase, load) for phase in phases)] for load, title in TITLES.items()]
    rows += [["all", *(total(phase) for phase in phases)]] if total else []
    return markdown(["load", *(NAMES[phase] for phase in phases)], rows)


def spent(measured, phase, loads):
    """Seconds of CPU time, the sum of the loads' medians."""
    return sum(statistics.median(measured.seconds[phase][load]) for load in loads)


def slower(measured, phase, loads):
    """CPU time as a multiple of the bare machine's with the same kernel."""
    return spent(measured, phase, loads) / spent(measured, reference(phase), loads)


def reach(measured, load):
    """The least and the most of the bare machine's passes, as multiples of their median."""
    median = spent(measured, "bare", [load])
    return " ({:.2f}-{:.2f})".format(*(end(measured.seconds["bare"][load]) / median for end in (min, max)))


def spread(measured):
    """The largest difference between two rounds, as a part of the instructions."""
    return max((max(counts) - min(counts)) / min(counts) for loads in measured.seen.values()
               for counts in ([seen.instructions for seen in rounds] for rounds in loads.values()))


def millions(count, bare):
    return f"{count / 1e6:.1f} ({count / bare:.3f})"


def exits(seen):
    each = seen.counters["exits"] / seen.operations
    return "0" if each == 0 else "< 0.001" if each < 0.001 else f"{each:.3f}"


def rows_csv(measured, phases):
    """A line for each load on each system; the last column has every counter that has moved."""
    rows = []
    for phase, loads in phases.items():
        over = fixed_loads.ratios(loads, phases[reference(phase)])
        for load, seen in loads.items():
            moved = " ".join(f"{name}={count}" for name, count in seen.counters.items() if count)
            rows.append([phase, load, seen.operations, seen.instructions, f"{over[load]:.5f}", f"{spent(measured, phase, [load]):.4f}",
                         f"{slower(measured, phase, [load]):.4f}", moved])
    write_csv("backends", ["system", "load", "operations", "instructions", "ratio_to_bare", "cpu_seconds", "cpu_ratio_to_bare", "counters"], rows)


if __name__ == "__main__":
    main()
