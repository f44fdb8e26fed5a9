# SPDX-License-Identifier: BSD-2-Clause
"""CPUs go offline and come online, in every state of the memory and in the middle of a switch, and none is ever outside Scrim.

A CPU that starts while nothing is trapped is one that Scrim has lost: it would never be answered, and that is what is looked for
after every step. Kicks are for the first CPU that goes offline, or is started before it has parked, so they are counted.
"""

import json
import os
import random

import cpus
from registry import check, check_equal, test

CPUS = 4
MEMORY = "512M"
RENEW_EVERY = 6  # rounds after which memory is switched there and back


def toggle(machine, source, state, offline, kicks):
    """Takes a random CPU offline or brings it back, at times in the same breath."""
    cpu = source.randrange(1, CPUS)
    before = machine.status()["counters"]["kicks"]
    if cpu in offline:
        cpus.set_online(machine, cpu, True)
        offline.remove(cpu)
        status = cpus.check_settled(machine, state, offline)
        check_equal(status["counters"]["kicks"], before, "kicks after a CPU has come")
        return
    was_guarded = bool(offline)
    cpus.set_online(machine, cpu, False)
    offline.add(cpu)
    status = cpus.check_settled(machine, state, offline)
    sent = status["counters"]["kicks"] - before
    # Nobody is kicked who is behind the guard already; who is in Scrim at that moment needs none.
    check(sent <= (0 if was_guarded else CPUS - 1), f"{sent} kicks for CPU {cpu}, offline {offline}")
    kicks.append(sent)


def walk(t, state, seed):
    """A random walk over which CPUs are online."""
    source = random.Random(seed)
    rounds = t.pick(short=12, long=100)
    kicks, offline = [], set()
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
        machine.wait_ready()
        load, log = cpus.Load(machine), cpus.Log(machine)
        if state == "virtualized":
            machine.must("scrimctl virtualize")
            cpus.displace(machine, source.random())
        while len(kicks) < rounds:
            toggle(machine, source, state, offline, kicks)
            log.check_quiet()
            load.check_running()
            if len(kicks) % RENEW_EVERY == 0:
                renew(machine, source, state, offline)
        for cpu in sorted(offline):
            cpus.set_online(machine, cpu, True)
        cpus.check_settled(machine, state)
        if state == "virtualized":
            machine.must("scrimctl devirtualize")
            cpus.check_settled(machine, "native")
        verified = json.loads(load.stop())
        log.check_quiet()
    first = [sent for sent in kicks if sent]
    print(f"figure: {rounds} offline and online in state {state}, seed {seed}: kicks {min(first)} to {max(first)} for the first CPU to go, "
          f"0 for {len(kicks) - len(first)} others; {verified['bytes_verified'] >> 20} MiB verified, 0 wrong; no CPU outside Scrim")


def renew(machine, source, state, offline):
    """Memory is switched whichever CPUs are there."""
    cpus.switch_there_and_back(machine, state)
    if state == "virtualized":
        cpus.displace(machine, source.random())
    cpus.check_settled(machine, state, offline)


@test("hotplug-native", cost=35)
def hotplug_native(t):
    walk(t, "native", t.pick(short=1, long=101))


@test("hotplug-virtualized", cost=40)
def hotplug_virtualized(t):
    walk(t, "virtualized", t.pick(short=2, long=102))


@test("hotplug-at-once", cost=20)
def hotplug_at_once(t):
    """Online right after offline: Linux may send INIT while the CPU is still on its way to where it parks."""
    rounds = t.pick(short=5, long=100)
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
        machine.wait_ready()
        load, log = cpus.Load(machine), cpus.Log(machine)
        before = machine.status()["counters"]["kicks"]
        for _ in range(rounds):
            for cpu in range(1, CPUS):
                machine.must(f"cd /sys/devices/system/cpu/cpu{cpu} && echo 0 >online && echo 1 >online")
                cpus.check_present(machine, range(CPUS))
        status = cpus.check_settled(machine, "native")
        cpus.switch_there_and_back(machine, "native")
        load.stop()
        log.check_quiet()
    kicks = status["counters"]["kicks"] - before
    print(f"figure: online right after offline: {rounds * (CPUS - 1)} times, {kicks} kicks, no CPU outside Scrim")


