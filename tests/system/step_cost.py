# SPDX-License-Identifier: BSD-2-Clause
"""What bringing pages home costs, as the guest program `stepcost` measures it. Shared with bench/."""

import json

import switch_cost

REVERSES = ("search", "refcount", "backmap")  # in the order of enum scrim_reverse
MIB = 1 << 20
FIRST = 0x8000000


def script(runs, first=FIRST, backend="nested"):
    """For the guest: `runs` are (MiB, batch, reverse, shared): the pages from `first` on are scattered, or share frames where they are equal."""
    return "\n".join(f"scrimctl virtualize --backend {backend} >/dev/null && stepcost --start {first:#x} --end {first + mib * MIB:#x} --batch {batch} "
                     f"--reverse {REVERSES.index(reverse)} --share {int(shared)} && scrimctl devirtualize >/dev/null && scrimctl check >/dev/null || exit"
                     for mib, batch, reverse, shared in runs)


def counted(machine_of, runs, seed=1, first=FIRST, backend="nested", **how):
    """{run: report} on one CPU with counted instructions."""
    lines = switch_cost.counted(machine_of, seed, script(runs, first, backend), **how)
    return dict(zip(runs, map(json.loads, lines), strict=True))


def copy_instructions(report):
    """Of copying one page in Scrim: its estimate of a pause on one CPU is two copies a page, the copy timed when asked."""
    return report["pause_us"] * (report["tsc_hz"] / 1e6) / (2 * report["displaced"])


def beyond_copy(report):
    """Instructions a page beyond the copy, of the median step that brings a whole batch home."""
    return report["median"] / report["batch"] - copy_instructions(report)
