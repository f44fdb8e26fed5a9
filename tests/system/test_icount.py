# SPDX-License-Identifier: BSD-2-Clause
"""Figures in instructions: native is native, and what a switch costs. Counted by QEMU, so that the host's load has no part in them."""

import json
import statistics

import cpus
import switch_cost
from registry import check, check_equal, test

MEMORY = "512M"
LARGE = "6G"
PERCENT = 40  # of the fixed loads
TOLERANCE = 0.001
SWITCH_MAX = 3000  # instructions there and back
SAME = 1.01  # whichever of MEMORY and LARGE takes more
CPUS = 4


def work(t, scrim, seed):
    """The fixed loads: {section: instructions}, the sections' total among them, and the checksum of what they computed."""
    result = json.loads(switch_cost.counted(t.machine, seed, f"work --percent {PERCENT}", scrim=scrim, memory=MEMORY)[-1])
    check(result["fixed_addresses"], "addresses were random")
    return {**result["sections"], "total": result["total"]}, result["checksum"]


@test("icount-native", cost=80)
def icount_native(t):
    """The fixed loads take the same instructions on Scrim, memory native, as on the bare machine."""
    seeds = range(1, t.pick(short=3, long=10) + 1)
    runs = {scrim: [work(t, scrim, seed) for seed in seeds] for scrim in (False, True)}
    checksums = {checksum for some in runs.values() for _, checksum in some}
    check_equal(len(checksums), 1, "number of different checksums")
    ratios = {}
    for section in runs[True][0][0]:
        bare, seen = (statistics.median(ticks[section] for ticks, _ in runs[scrim]) for scrim in (False, True))
        ratios[section] = seen / bare
        print(f"figure: {section}: {seen:.0f} instructions on Scrim, {bare:.0f} bare, ratio {seen / bare:.5f} (median of {len(seeds)} seeds)")
    check(abs(ratios["total"] - 1) <= TOLERANCE, f"total: ratio {ratios['total']:.5f}")


@test("icount-switch", cost=30)
def icount_switch(t):
    """One switch on one CPU, in instructions of Scrim's path; it does not depend on how much memory there is."""
    total = {}
    for memory in (MEMORY, LARGE):
        cost = switch_cost.instructions(t.machine, memory=memory)
        check_equal(cost["kicks"], 0, "kicks")
        check_equal(cost["flushes"], 2 * cost["rounds"], "flushes, two a switch there and back")
        total[memory] = switch_cost.switch_instructions(cost)
        check(0 < total[memory] <= SWITCH_MAX, f"{total[memory]} instructions at {memory}, at most {SWITCH_MAX} are allowed")
        parts = ", ".join(f"{request} {cost[request]}" for request in switch_cost.REQUESTS)
        print(f"figure: switch there and back at {memory}: {total[memory]} instructions ({parts}; a request that does nothing: {cost['empty']})")
    check(max(total.values()) <= SAME * min(total.values()), f"at {LARGE} {total[LARGE]} instructions, at {MEMORY} {total[MEMORY]}")


@test("switch-counted", cost=20)
def switch_counted(t):
    """On four CPUs, under load: one exit of each CPU's own, one flush each, no kick and no other exit."""
    switches = t.pick(short=20, long=500)
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
        machine.wait_ready()
        load = cpus.Load(machine)
        seen = switch_cost.counts(machine, CPUS, switches)
        load.stop()
        check_equal(seen, {"request": 2 * switches * (CPUS + 1), "flushes": 2 * switches * CPUS, "switches": 2 * switches},
                    f"what {switches} switches there and back count")
        cpus.check_settled(machine, "native")
    print(f"figure: a switch of {CPUS} CPUs: {CPUS + 1} exits (one to begin, one visit a CPU), {CPUS} flushes, 0 kicks; {2 * switches} counted under load")
