#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints how fast equal pages come to share a frame, and what that takes of one CPU's time, by `scrimctl share` and by Linux's KSM.

Time is instructions, counted by QEMU. A program does rounds of work on the same CPU all the while: what is missing of its rounds is what the other took,
with all that comes along: the start of a program, its requests, a look at how far it is.
"""

import functools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import switch_cost  # noqa: E402
from machine import Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

PAGES = 8192  # of which each has an equal one: half of them can be saved
SCANS = {100: 9, 1000: 5, 4000: 5}  # pages_to_scan, of which 100 is the kernel's default, and seconds that the work goes on
SCRIM_S = 4
MEMORY = 256  # MiB
RESERVES = {"": "", ", reserve=16M": " reserve=16M"}  # the second has tables for all of them
LOOK = 8 * 5  # instructions: a sample's words, each of them read into the hash, which is multiplied, shifted and mixed
COMPARE = 512 * 3  # a page's words: read, compared, a branch
HEAD = ["by", "saved", "seconds", "pages a second", "of the CPU's time", "pages a second of CPU time"]


def begin(seconds, merge=""):
    """The memory, and the work, a second of it alone."""
    return f"""
>/tmp/equal; equal {PAGES} {merge} >/tmp/equal &
until grep -q ready /tmp/equal; do sleep 0.1; done
{"" if merge else "scrimctl virtualize >/dev/null"}
pacer load 1 {seconds} >/tmp/rounds & pacer=$!
sleep 1
begun=$(pacer drain 1 </dev/null)
"""


END = """
killall equal
echo $saved $begun $ended; cat /tmp/rounds
"""


def ksm(scan, seconds):
    """It needs some passes over the memory. Nine tenths are waited for: the rest comes late, and is no rate."""
    return begin(seconds, "merge") + f"""
cd /sys/kernel/mm/ksm
echo {scan} >pages_to_scan; echo 1 >run
saved=0; while [ $saved -lt {PAGES // 2 * 9 // 10} ]; do sleep 0.1; read saved <pages_sharing; done
echo 0 >run; ended=$(pacer drain 1 </dev/null); wait $pacer
""" + END


def share():
    """All RAM is looked at, the program's and what else has pages that are equal."""
    return begin(SCRIM_S) + """
scrimctl share --json >/tmp/share 2>/dev/null; ended=$(pacer drain 1 </dev/null); wait $pacer
saved=$(grep -o '"saved": *[0-9]*' /tmp/share | grep -o '[0-9]*$')
""" + END


def main():
    with tempfile.TemporaryDirectory() as work:
        counted = functools.partial(switch_cost.counted, functools.partial(Machine, work), 1, memory=f"{MEMORY}M", timeout=1800)
        rows = [[f"scrimctl share{name}", *figures(counted(share(), options=f"dma-free=all{option}"))] for name, option in RESERVES.items()]
        scrim = list(rows)
        for scan, seconds in SCANS.items():
            rows.append([f"KSM, pages_to_scan {scan}", *figures(counted(ksm(scan, seconds), scrim=False))])
    write_csv("sharing", HEAD, rows)
    publish("sharing", f"{PAGES // 2:,} pages can be saved of {PAGES:,}:\n\n" + markdown(HEAD, [
        [name, f"{saved:,}", f"{seconds:.2f}", f"{saved / seconds:,.0f}", f"{100 * lost:.0f} %", f"{rate:,.0f}"]
        for name, saved, seconds, lost, rate in rows]) + f"\nThe least, a sample of each page of {MEMORY} MiB and one comparison for each page saved: "
        + ", ".join(f"{1e9 * saved / least(saved):,.0f}" for _, saved, *_ in scrim) + " pages a second of CPU time.\n")


def least(saved):
    """Instructions."""
    return (MEMORY << 20 >> 12) * LOOK + saved * COMPARE


def figures(lines):
    """Pages saved, seconds, the share of the CPU's time, and pages saved a second of it."""
    saved, _, begun, _, ended = (int(word) for word in lines[0].split())
    tenths = [tuple(map(int, line.split())) for line in lines[1:]]
    before = max(i for i, (at, _) in enumerate(tenths) if at < begun)
    after = min(i for i, (at, _) in enumerate(tenths) if at > ended)
    taken = (time(tenths, before, after) - rounds(tenths, before, after) * time(tenths, 0, before) / rounds(tenths, 0, before)) / 1e9
    seconds = (ended - begun) / 1e9
    return saved, seconds, taken / seconds, saved / taken


def time(tenths, first, last):
    """From the end of one to the end of another."""
    return tenths[last][0] - tenths[first][0]


def rounds(tenths, first, last):
    """What was done in that time."""
    return sum(count for _, count in tenths[first + 1:last + 1])


if __name__ == "__main__":
    main()
