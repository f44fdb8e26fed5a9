# SPDX-License-Identifier: BSD-2-Clause
"""Scrim on another emulator's SVM: Bochs, which honours GIF at INIT, tells the next RIP, and keeps to the manual where QEMU does not.

Two things of Bochs 2.7 bound what can be asked of it here:

- EXITINTINFO of an exit that comes while an external interrupt or an NMI is delivered is not that interrupt's but what was last written
  there, with the valid bit (its svm.cc fills it in for exceptions alone): the interrupt is lost, and something else delivered. So no page that
  a delivery touches may be absent: with more than one CPU only memory of a program's own is moved, and Linux does not run on V2M tables
  (shadow, vtlb) here. On VMX Bochs has this right.
- Its CPUs run 16 instructions in turn, so a batch is hardly ever met by the other CPU.
"""

import re

import cpus
from emulated import BUILD
from registry import SOAK, check, check_equal, test
from test_switch import switch_many
from twins import Twins, arguments
from under_load import quiet_log, under_load

# Of the two that have all that is wanted here: bare, with two CPUs and a load, Linux loses what a program has in AVX registers on "ryzen".
SHOWN = "zambezi"
MODELS = ("zambezi", "ryzen")
TWINS = {"bin/twins": BUILD / "guest" / "twins"}
TWINS_MIB = 8
LOAD_MIB = 8
KERNEL = "0x1000000-0x1800000"  # its code is there
WAYS = [(remap, reverse) for remap in ("direct", "indirect") for reverse in ("backmap", "refcount", "search")]


def machine_of(t, **how):
    return t.bochs(options="dma-free=all", **how)


def exits(status):
    """By cause, without the requests that ask for them."""
    return {cause: count for cause, count in status["exits"]["by_cause"].items() if cause != "request"}


def check_native(machine, seconds=2):
    """NATIVE, and a load makes no CPU exit."""
    before = machine.status()
    check_equal(before["state"], "native", "state")
    check_equal(cpus.modes(before), ["native"] * machine.cpus, "CPUs")
    machine.must(f"sleep {seconds}")
    check_equal(exits(machine.status()), exits(before), "exits in NATIVE under load, by cause")


def moved_and_home(machine, where, way, how):
    """Scatters a range and brings it home. Returns the pages that came."""
    remap, reverse = way
    machine.must(f"scrimctl scatter --range {where} --seed 7 && scrimctl check")
    displaced = machine.status()["pages"]["displaced"]
    check(displaced > 1000, f"{displaced} pages displaced")
    machine.must(f"scrimctl devirtualize {how} --remap {remap} --reverse {reverse} && scrimctl check")
    return displaced


@test("bochs-svm-1cpu", cost=50)
def one_cpu(t):
    """The kernel's code is moved too."""
    pages = 0
    with machine_of(t, cpu=SHOWN) as machine:
        machine.wait_ready()
        check_native(machine)
        with quiet_log(machine), under_load(machine, mib=LOAD_MIB, stress=None, threads=2) as load:
            check_native(machine)
            report = switch_many(machine, t.pick(5, 200))
            for way in t.pick(WAYS[:1], WAYS):
                machine.must("scrimctl virtualize")
                pages += moved_and_home(machine, KERNEL, way, "--concurrent")
            check_native(machine)
    print(f"figure: {report['halves']} switches, {pages} pages moved and home; {load.figures()}")


@test("bochs-svm-2cpu", cost=70)
def two_cpus(t):
    pages = shared = 0
    with machine_of(t, cpu=SHOWN, cpus=2, args=arguments(TWINS_MIB), files=contents(TWINS)) as machine:
        machine.wait_ready()
        check_native(machine)
        twins = Twins(machine, TWINS_MIB, writes=1)
        with quiet_log(machine), under_load(machine, mib=LOAD_MIB, stress=None, threads=2) as load:
            switch_many(machine, t.pick(5, 200))
            for way in t.pick(WAYS[:1], WAYS):
                for how in ("--concurrent --jobs 2", "--paused"):
                    machine.must(f"scrimctl virtualize && scrimctl share --range {twins.words} && scrimctl check")
                    shared += machine.status()["pages"]["shared"]
                    pages += moved_and_home(machine, twins.words, way, how)
                    twins.check_running()
            check_native(machine)
        twins.stop()
    check(shared > 0, "no page was shared")
    print(f"figure: {pages} pages moved and home, {shared} shared; {load.figures()}")


