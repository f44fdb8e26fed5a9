# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's log on Scrim against that of the same machine without it: equal but for the lines of dmesg_expected.txt."""

import collections
import pathlib
import re

from registry import SOAK, check, test

EXPECTED = pathlib.Path(__file__).with_name("dmesg_expected.txt")

# What differs between two boots of the bare machine too: the time it is, and how busy the host was. (pattern, replacement)
NOISE = (
    (r"^\[ *\d+\.\d+\] ", ""),
    (r"audit\(\d+\.\d+:", "audit(TIME:"),
    (r"setting system clock to .*", "setting system clock to TIME"),
    (r"\d+\.\d+ MHz", "N MHz"),
    (r"\d+\.\d+ BogoMIPS.*", "N BogoMIPS"),
    (r"initialised in \d+ms", "initialised in N ms"),
    (r"(?<=after )\d+ usecs", "N usecs"),
    (r"(max_cycles|max_idle_ns): \w+", r"\1: N"),
)
# Lines that come or stay away by chance.
CHANCE = re.compile(
    r"^calibrate_delay_direct\(\)"  # how often the host took the CPU away while it measured
    r"|^tsc: (Unable to calibrate|using (HPET|PMTIMER|PIT) reference|Fast TSC calibration|PIT calibration matches)"
    r"|^ (#\d+ ?)+$|^\.\.\.\. node  #0, CPUs:"  # one line of progress, cut where another CPU speaks
    r"|^(clocksource: .*watchdog|sched_clock: Marking|perf: interrupt took|hrtimer: interrupt took|random: crng init done)"
)


def normalized(lines):
    """The lines as a multiset, without what depends on time; the order of parallel probes is by chance as well."""
    result = []
    for line in lines:
        for pattern, replacement in NOISE:
            line = re.sub(pattern, replacement, line)
        if not CHANCE.search(line):
            result.append(line)
    return collections.Counter(result)


def expected_rules():
    """[(kernels, side, regular expression)] of dmesg_expected.txt, whose head describes its form."""
    rules = []
    for number, line in enumerate(EXPECTED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = re.fullmatch(r"(all|cloud|full) ([-+]) (.+?)\s+## (.+)", line)
        check(words, f"{EXPECTED.name}:{number} is not `KERNEL SIDE PATTERN ## REASON`: {line}")
        rules.append((words[1], words[2], re.compile(words[3])))
    return rules


def judge(kernel, bare, seen):
    """Complaints: lines that differ and are not listed, and listed ones that do not differ."""
    differing = [("-", line) for line in (bare - seen).elements()] + [("+", line) for line in (seen - bare).elements()]
    rules = [(side, pattern) for kernels, side, pattern in expected_rules() if kernels in ("all", kernel)]
    matches = {line: [rule for rule in rules if rule[0] == line[0] and rule[1].fullmatch(line[1])] for line in differing}
    used = [rule for found in matches.values() for rule in found]
    return [f"not listed: {side} {line}" for (side, line), found in matches.items() if not found] + [
        f"listed, but no longer so: {side} {pattern.pattern}" for side, pattern in rules if (side, pattern) not in used
    ]


def log_of(t, kernel, scrim):
    with t.machine(scrim=scrim, kernel=kernel, cpus=4, memory="6G") as machine:
        return machine.wait_ready().dmesg()


def compare(t, kernel):
    bare, seen = log_of(t, kernel, False), log_of(t, kernel, True)
    for name, lines in (("bare", bare), ("scrim", seen)):
        (t.work / f"dmesg.{name}").write_text("\n".join(lines) + "\n")
    complaints = judge(kernel, normalized(bare), normalized(seen))
    check(not complaints, "- bare, + on Scrim:\n" + "\n".join(complaints))
    print(f"figure: dmesg, {kernel} kernel: {len(seen)} lines, {sum((normalized(bare) - normalized(seen)).values())} differ, all explained")


@test("dmesg-cloud", cost=20)
def dmesg_cloud(t):
    compare(t, "cloud")


@test("dmesg-full", cost=40, when=SOAK)
def dmesg_full(t):
    compare(t, "full")
