#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what the fixed loads cost on the bare machine, on Scrim and in a KVM guest, side by side: `make bench-backends`.

All of them run in the same emulated machine, one CPU, instructions counted by QEMU. Scrim is measured native, and with each
back-end of fixed_loads.BACKENDS, every page at home and every page scattered. KVM is Debian's, with its nested paging and
with its shadow page tables; so is the QEMU above it. Leaves bench/results/backends.md, which is what is printed, and
backends.csv with all counters.
"""

import argparse
import csv
import functools
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))

import fixed_loads  # noqa: E402
import kvm_host  # noqa: E402
from fixed_loads import BACKENDS, LOADS  # noqa: E402
from machine import Machine  # noqa: E402

RESULTS = ROOT / "bench" / "results"
NAMES = {"bare": "bare", "native": "Scrim native", "kvm-npt": "KVM npt=1", "kvm-shadow": "KVM npt=0"}
NAMES |= {backend: f"Scrim {backend}" for backend in BACKENDS}
NAMES |= {f"{backend}-scattered": f"{backend}, scattered" for backend in BACKENDS}


def main():
    options = parse_arguments()
    phases = measured(options)
    fixed_loads.check_same_work(phases)
    text = report(phases, options.percent)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "backends.md").write_text(text)
    write_csv(phases)
    print(text, end="")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--percent", type=int, default=100, choices=range(1, 101), metavar="P", help="of the operations of each load (default 100)")
    parser.add_argument("--without-kvm", action="store_true", help="only the bare machine and Scrim")
    return parser.parse_args()


def measured(options):
    """{phase: {load: Seen}} of all systems, in the order of the table's columns."""
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work)
        phases = fixed_loads.bare(machine_of, options.percent)
        phases |= fixed_loads.scrim(machine_of, options.percent)
        for npt in () if options.without_kvm else (True, False):
            phases |= kvm_host.loads(machine_of, work, npt, options.percent)
    return phases


def report(phases, percent):
    """Two tables: instructions, and exits an operation."""
    bare = phases["bare"]
    over = {phase: fixed_loads.ratios(loads, bare) for phase, loads in phases.items()}
    lines = [f"Millions of instructions, and as a multiple of the bare machine's ({percent}% of each load):", ""]
    lines += table(phases, lambda phase, load: millions(phases[phase][load].instructions, over[phase][load]))
    sums = {phase: fixed_loads.total(loads) for phase, loads in phases.items()}
    lines += [row(["all", *(millions(count, count / sums["bare"]) for count in sums.values())])]
    lines += ["", "Exits an operation (fork+exec, page, page, mprotect, system call, round trip, read):", ""]
    lines += table([phase for phase in phases if phase != "bare"], lambda phase, load: exits(phases[phase][load]))
    return "\n".join(lines) + "\n"


def table(phases, cell):
    lines = [row(["load", *(NAMES[phase] for phase in phases)]), row(["---"] + ["--:"] * len(list(phases)))]
    return lines + [row([title, *(cell(phase, load) for phase in phases)]) for load, title in LOADS.items()]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def millions(count, ratio):
    return f"{count / 1e6:.1f} ({ratio:.3f})"


def exits(seen):
    each = seen.counters["exits"] / seen.operations
    return "0" if each == 0 else "< 0.001" if each < 0.001 else f"{each:.3f}"


def write_csv(phases):
    """A line for each load on each system; the last column has every counter that has moved."""
    with open(RESULTS / "backends.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["system", "load", "operations", "instructions", "ratio_to_bare", "counters"])
        for phase, loads in phases.items():
            over = fixed_loads.ratios(loads, phases["bare"])
            for load, seen in loads.items():
                moved = " ".join(f"{name}={count}" for name, count in seen.counters.items() if count)
                out.writerow([phase, load, seen.operations, seen.instructions, f"{over[load]:.5f}", moved])


if __name__ == "__main__":
    main()
