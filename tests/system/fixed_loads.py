# SPDX-License-Identifier: BSD-2-Clause
"""The fixed loads, counted in instructions on one machine after another. Shared with bench/.

Most are sections of the guest program `work`. A suite may have programs of Debian's beside them, which the guest program `runwork` times.

Every machine has one CPU and counted instructions, and does the loads once before they are measured, so that what an OS does
only once has been done. A phase may have several passes over the loads, of which the last counts: then what is done only once in
a phase has been done too, as in an emulator that translates code anew whose pages have moved. What a system prints are lines:

    load PHASE NAME         a load comes
    counters JSON           of the VMM, where there is one: twice right before the load, once right after it
    {"tool": "work" ...}    what the load took; or "runwork"

The TSC counts instructions of the machine as a whole, those of a VMM among them.
"""

import dataclasses
import json
import pathlib

import switch_cost
from machine import IMAGES, MachineError
from registry import check

MEMORY = "512M"
SEED = 1
TIMEOUT = 1800

LOADS = {  # sections of tests/guest/work.c, and what all of their operations are
    "hash": "8 MiB hashed as by SHA-2",
    "exec": "fork+exec x300",
    "fault": "page faults 64K",
    "cow": "fork + COW 4x4K",
    "mprotect": "mprotect x400 of 16M",
    "syscall": "200K system calls",
    "pipe": "10K pipe round trips",
    "read": "2M random reads, 64M",
}
BACKENDS = ("nested", "shadow", "vtlb")  # of `scrimctl virtualize --backend`, in the order of the table's columns
QUIETLY = 'quietly() { "$@" >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }; }\n'
LOOK_AT_NOTHING = 'echo "counters {}"'
LOOK_AT_SCRIM = 'echo "counters $(scrimctl status --json | tr -d "\\n")"'


@dataclasses.dataclass(frozen=True)
class Seen:
    """One load on one system. Of the VMM: `status` at the end, `counters` by how much each has grown, the looking left out."""

    instructions: int
    operations: int
    checksum: str
    counters: dict
    status: dict


@dataclasses.dataclass(frozen=True)
class Program:
    """A load that is a program: `command` is `operations`, `before` and `after` are shell script around it that is not measured."""

    title: str
    operations: int
    command: str
    before: str = ""
    after: str = ""


@dataclasses.dataclass(frozen=True)
class Suite:
    """The loads of a comparison: so much of each section of `work`, and programs, which the initramfs has; so many passes over them in a phase."""

    percent: int = 100
    programs: dict = dataclasses.field(default_factory=dict)  # {name: Program}
    initrd: pathlib.Path = IMAGES / "initramfs.cpio.gz"
    passes: int = 1

    @property
    def titles(self):
        """{load: what all of its operations are}"""
        return LOADS | {name: program.title for name, program in self.programs.items()}


def warm_up(suite):
    """Shell script: every load once, not measured."""
    return measure("warm-up", dataclasses.replace(suite, passes=1))


def measure(phase, suite, look=LOOK_AT_NOTHING):
    """Shell script: the passes over every load, as of `phase`; `look` is a command that has a line of counters printed."""
    script = (f"for load in {' '.join(LOADS)}; do\necho load {phase} $load\n"
              f"work --percent {suite.percent} --section $load --around '{look}' || exit\ndone\n")
    for name, program in suite.programs.items():
        script += (f"{program.before}\necho load {phase} {name}\n"
                   f"runwork --name {name} --operations {program.operations} --around '{look}' --command '{program.command}' || exit\n{program.after}\n")
    return script * suite.passes


def bare(machine_of, suite=Suite(), kernel="cloud"):
    """{"bare": {load: Seen}}"""
    script = warm_up(suite) + measure("bare", suite)
    return parsed(switch_cost.counted(machine_of, SEED, script, scrim=False, kernel=kernel, memory=MEMORY, initrd=suite.initrd, timeout=TIMEOUT))


def scrim_script(suite, backends=BACKENDS):
    """Native, then each back-end with every page at home and with all of them scattered."""
    script = QUIETLY + warm_up(suite) + measure("native", suite, LOOK_AT_SCRIM)
    for backend in backends:
        script += f"quietly scrimctl virtualize --backend {backend}\n" + measure(backend, suite, LOOK_AT_SCRIM)
        script += "quietly scrimctl scatter --batch 256\n" + measure(f"{backend}-scattered", suite, LOOK_AT_SCRIM)
        script += "quietly scrimctl check\nquietly scrimctl devirtualize --batch 256\nquietly scrimctl check\n"
    return script


def scrim(machine_of, suite=Suite(), backends=BACKENDS):
    """{phase: {load: Seen}}; the phases are native, NAME and NAME-scattered for each back-end."""
    return parsed(switch_cost.counted(machine_of, SEED, scrim_script(suite, backends), scrim=True, memory=MEMORY, initrd=suite.initrd,
                                      options="dma-free=all reserve=32M", timeout=TIMEOUT))


def parsed(lines):
    """{phase: {load: Seen}}, each of the phase's last pass; the warm-up left out."""
    seen, phase, load, looks = {}, None, None, []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "load":
            (phase, load), looks = rest.split(), []
        elif word == "counters":
            looks.append(json.loads(rest))
        else:
            result = json.loads(line)
            if not result["fixed_addresses"]:
                raise MachineError(f"{result['tool']}: addresses were random")
            seen.setdefault(phase, {})[load] = Seen(result["sections"][load], result["operations"][load], result["checksum"],
                                                    grown(*looks), looks[-1] if looks else {})
    seen.pop("warm-up")
    return seen


def counts(look):
    """What counts, of a status of Scrim's; KVM's counters are flat already."""
    if "version" not in look:
        return look
    causes = {f"exits_{cause}": count for cause, count in look["exits"]["by_cause"].items()}
    return {"exits": look["exits"]["total"], **causes, **look["counters"]}


def grown(*looks):
    """By how much each counter has grown between the last two looks, without what one look itself adds; {} where nobody looked."""
    if not looks:
        return {}
    first, before, after = map(counts, looks)
    check("version" not in looks[0] or before["exits"] > first["exits"], "a look at Scrim is an exit, and it was not counted")
    return {name: after[name] - before[name] - (before[name] - first[name]) for name in after}


def total(loads):
    """Instructions of all loads of a phase."""
    return sum(seen.instructions for seen in loads.values())


def ratios(loads, reference):
    """{load: instructions as a multiple of those of the reference}"""
    return {load: seen.instructions / reference[load].instructions for load, seen in loads.items()}


def check_same_work(phases):
    """Every system has computed the same: {phase: {load: Seen}}."""
    for load in next(iter(phases.values())):
        checksums = {phase: loads[load].checksum for phase, loads in phases.items()}
        check(len(set(checksums.values())) == 1, f"{load}: checksums differ: {checksums}")
