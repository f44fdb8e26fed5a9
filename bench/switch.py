#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what a switch of memory virtualization costs, by CPUs and memory.

Instructions are of Scrim's path, counted by QEMU on one CPU, and repeat exactly. Exits, flushes and kicks are Scrim's own
counters. Map: when the Identity map is built, at boot (the default) or by each virtualize. The longest pause is the longest of
the requests, since a CPU is in Scrim for one request at a time.
"""

import functools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import switch_cost  # noqa: E402
from machine import Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

MEMORIES = ("512M", "2G", "8G", "32G")
MAPS = ("boot", "late")
CPUS = (1, 2, 4)
SWITCHES = 10


def main():
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work)
        costs = [[memory, map_when, switch_cost.instructions(machine_of, memory=memory, options=f"map={map_when}")]
                 for map_when in MAPS for memory in MEMORIES]
        counts = [[cpus, memory, counted(machine_of, cpus, memory)] for cpus in CPUS for memory in MEMORIES[:1] + MEMORIES[-1:]]
    head = ["memory", "map=", "virtualize", "its visit", "devirtualize", "its visit", "there and back", "longest pause"]
    rows = [[memory, map_when, *(cost[request] for request in switch_cost.REQUESTS), switch_cost.switch_instructions(cost), longest(cost)]
            for memory, map_when, cost in costs]
    write_csv("switch", head, rows)
    publish("switch", "Instructions of one switch there and back, one CPU:\n\n" + markdown(head, rows)
            + "\nCounted, a switch one way:\n\n"
            + markdown(["CPUs", "memory", "exits", "flushes", "kicks"], [[cpus, memory, *seen] for cpus, memory, seen in counts]))


def longest(cost):
    """Instructions of the longest of a switch's requests, the way into Scrim and back with it."""
    return max(cost[request] for request in switch_cost.REQUESTS) + cost["empty"]


def counted(machine_of, cpus, memory):
    """Exits, flushes and kicks a switch, as text."""
    with machine_of(cpus=cpus, memory=memory) as machine:
        machine.wait_ready()
        seen = switch_cost.counts(machine, cpus, SWITCHES)
    exits = sum(value for name, value in seen.items() if name not in ("flushes", "kicks", "switches"))
    return [f"{value / seen['switches']:.1f}" for value in (exits, seen["flushes"], seen.get("kicks", 0))]


if __name__ == "__main__":
    main()
