# SPDX-License-Identifier: BSD-2-Clause
"""What watches the machine and changes nothing: metrics, the picture of RAM, the live figures, the trace."""

import re

from registry import check, check_equal, test

PAGE = 4096
HEAD = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"'
SAMPLE = re.compile(rf"(scrim_[a-z0-9_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+)")


def metrics(text):
    """
    All samples as {(name, labels): value}. The text exposition format 0.0.4, and of it no more than Scrim needs: each family begins with HELP and
    TYPE, its samples stand together, a counter's name and no other ends in _total, each sample comes once.
    """
    samples, families = {}, {}
    check("\n\n" not in text, "an empty line")
    lines = iter(text.splitlines())
    for line in lines:
        head = HEAD.fullmatch(line)
        if head:
            kind = HEAD.fullmatch(next(lines))
            check(kind and (head[1], kind[1]) == ("HELP", "TYPE") and head[2] == kind[2], f"no HELP and TYPE at {line}")
            check(head[2] not in families and kind[3] in ("counter", "gauge"), f"the family {head[2]} comes twice, or is a {kind[3]}")
            check_equal(kind[3] == "counter", head[2].endswith("_total"), f"{head[2]} is a {kind[3]}; a counter's name ends in _total")
            family = families.setdefault(head[2], [])
            continue
        sample = SAMPLE.fullmatch(line)
        check(sample and sample[1] == list(families)[-1], f"no sample of the family: {line}")
        key = sample[1], tuple(sorted(tuple(label.split("=")) for label in (sample[2] or "").replace('"', "").split(",") if label))
        check(key not in samples, f"{key} comes twice")
        samples[key] = int(sample[3])
        family.append(key)
    check(all(families.values()), "a family without a sample")
    return samples


@test("watch-prometheus", cost=8)
def watch_prometheus(t):
    """The metrics say what status --json says, in the format that Prometheus reads."""
    with t.machine(cpus=2, options="dma-free=all") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize && scrimctl move 0x2000000 0x2001000 0x2002000 >/dev/null")
        before = metrics(machine.must("scrimctl status --prometheus"))
        status = machine.status()
        check_equal(before["scrim_displaced_bytes", ()], 3 * PAGE, "bytes displaced")
        check_equal(before["scrim_ram_bytes", ()], status["pages"]["ram"] * PAGE, "bytes of RAM")
        check_equal([state for (name, state), value in before.items() if name == "scrim_state" and value], [(("state", "virtualized"),)], "state")
        check_equal(before["scrim_switches_total", ()], status["counters"]["switches"], "switches")
        for cpu in range(2):
            key = "scrim_exits_total", (("cause", "iret"), ("cpu", str(cpu)))
            check_equal(before[key], status["cpus"][cpu]["exits"]["by_cause"]["iret"], f"exits of CPU {cpu} by IRET")
        machine.must("scrimctl devirtualize")
        after = metrics(machine.must("scrimctl status --prometheus"))
        check_equal(after["scrim_displaced_bytes", ()], 0, "bytes displaced at home")
        check_equal(set(after), set(before), "samples, whatever the state")
        lower = [key for key in before if key[0].endswith("_total") and after[key] < before[key]]
        check(not lower, f"counters that have become less: {lower}")
    print(f"figure: {len(after)} samples")
