# SPDX-License-Identifier: BSD-2-Clause
"""Verified load in the guest while something is done to the machine, and the kernel's log watched meanwhile.

    with under_load(machine) as load:
        ...
    print(load.figures())

On leaving the block the load is told to end; it must have verified every byte, missed no tick, and lost no wake-up.
"""

import contextlib
import json
import re

from registry import check, check_equal
from test_dmesg import CHANCE

STRESS = "stress-ng --quiet --verify --temp-path /tmp --vm 1 --vm-bytes 16M --cpu 1 --fork 1 --switch 1 --timer 1"
WARM_UP = "sleep 1"
# The kernel's boot ends a second or more after its shell has come: with one CPU it refines the TSC's rate, and takes the TSC as its clock;
# where the CPU gives no random numbers it gathers them.
LATE_BOOT = re.compile(r"^random: crng init done$|^tsc: Refined TSC clocksource calibration|^clocksource: (tsc: mask|Switched to clocksource tsc$)")
END_TIMEOUT = 120


class Load:
    """What the load said at its end."""

    def __init__(self):
        self.report = None

    def figures(self):
        """One line for people."""
        r = self.report
        return (f"load verified {r['bytes_verified'] >> 20} MiB in {r['pages_verified']} pages, {r['ticks']} ticks "
                f"({r['lost_ticks']} lost), {r['switches']} wake-ups, {r['forks']} forks, {r['wrong']} wrong")


def new_lines(before, after, allowed=CHANCE):
    """Lines of the kernel's log that came since, without those that come by how busy the host is, and those allowed."""
    check(after[:len(before)] == before, "the kernel's log has lost its head: it is longer than its buffer")
    bare = [re.sub(r"^\[ *\d+\.\d+\] ", "", line) for line in after[len(before):]]
    return [line for line in bare if not any(pattern.search(line) for pattern in (CHANCE, LATE_BOOT, allowed))]


@contextlib.contextmanager
def quiet_log(machine, allowed=CHANCE):
    """Fails if the kernel's log has got a new line by the end of the block; prints those that it has got when the block itself fails."""
    before = machine.dmesg()
    try:
        yield
    except AssertionError:
        print("the kernel's log meanwhile:", *new_lines(before, machine.dmesg(), allowed), sep="\n")
        raise
    lines = new_lines(before, machine.dmesg(), allowed)
    check(not lines, "new lines in the kernel's log:\n" + "\n".join(lines[:40]))


@contextlib.contextmanager
def under_load(machine, mib=48, stress=STRESS, threads=4):
    """`load` with so many threads, and stress-ng beside it where one is wanted."""
    load = Load()
    verified = machine.spawn(f"exec load --threads {threads} --mib {mib} --seconds 0 --directory /dev/shm")
    stressed = machine.spawn(f"exec {stress}") if stress else None
    machine.must(WARM_UP)
    yield load
    check(verified.poll() is None, "load ended before its time:", verified.poll(), verified.output())
    check(not stressed or stressed.poll() is None, "stress-ng ended before its time:", stressed and stressed.output())
    # The oldest: the others are children that end by themselves, perhaps before they are killed.
    machine.must("kill $(pidof load | tr ' ' '\\n' | sort -n | head -n 1)" + ("; kill -INT $(pidof stress-ng | tr ' ' '\\n' | sort -n | head -n 1)" if stressed else ""))
    status, output = verified.wait(END_TIMEOUT)
    check_equal(status, 0, f"exit status of load ({output})")
    load.report = json.loads(output.splitlines()[-1])
    for key in ("wrong", "lost_ticks"):
        check_equal(load.report[key], 0, f"load: {key}")
    for key in ("bytes_verified", "ticks", "switches", "forks"):
        check(load.report[key] > 0, f"load: no {key}: {output}")
    if stressed:
        status, output = stressed.wait(END_TIMEOUT)
        check_equal(status, 0, f"exit status of stress-ng ({output})")
