# SPDX-License-Identifier: BSD-2-Clause
"""Random requests at the control port change nothing unless they are valid, and who has no right to the port is told so.

tests/guest/portfuzz.c sends them and judges each answer; what is looked at here is the machine around it.
"""

import json

from registry import check, check_equal, test
from under_load import quiet_log, under_load

DISPLACED = (0x4000000, 0x4001000, 0x8000000)
WATCHES = ("none", "image", "dirty")  # in the order of enum scrim_watch
EWATCH, EFAULT = 12, 13               # enum scrim_status


def lasting(status):
    """All of the status that requests which change nothing leave as it is."""
    kept = {key: value for key, value in status.items() if key not in ("exits", "cpus", "pause_us")}
    return kept, [(cpu["index"], cpu["apic_id"], cpu["mode"], cpu["vmcb"], cpu["nmis_passed"]) for cpu in status["cpus"]]


def fuzz(machine, count, seed, *options):
    """Runs the fuzzer. Returns its report."""
    status, output = machine.run(f"portfuzz --count {count} --seed {seed} {' '.join(options)}", timeout=3600)
    check_equal(status, 0, f"exit status of portfuzz --seed {seed} {' '.join(options)} (its last words: {output[-4000:]})")
    report = json.loads(output.splitlines()[-1])
    check_equal(report["failures"], 0, "failures")
    check(report["requests"] >= count, f"only {report['requests']} requests were sent")
    return report


def fuzz_in_state(machine, state, count, seed):
    """As root and as a user, and the machine is as before. Returns [report]."""
    before = lasting(machine.status())
    check_equal(before[0]["state"], state, "state before the requests")
    reports = [fuzz(machine, count, seed), fuzz(machine, count // 10, seed, "--user")]
    machine.must("scrimctl check")
    check_equal(lasting(machine.status()), before, f"status after the requests, state {state}")
    statuses = reports[0]["statuses"]
    check(sum(1 for number in statuses if number) >= 6, f"the requests met few kinds of answers: {statuses}")
    check_equal(reports[1]["faults"], reports[1]["requests"], "accesses of a user without the right, all SIGSEGV")
    print(f"figure: {state}: {reports[0]['requests']} accesses as root (answers by status {statuses}, {reports[0]['faults']} #GP), "
          f"{reports[1]['requests']} as a user, all refused; nothing changed")
    return reports


def without_watch(status):
    """What a watch leaves as it was, of what lasts: it kicks, flushes and copies."""
    kept, machine_cpus = lasting(status)
    counters = {key: value for key, value in kept.pop("counters").items() if key not in ("kicks", "kicks_out", "flushes")}
    kept.pop("watch")
    return kept, counters, machine_cpus


def fuzz_watched(machine, kind, count, seed):
    """As root, in VIRTUALIZED with a watch on; the watch goes on, the map stays, and what it had is given back. Returns the report."""
    before = without_watch(machine.status())
    machine.must(f"ask 0 watch {WATCHES.index(kind)}")
    report = fuzz(machine, count, seed)
    machine.must("scrimctl check")
    check_equal(machine.status()["watch"]["kind"], kind, "the watch that is on after the requests")
    statuses = report["statuses"]
    check(statuses[EWATCH] and (statuses[EFAULT] or kind != "image"), f"no request was refused for the watch, or for its buffer: {statuses}")
    machine.must("ask 0 watch 0 && scrimctl check")
    after = machine.status()
    check_equal(without_watch(after), before, f"status after the watch {kind}")
    print(f"figure: virtualized, watch {kind}: {report['requests']} accesses as root (answers by status {statuses}); {after['watch']['copies']} pages copied "
          "for writes by the last image; nothing changed")
    return report


@test("fuzz-port", cost=25)
def fuzz_port(t):
    """Under load, in every state in which a tool may meet the machine."""
    total = 0
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=64M") as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=16, stress=None, threads=2) as load:
            total += fuzz_in_state(machine, "native", t.pick(25_000, 1_000_000), 1)[0]["requests"]
            machine.must("scrimctl virtualize && scrimctl move " + " ".join(map(hex, DISPLACED)))
            total += fuzz_in_state(machine, "virtualized", t.pick(25_000, 1_000_000), 2)[0]["requests"]
            for seed, kind in ((5, "image"), (6, "dirty")):
                total += fuzz_watched(machine, kind, t.pick(10_000, 100_000), seed)["requests"]
            machine.must("scrimctl devirtualize && switcher --half-done 2")
            total += fuzz_in_state(machine, "commencing", t.pick(5_000, 500_000), 3)[0]["requests"]
            machine.must("scrimctl virtualize && switcher --half-done 2")
            total += fuzz_in_state(machine, "ceasing", t.pick(5_000, 500_000), 4)[0]["requests"]
            machine.must("scrimctl devirtualize && scrimctl check")
        check_equal(machine.status()["state"], "native", "state at the end")
        check_equal(machine.status()["pages"]["displaced"], 0, "displaced pages at the end")
    print(f"figure: {total} random accesses as root under load on 4 CPUs; {load.figures()}")


# --- who may not ------------------------------------------------------------------------------------------------------


def check_says(machine, command, *words):
    """The command fails with status 1 in one line that has these words."""
    status, output = machine.run(command)
    check_equal(status, 1, f"exit status of {command} ({output.strip()})")
    check_equal(len(output.strip().splitlines()), 1, f"lines that {command} says ({output.strip()})")
    for word in words:
        check(word in output, f"{command} does not say {word!r}: {output.strip()}")
    return output.strip()


@test("port-not-root", cost=6)
def port_not_root(t):
    """A user gets no right to the port, by EPERM, and scrimctl tells them what to do."""
    with t.machine(cpus=2) as machine:
        machine.wait_ready()
        before = lasting(machine.status())
        for verb in ("status", "virtualize", "devirtualize", "move 0x4000000", "check"):
            said = check_says(machine, f"su nobody -c 'scrimctl {verb}'", "only root", "sudo")
        output = machine.must("portfuzz --user --count 20000")
        check("ioperm: EPERM" in output and "iopl: EPERM" in output, f"the port is not refused by EPERM: {output}")
        check_equal(lasting(machine.status()), before, "status after a user's attempts")
    print(f"figure: a user is told: {said}")


@test("port-lockdown", cost=8)
def port_lockdown(t):
    """A locked-down kernel gives the port to nobody, and scrimctl says that this is why: on Scrim and without."""
    for scrim in (True, False):
        with t.machine(scrim=scrim, args="lockdown=integrity") as machine:
            machine.wait_ready()
            for verb in ("status", "virtualize", "check"):
                said = check_says(machine, f"scrimctl {verb}", "locked down", "integrity", "lockdown=")
            check(machine.run("portfuzz --count 10")[0] != 0, "the fuzzer got the port of a locked-down kernel")
    print(f"figure: under lockdown root is told: {said}")


@test("port-bare", cost=5)
def port_bare(t):
    """Without Scrim nobody answers at the port, and scrimctl says so."""
    with t.machine(scrim=False, cpus=2) as machine:
        machine.wait_ready()
        for verb in ("status", "status --json", "virtualize", "devirtualize", "move 0x4000000", "check"):
            said = check_says(machine, f"scrimctl {verb}", "does not run on Scrim", "nobody answers")
        fuzz(machine, t.pick(20_000, 200_000), 1, "--absent")
    print(f"figure: on the bare machine root is told: {said}")