def contents(paths):
    return {inside: outside.read_bytes() for inside, outside in paths.items()}


@test("bochs-svm-hotplug", cost=45)
def hotplug(t):
    """The guard: INIT and STARTUP go past Scrim, and the CPU that starts is in it. In NATIVE, and while memory is virtualized."""
    rounds = t.pick(2, 50)
    with machine_of(t, cpu=SHOWN, cpus=2) as machine:
        machine.wait_ready()
        log = cpus.Log(machine)
        with under_load(machine, mib=LOAD_MIB, stress=None, threads=2) as load:
            for state in ("native", "virtualized"):
                for _ in range(rounds):
                    cpus.set_online(machine, 1, False)
                    cpus.check_settled(machine, state, {1})
                    cpus.set_online(machine, 1, True)
                    cpus.check_settled(machine, state)
                cpus.switch_there_and_back(machine, "virtualized" if state == "virtualized" else "native")
                if state == "native":
                    machine.must("scrimctl virtualize")
            machine.must("scrimctl devirtualize")
            log.check_quiet()
    print(f"figure: {2 * rounds} times offline and online; {load.figures()}")


# --- NMIs -------------------------------------------------------------------------------------------------------------


def nmis(machine):
    """Linux's count of each CPU."""
    return [int(word) for word in re.findall(r"\d+", machine.must("grep NMI: /proc/interrupts"))]


@test("bochs-svm-nmi", cost=40)
def nmi(t):
    """Linux asks the other CPU for a back-trace by an NMI: each comes, and once, while memory is switched and while pages move."""
    asked = t.pick(10, 300)
    ask = f"for i in $(seq {asked}); do taskset 1 sh -c 'echo l >/proc/sysrq-trigger'; done"
    with machine_of(t, cpu=SHOWN, cpus=2, args="log_buf_len=16M " + arguments(TWINS_MIB), files=contents(TWINS)) as machine:
        machine.wait_ready()
        machine.must("dmesg -n 1; echo 1 >/proc/sys/kernel/sysrq")
        twins = Twins(machine, TWINS_MIB)
        begin = machine.spawn("while [ ! -e /tmp/end ]; do scrimctl virtualize && scrimctl devirtualize || exit 1; done >/dev/null")
        before = nmis(machine)
        machine.must(ask, timeout=900)
        check_equal(nmis(machine), [before[0], before[1] + asked], "NMIs while memory was switched")
        machine.must("touch /tmp/end")
        check_equal(begin.wait(300)[0], 0, "exit status of the switching")
        machine.must("scrimctl virtualize")
        machine.must(ask, timeout=900)
        check_equal(nmis(machine), [before[0], before[1] + 2 * asked], "NMIs in all")
        check_equal(sum(cpu["nmis_passed"] for cpu in machine.status()["cpus"]), sum(nmis(machine)), "NMIs that Scrim says it passed on")
        machine.must("scrimctl devirtualize")
        twins.stop()
    print(f"figure: {2 * asked} NMIs sent, all arrived, none twice")


# --- other models, in the long run ------------------------------------------------------------------------------------


def boots(model, count):
    def run(t):
        with machine_of(t, cpu=model, cpus=count) as machine:
            machine.wait_ready()
            check_native(machine)
            cpus.switch_there_and_back(machine, "native")
            check_native(machine)
    return run


for _model in MODELS:
    for _count in (1, 2, 4):
        test(f"bochs-svm-boot-{_model}-{_count}cpu", cost=30 * _count, when=SOAK)(boots(_model, _count))
