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
TWINS_MIB = 8
LOAD_MIB = 8
KERNEL = "0x1000000-0x1800000"  # its code is there
WAYS = [(remap, reverse) for remap in ("direct", "indirect") for reverse in ("backmap", "refcount", "search")]


def machine_of(t, **how):
    return t.bochs(options="dma-free=all", **how)


def exits(status):
    """By cause, without the requests that ask for them."""
    return {cause: count for cause, count in status["exits"]["by_cause"].items() if cause != "request"}


def check_native(machine, seconds=1):
    """NATIVE, and a load makes no CPU exit."""
    before = machine.status()
    check_equal(before["state"], "native", "state")
    check_equal(cpus.modes(before), ["native"] * machine.cpus, "CPUs")
    machine.must(f"sleep {seconds}")
    check_equal(exits(machine.status()), exits(before), "exits in NATIVE under load, by cause")


def moved_and_home(machine, where, way, how):
    """Scatters a range and brings all home. Returns the pages that came."""
    remap, reverse = way
    machine.must(f"scrimctl scatter --range {where} --seed 7 && scrimctl check")
    displaced = machine.status()["pages"]["displaced"]
    check(displaced > 1000, f"{displaced} pages displaced")
    machine.must(f"scrimctl devirtualize {how} --remap {remap} --reverse {reverse} && scrimctl check")
    return displaced


@test("bochs-svm-1cpu", cost=30)
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


def nmis(machine):
    """Linux's count of each CPU."""
    return [int(word) for word in re.findall(r"\d+", machine.must("grep NMI: /proc/interrupts"))]


def moves(t, machine, twins):
    """Switches, then pages shared, scattered and brought home by both CPUs. Returns how many were shared and came home."""
    shared = home = 0
    switch_many(machine, t.pick(3, 200))
    for way in t.pick(WAYS[:1], WAYS):
        for how in t.pick(("--concurrent --jobs 2",), ("--concurrent --jobs 2", "--paused")):
            machine.must(f"scrimctl virtualize && scrimctl share --range {twins.words} && scrimctl check")
            shared += machine.status()["pages"]["shared"]
            home += moved_and_home(machine, twins.words, way, how)
            twins.check_running()
    check(shared > 0, "no page was shared")
    return shared, home


def goes_and_comes(machine, state):
    """The second CPU: INIT and STARTUP go past Scrim, and it starts in it."""
    cpus.set_online(machine, 1, False)
    cpus.check_settled(machine, state, {1})
    cpus.set_online(machine, 1, True)
    cpus.check_settled(machine, state)


def hotplug(t, machine):
    """In NATIVE, and while memory is virtualized."""
    log = cpus.Log(machine)
    for _ in range(t.pick(1, 50)):
        goes_and_comes(machine, "native")
        machine.must("scrimctl virtualize")
        goes_and_comes(machine, "virtualized")
        machine.must("scrimctl devirtualize")
    log.check_quiet()


def back_traces(t, machine):
    """Linux asks the other CPU for a back-trace by an NMI: each comes, and once, while memory is switched. Returns their number."""
    count = t.pick(5, 300)
    machine.must("dmesg -n 1; echo 1 >/proc/sys/kernel/sysrq")
    switching = machine.spawn("while [ ! -e /tmp/end ]; do scrimctl virtualize && scrimctl devirtualize || exit 1; done >/dev/null")
    before = nmis(machine)
    machine.must(f"for i in $(seq {count}); do taskset 1 sh -c 'echo l >/proc/sysrq-trigger'; done", timeout=900)
    check_equal(nmis(machine), [before[0], before[1] + count], "NMIs")
    machine.must("touch /tmp/end")
    check_equal(switching.wait(300)[0], 0, "exit status of the switching")
    check_equal([cpu["nmis_passed"] for cpu in machine.status()["cpus"]], nmis(machine), "NMIs that Scrim says it passed on")
    return count


@test("bochs-svm-2cpu", cost=100)
def two_cpus(t):
    twins_program = {"bin/twins": (BUILD / "guest" / "twins").read_bytes()}
    with machine_of(t, cpu=SHOWN, cpus=2, args="log_buf_len=16M " + arguments(TWINS_MIB), files=twins_program) as machine:
        machine.wait_ready()
        twins = Twins(machine, TWINS_MIB, writes=1)
        with under_load(machine, mib=LOAD_MIB, stress=None, threads=2) as load:
            check_native(machine)
            with quiet_log(machine):
                shared, home = moves(t, machine, twins)
            hotplug(t, machine)
            check_native(machine)
            count = back_traces(t, machine)
        twins.stop()
    print(f"figure: {shared} pages shared, {home} came home; {count} NMIs, each once; {load.figures()}")


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
