# SPDX-License-Identifier: BSD-2-Clause
"""What bringing pages home costs: instructions a page and a step (QEMU counts them), exits, flushes and kicks a batch."""

import json

import cpus
import step_cost
from registry import check, test

SMALL, LARGE = 16, 256  # MiB displaced
BATCHES = (16, 64, 256)
BEYOND_COPY_MAX = 128   # instructions a page, batch 64, back map
SAME = 1.05             # path length of a step, however much is displaced
LONGEST = 2             # of the largest steps' worth: what looking for the next page, or for who shares a frame, may add to one
BOUNDED = ("backmap", "refcount")  # search goes over the whole map where it needs an answer: shown, not bounded


@test("icount-step", cost=100)
def icount_step(t):
    """Instructions of Scrim's path: a page beyond its copy; a step, which depends on the batch and not on what is displaced."""
    runs = [(mib, batch, "backmap", False) for mib in (SMALL, LARGE) for batch in BATCHES]
    runs += [(mib, 64, reverse, False) for mib in (SMALL, LARGE) for reverse in ("refcount", "search")]
    runs += [(mib, 64, reverse, True) for mib in (SMALL, LARGE) for reverse in ("backmap", "refcount", "search")]
    seen = step_cost.counted(t.machine, runs, memory="1G", options="dma-free=all reserve=32M")
    for (mib, batch, reverse, shared), report in seen.items():
        print(f"figure: {mib} MiB {'sharing' if shared else 'scattered'}, batch {batch}, {reverse}: {step_cost.beyond_copy(report):.0f} instructions a page "
              f"beyond the copy ({step_cost.copy_instructions(report):.0f}); a step {report['median']} (longest {report['longest']}, the "
              f"{report['longest_at']}. of {report['steps']}); {report['copies']} copies, {report['flushes']} flushes, {report['exits_request']} exits")
    for batch in BATCHES:
        small, large = (seen[mib, batch, "backmap", False] for mib in (SMALL, LARGE))
        ratio = large["median"] / small["median"]
        check(1 / SAME <= ratio <= SAME, f"a step of {batch}: {large['median']} instructions with {LARGE} MiB displaced, {small['median']} with {SMALL}")
    beyond = step_cost.beyond_copy(seen[LARGE, 64, "backmap", False])
    check(beyond <= BEYOND_COPY_MAX, f"{beyond:.0f} instructions a page beyond the copy, at most {BEYOND_COPY_MAX} are allowed")
    for (mib, batch, reverse, shared), report in seen.items():
        if mib == LARGE and reverse in BOUNDED:
            small = seen[SMALL, batch, reverse, shared]
            check(report["longest"] <= LONGEST * small["longest"],
                  f"batch {batch}, {reverse}, shared {shared}: the longest step takes {report['longest']} instructions with {LARGE} MiB displaced, "
                  f"{small['longest']} with {SMALL}")
    most = LONGEST * seen[SMALL, max(BATCHES), "backmap", False]["median"]
    for (mib, batch, reverse, shared), report in seen.items():
        check(reverse not in BOUNDED or report["longest"] <= most,
              f"{mib} MiB, batch {batch}, {reverse}, shared {shared}: the longest step takes {report['longest']} instructions, more than {most}")


@test("step-counted", cost=20)
def step_counted(t):
    """On four CPUs, under load: one flush of each CPU a batch at most, one kick at most for each of the others, one exit of the tool's."""
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=16M") as machine:
        machine.wait_ready()
        load = cpus.Load(machine, 48)
        figures = []
        for batch in t.pick((64,), (16, 64, 256)) * t.pick(1, 5):
            report = json.loads(machine.must(step_cost.script([(SMALL, batch, "backmap", False)]), 600).splitlines()[-1])
            figures.append(report)
            steps = report["steps"] - report["empty"]
            most = steps * 2 + report["empty"]  # tables that a batch has emptied are given back behind a second flush
            check(report["flushes"] <= 4 * most, f"{report['flushes']} flushes in {steps} steps of 4 CPUs")
            # At least the tool's own: one of the others that is in the same exit through several batches flushes once for all of them.
            check(report["flushes"] >= steps, f"only {report['flushes']} flushes in {steps} steps")
            check(report["kicks"] <= 3 * most, f"{report['kicks']} kicks in {steps} steps")
            check(report["exits_request"] >= report["steps"], "fewer exits than steps")
        load.stop()
        cpus.check_settled(machine, "native")
    for report in figures:
        steps = report["steps"]
        print(f"figure: 4 CPUs, batch {report['batch']}: a step brings {report['displaced'] / steps:.1f} pages home, with {report['flushes'] / steps:.2f} "
              f"flushes, {report['kicks'] / steps:.2f} kicks, {report['exits_nmi'] / steps:.2f} exits by NMI and {report['exits_map'] / steps:.2f} by the map")