# A switch that stops half way: (what it is, CPUs visited, CPU that goes offline then, CPUs left to visit).
HALF_WAY = (
    ("virtualize", (0, 1), 2, (3,)),     # one that was not visited
    ("virtualize", (0, 1), 1, (2, 3)),   # one that was
    ("virtualize", (0, 1, 2), 3, ()),    # the last one: nobody is left to visit
    ("devirtualize", (3, 0), 1, (2,)),
    ("devirtualize", (3, 0), 3, (1, 2)),
    ("devirtualize", (0, 1, 2), 3, ()),
)
ENDS = {"virtualize": "virtualized", "devirtualize": "native"}
UNDER_WAY = {"virtualize": "commencing", "devirtualize": "ceasing"}


def visit(machine, cpu):
    """One CPU switches. Returns how many are left."""
    return int(machine.must(f"ask {cpu} visit").split()[1], 16)


def half_way(machine, verb, visited, leaving, others, online_before_end):
    before = "native" if verb == "virtualize" else "virtualized"
    if before == "virtualized":
        machine.must("scrimctl virtualize")
    cpus.check_settled(machine, before)
    machine.must(f"ask 0 {verb}")
    left = [visit(machine, cpu) for cpu in visited]
    check_equal(left, [CPUS - 1 - place for place in range(len(visited))], "CPUs left while visiting")
    cpus.set_online(machine, leaving, False)
    on, off = ("translating", "guarded") if verb == "virtualize" else ("guarded", "translating")
    wanted = [on if cpu in visited else off for cpu in range(CPUS)]
    wanted[leaving] = "parked"
    cpus.wait_modes(machine, UNDER_WAY[verb], wanted)
    if online_before_end:
        cpus.set_online(machine, leaving, True)
        wanted[leaving] = on  # it comes back switched
        # The last one's guard is gone, and CPUs not behind the map leave it when they next come by.
        wait_arrived(machine, UNDER_WAY[verb], leaving, on)
    if others:
        check_equal(visit(machine, others[0]), len(others) - 1, "CPUs left after one more")
    machine.must(f"scrimctl {verb}")
    cpus.check_settled(machine, ENDS[verb], () if online_before_end else (leaving,))
    if verb == "virtualize":
        cpus.displace(machine, 1, 32)
    if not online_before_end:
        cpus.set_online(machine, leaving, True)
    cpus.check_settled(machine, ENDS[verb])
    if verb == "virtualize":
        machine.must("scrimctl devirtualize")
    cpus.check_settled(machine, "native")


def wait_arrived(machine, state, cpu, mode):
    status = machine.status()
    check_equal(status["state"], state, "state")
    check(status["cpus"][cpu]["mode"] in (mode, "native"), f"CPU {cpu} came back as {status['cpus'][cpu]['mode']}")


@test("hotplug-half-way", cost=25)
def hotplug_half_way(t):
    """In COMMENCING and CEASING: visit some CPUs, take one offline, go on."""
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
        machine.wait_ready()
        load, log = cpus.Load(machine), cpus.Log(machine)
        done = 0
        for _ in range(t.pick(short=1, long=10)):
            for number, case in enumerate(HALF_WAY):
                for online_before_end in t.pick(short=(number % 2 == 0,), long=(False, True)):
                    half_way(machine, *case, online_before_end)
                    log.check_quiet()
                    load.check_running()
                    done += 1
        load.stop()
        check_equal(machine.status()["counters"]["cpus_lost"], 0, "CPUs lost")
    print(f"figure: {done} switches met by a CPU going offline half way, each one finished")


