# SPDX-License-Identifier: BSD-2-Clause
"""What one switch costs: instructions (one CPU, counted), and exits, flushes and kicks (any number of CPUs). Shared with bench/."""

import json

from machine import MachineError

REQUESTS = ("virtualize", "visit_on", "devirtualize", "visit_off")


def counted(machine_of, seed, script, timeout=600, **how):
    """Runs `script` on a machine with counted instructions; returns what it printed. `machine_of` makes a Machine."""
    with machine_of(cpus=1, icount=seed, agent=False, files={"autorun": script}, **how) as machine:
        status = machine.wait_exit(timeout)
        lines = machine.second.splitlines()
        if status != 0 or not lines or lines[-1] != "autorun status 0":
            raise MachineError(f"QEMU's status {status}; the script said:\n{machine.second}\n{machine.console[-2000:]}")
        return lines[:-1]


def instructions(machine_of, seed=1, **how):
    """{request: instructions of its path in Scrim} for the four requests of a switch there and back on one CPU."""
    return json.loads(counted(machine_of, seed, "switchcost", **how)[-1])


def switch_instructions(cost):
    """Of a switch there and back in all."""
    return sum(cost[request] for request in REQUESTS)


def counters(machine):
    """Exits by cause over all CPUs, flushes and kicks. Asked by one CPU always, so that asking counts the same each time."""
    status = json.loads(machine.must("taskset 1 scrimctl status --json"))
    return {**status["exits"]["by_cause"], **{name: status["counters"][name] for name in ("flushes", "kicks", "switches")}}


def difference(after, before):
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def counts(machine, online, switches):
    """What `switches` there and back count, in all, by the shortest way: one request to begin, one visit of each CPU."""
    first = counters(machine)
    before = counters(machine)
    looking = difference(before, first)  # asking for the counters counts too
    script = "\n".join(f"ask 0 {verb} && " + " && ".join(f"ask {cpu} visit" for cpu in range(online)) + " || exit"
                       for verb in ("virtualize", "devirtualize"))
    machine.must(f"i=0; while [ $i -lt {switches} ]; do\n{script}\ni=$((i + 1)); done >/tmp/answers", 600)
    after = counters(machine)
    return {name: value - looking.get(name, 0) for name, value in difference(after, before).items()}
