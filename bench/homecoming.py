#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what bringing pages home costs: by pages displaced, batch, reverse and back-end; concurrent and paused; copies against the bound.

Instructions are of Scrim's path, counted by QEMU on one CPU. The lower bound is read from outside, out of the tables that the
hardware walks (tests/system/frame_graph.py).
"""

import functools
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import fixed_loads  # noqa: E402
import frame_graph  # noqa: E402
import step_cost  # noqa: E402
import switch_cost  # noqa: E402
from machine import Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

GIB = 1 << 30
FIRST = 4 * GIB  # q35's RAM goes on there, in one piece
MACHINE = {"memory": "8G", "options": "dma-free=all reserve=320M"}
SIZES = (4, 64, 1024, 4096)  # MiB: 1 Ki to 1 Mi pages
BATCHES = (1, 4, 16, 64, 256)
BACKENDS = ("nested", "shadow", "vtlb")
BATCH, REVERSE, MIB = 64, "backmap", 64  # what the others are varied from
WAYS = {"concurrent, batches of 16": "--batch 16", "concurrent, batches of 64": "--batch 64", "concurrent, batches of 256": "--batch 256",
        "paused": "--paused --force"}


def main():
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work)
        steps = measured_steps(machine_of)
        ways = {mib: measured_ways(machine_of, mib) for mib in SIZES[:3]}
        bounds = measured_copies(machine_of)
    write_csv("homecoming", ["backend", "mib", "batch", "reverse", "displaced", "copies", "steps", "median_step", "longest_step", "copy_instructions",
                             "beyond_copy", "flushes"],
              [[backend, mib, batch, reverse, seen["displaced"], seen["copies"], seen["steps"], seen["median"], seen["longest"],
                f"{step_cost.copy_instructions(seen):.1f}", f"{step_cost.beyond_copy(seen):.1f}", seen["flushes"]]
               for (backend, mib, batch, reverse), seen in steps.items()])
    publish("homecoming", report(steps, ways, bounds))


def measured_steps(machine_of):
    """{(backend, MiB, batch, reverse): report of the guest program stepcost}"""
    plain = [(mib, BATCH, REVERSE, False) for mib in SIZES]
    plain += [(MIB, batch, REVERSE, False) for batch in BATCHES if batch != BATCH]
    plain += [(MIB, BATCH, reverse, False) for reverse in step_cost.REVERSES if reverse != REVERSE]
    found = {}
    for backend in BACKENDS:
        runs = plain if backend == "nested" else [(MIB, BATCH, REVERSE, False)]
        seen = step_cost.counted(machine_of, runs, first=FIRST, backend=backend, timeout=1800, **MACHINE)
        found |= {(backend, mib, batch, reverse): report for (mib, batch, reverse, _), report in seen.items()}
    return found


def measured_ways(machine_of, mib):
    """{way: last operation of `scrimctl status --json`, its times in instructions}; one whole homecoming each."""
    lines = [fixed_loads.QUIETLY]
    for options in WAYS.values():
        lines += [f"quietly {command}" for command in (
            "scrimctl virtualize", f"scrimctl scatter --range {FIRST:#x}-{FIRST + mib * step_cost.MIB:#x} --seed 1 --batch 256",
            f"scrimctl devirtualize {options}", "scrimctl check")]
        lines += ['echo $(scrimctl status --json | tr -d "\\n")']
    found = {}
    for way, line in zip(WAYS, switch_cost.counted(machine_of, 1, "\n".join(lines), timeout=1800, **MACHINE), strict=True):
        status = json.loads(line)
        last, hz = status["last_operation"], status["tsc_hz"]
        found[way] = {**last, "longest": last["longest_pause_us"] * hz / 1e6, "all": last["seconds"] * hz}
    return found


def measured_copies(machine_of):
    """{MiB: (lower bound, copies)}; looked at while the machine stands still."""
    found = {}
    with machine_of(**MACHINE) as machine:
        machine.wait_ready()
        for mib in SIZES:
            machine.must("scrimctl virtualize >/dev/null && scrimctl scatter --seed 1 --batch 256 "
                         f"--range {FIRST:#x}-{FIRST + mib * step_cost.MIB:#x} >/dev/null", 1800)
            status = machine.status()
            machine.qmp("stop")
            bound = frame_graph.bound(frame_graph.frames(machine, status))
            machine.qmp("cont")
            machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check >/dev/null", 1800)
            found[mib] = (bound, machine.status()["last_operation"]["copies"])
    return found


def report(steps, ways, bounds):
    """Markdown."""
    text = f"A page of a full batch, in instructions; what is not said is nested, batches of {BATCH}, the {REVERSE} and {MIB} MiB scattered:\n\n"
    rows = []
    for (backend, mib, batch, reverse), seen in steps.items():
        rows.append([f"{backend}, batches of {batch}, {reverse}", f"{seen['displaced']:,}", f"{step_cost.copy_instructions(seen):.0f}",
                     f"{step_cost.beyond_copy(seen):.0f}", f"{seen['median']:,}", f"{seen['longest']:,}"])
    text += markdown(["how", "pages displaced", "the copy", "beyond the copy", "median step", "longest step"], rows)
    text += "\nA whole homecoming by `scrimctl devirtualize`, in instructions; the pause is the longest that the CPU was in Scrim at once:\n\n"
    rows = [[way, f"{last['pages_moved']:,}", f"{last['longest']:,.0f}", f"{last['all'] / last['pages_moved']:,.0f}"]
            for found in ways.values() for way, last in found.items()]
    text += markdown(["how", "moves", "longest pause", "all, a move"], rows)
    text += "\nCopies against the lower bound (a page is copied once; each cycle that nothing opens costs one more):\n\n"
    rows = [[f"{mib} MiB", f"{bound.displaced:,}", f"{bound.closed:,}", f"{bound.copies:,}", f"{copies:,}"] for mib, (bound, copies) in bounds.items()]
    return text + markdown(["scattered", "pages displaced", "closed cycles", "lower bound", "copies"], rows)


if __name__ == "__main__":
    main()
