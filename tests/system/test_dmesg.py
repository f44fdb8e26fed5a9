# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's log on Scrim against that of the same machine without it: equal but for the lines of dmesg_expected.txt.

Once with four CPUs, by the host's clock: lines that come and go with the host's load (seen on the bare machine) are left out.
Once with one CPU and counted instructions as time, where no line comes by chance, and none is left out.
"""

import collections
import pathlib
import re

from registry import SOAK, check, check_equal, test

MEMORY = "6G"
NOTHING = re.compile(r"(?!)")
EXPECTED = pathlib.Path(__file__).with_name("dmesg_expected.txt")

# What differs between two boots of the bare machine too: the time it is, and how busy the host was. (pattern, replacement)
NOISE = (
    (r"^\[ *\d+\.\d+\] ", ""),
    (r"serio\d/input/input\d+", "serioN/input/inputN"),
    (r"audit\(\d+\.\d+:", "audit(TIME:"),
    (r"setting system clock to .*", "setting system clock to TIME"),
    (r"\d+\.\d+ MHz", "N MHz"),
    (r"\d+\.\d+ BogoMIPS.*", "N BogoMIPS"),
    (r"initialised in \d+ms", "initialised in N ms"),
    (r"(?<=after )\d+ usecs", "N usecs"),
    (r"Marking stable \(.*", "Marking stable"),
    (r"(max_cycles|max_idle_ns): \w+", r"\1: N"),
)
# Lines that come or stay away by how much of the host's time the machine gets: 20 boots of the bare machine beside 3 others.
CHANCE = re.compile(
    r"^(calibrate_delay_direct\(\)|Probably due to long platform interrupts)"
    r"|^APIC (calibration not consistent|delta adjusted)|^\.\.MP-BIOS bug: 8254|^\.{3,}( \(found|trying| works| failed|\.)"
    r"|^tsc: (Unable to calibrate|using (HPET|PMTIMER|PIT) reference|Fast TSC calibration|PIT calibration matches)"
    r"|^ (#\d+ ?)+$|^\.\.\.\. node  #0, CPUs:"  # one line of progress, cut where another CPU speaks
    r"|^(clocksource: .*watchdog|perf: interrupt took|hrtimer: interrupt took|random: crng init done)"
)


def normalized(lines, chance=CHANCE):
    """The lines as a multiset, without what depends on time; the order of parallel probes is by chance as well."""
    result = []
    for line in lines:
        for pattern, replacement in NOISE:
            line = re.sub(pattern, replacement, line)
        if not chance.search(line):
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


def live_log(t, kernel, scrim):
    with t.machine(scrim=scrim, kernel=kernel, cpus=4, memory=MEMORY) as machine:
        return machine.wait_ready().dmesg()


def counted_log(t, kernel, scrim):
    with t.machine(scrim=scrim, kernel=kernel, memory=MEMORY, icount=1, agent=False, files={"autorun": "dmesg"}) as machine:
        check_equal(machine.wait_exit(), 0, "QEMU's exit status")
        lines = machine.second.splitlines()
        check(lines and lines[-1] == "autorun status 0", "the machine did not get through /autorun:\n" + machine.console)
        return lines[:-1]


def compare(t, kernel, log, chance):
    logs = {name: log(t, kernel, name == "scrim") for name in ("bare", "scrim")}
    for name, lines in logs.items():
        (t.work / f"dmesg.{name}").write_text("\n".join(lines) + "\n")
    bare, seen = (normalized(logs[name], chance) for name in ("bare", "scrim"))
    complaints = judge(kernel, bare, seen)
    check(not complaints, "- bare, + on Scrim:\n" + "\n".join(complaints))
    differing = sum((seen - bare).values())
    print(f"figure: dmesg, {kernel} kernel: {sum(seen.values())} lines compared, {differing} differ, each one explained")


@test("dmesg-cloud", cost=12)
def dmesg_cloud(t):
    compare(t, "cloud", live_log, CHANCE)


@test("dmesg-cloud-counted", cost=20)
def dmesg_cloud_counted(t):
    compare(t, "cloud", counted_log, NOTHING)


@test("dmesg-full", cost=25, when=SOAK)
def dmesg_full(t):
    compare(t, "full", live_log, CHANCE)


@test("dmesg-full-counted", cost=60, when=SOAK)
def dmesg_full_counted(t):
    compare(t, "full", counted_log, NOTHING)