@test("hotplug-all", cost=15)
def hotplug_all(t):
    """Two CPUs at once, then all but the first."""
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
        machine.wait_ready()
        load, log = cpus.Load(machine), cpus.Log(machine)
        for state in ("native", "virtualized"):
            if state == "virtualized":
                machine.must("scrimctl virtualize")
                cpus.displace(machine, 3)
            for together in t.pick(short=((1, 2), (1, 2, 3)), long=((1, 2), (1, 3), (2, 3), (1, 2, 3)) * 5):
                for on in (0, 1):
                    machine.must("\n".join(f"echo {on} >/sys/devices/system/cpu/cpu{cpu}/online & p{cpu}=$!" for cpu in together)
                                 + "\n" + "\n".join(f"wait $p{cpu} || exit" for cpu in together))
                    offline = () if on else together
                    cpus.check_settled(machine, state, offline)
                    cpus.switch_there_and_back(machine, state)
                    cpus.check_settled(machine, state, offline)
        load.stop()
        log.check_quiet()
    print("figure: two CPUs at once, and all but the first, offline and online in states native and virtualized")


@test("hotplug-from-boot", cost=20)
def hotplug_from_boot(t):
    """CPUs that Linux does not start at boot keep Scrim on guard."""
    with t.machine(cpus=CPUS, memory=MEMORY, args="maxcpus=1", options="dma-free=all") as machine:
        machine.wait_ready()
        log = cpus.Log(machine)
        cpus.check_settled(machine, "native", {1, 2, 3}, absent="waiting")
        cpus.switch_there_and_back(machine, "native")
        for cpu in (3, 1, 2):
            cpus.set_online(machine, cpu, True)
            missing = {3: {1, 2}, 1: {2}, 2: set()}[cpu]
            cpus.check_settled(machine, "native", missing, absent="waiting")
        cpus.switch_there_and_back(machine, "native")
        cpus.set_online(machine, 1, False)
        cpus.check_settled(machine, "native", {1})
        cpus.set_online(machine, 1, True)
        cpus.check_settled(machine, "native")
        log.check_quiet()
    with t.machine(cpus=CPUS, memory=MEMORY, args="nr_cpus=2", options="dma-free=all") as machine:
        machine.wait_ready()
        check_equal(machine.must("nproc"), "2", "nproc")
        cpus.check_settled(machine, "native", {2, 3}, absent="waiting")
        cpus.switch_there_and_back(machine, "native")
        cpus.set_online(machine, 1, False)
        cpus.wait_modes(machine, "guarded", ["guarded", "parked", "waiting", "waiting"])
        cpus.set_online(machine, 1, True)
        cpus.check_settled(machine, "native", {2, 3}, absent="waiting")
        machine.must("scrimctl virtualize")
        cpus.displace(machine, 4)
        cpus.check_settled(machine, "virtualized", {2, 3}, absent="waiting")
        machine.must("scrimctl devirtualize")
    print("figure: maxcpus=1: guarded until the other CPUs are brought online by hand; nr_cpus=2: guarded for good")


@test("hotplug-starved", cost=60, weight=2)
def hotplug_starved(t):
    """Online right after offline, while the host gives the CPU no time: INIT finds it short of where it would park."""
    rounds, victim = t.pick(short=4, long=40), 2
    with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all", threads="multi") as machine:
        machine.wait_ready()
        log = cpus.Log(machine)
        thread = machine.qmp("query-cpus-fast")[victim]["thread-id"]
        for state in ("native", "virtualized"):
            if state == "virtualized":
                machine.must("scrimctl virtualize")
                cpus.displace(machine, 5)
            before = machine.status()["counters"]["kicks"]
            busy = machine.spawn("for c in 0 1 3; do taskset -c $c sh -c 'while [ ! -e /tmp/rest ]; do :; done' & done; wait")
            for _ in range(rounds):
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
                machine.must(f"cd /sys/devices/system/cpu/cpu{victim} && echo 0 >online && echo 1 >online")
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
                cpus.check_present(machine, range(CPUS))
            machine.must("touch /tmp/rest")
            busy.wait(30)
            machine.must("rm /tmp/rest")
            status = cpus.check_settled(machine, state)
            print(f"figure: {state}: a starved CPU, online right after offline {rounds} times: "
                  f"{status['counters']['kicks'] - before} kicks, never outside Scrim")
        machine.must("scrimctl devirtualize")
        log.check_quiet()
