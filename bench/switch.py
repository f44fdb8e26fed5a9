#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what a switch of memory virtualization costs, by CPUs and memory: `make bench`.

Instructions are of Scrim's path, counted by QEMU on one CPU, and repeat exactly. Exits, flushes and kicks are Scrim's own
counters. Map: when the Identity map is built, at boot (the default) or by each virtualize.
"""

import functools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import switch_cost  # noqa: E402
from machine import Machine  # noqa: E402

MEMORIES = ("512M", "2G", "6G")
MAPS = ("boot", "late")
CPUS = (1, 2, 4)
SWITCHES = 10


def main():
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work)
        print("Instructions of one switch, one CPU\n")
        print("memory  map   virtualize   its visit  devirtualize   its visit  there and back")
        for map_when in MAPS:
            for memory in MEMORIES:
                cost = switch_cost.instructions(machine_of, memory=memory, options=f"map={map_when}")
                parts = [cost[request] for request in switch_cost.REQUESTS]
                print(f"{memory:>6}  {map_when:4}  {parts[0]:10}  {parts[1]:10}  {parts[2]:12}  {parts[3]:10}  "
                      f"{switch_cost.switch_instructions(cost):14}", flush=True)
        print("\nCounted, a switch (one way)\n")
        print("CPUs  memory   exits  flushes  kicks")
        for cpus in CPUS:
            for memory in MEMORIES:
                with machine_of(cpus=cpus, memory=memory) as machine:
                    machine.wait_ready()
                    seen = switch_cost.counts(machine, cpus, SWITCHES)
                counters = {"flushes", "kicks", "switches"}
                exits = sum(value for name, value in seen.items() if name not in counters)
                ways = seen["switches"]
                print(f"{cpus:4}  {memory:>6}  {exits / ways:6.1f}  {seen['flushes'] / ways:7.1f}  {seen.get('kicks', 0) / ways:5.1f}", flush=True)


if __name__ == "__main__":
    main()
