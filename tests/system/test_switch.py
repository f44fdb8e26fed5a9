# SPDX-License-Identifier: BSD-2-Clause
"""Memory is virtualized and devirtualized under verified load: no wrong byte, no lost interrupt, no new line in the kernel's log.

Most switches are made by tests/guest/switcher.c, which checks every invariant and Scrim's counters after each half: one flush a
CPU, no kick. Some are made by scrimctl, as a user makes them.
"""

import collections
import json
import random
import re

from registry import check, check_equal, test
from under_load import quiet_log, under_load

SWITCHES = (60, 1000)  # there and back: make test, make soak
# Exits that a switch has: the requests of its tool. Everything else would be a CPU that was bothered.
BOTHERING = ("nmi", "iret", "msr", "cache", "cr3", "lidt", "apic", "map", "svm-insn", "debug", "init", "shutdown", "other")


def switch_many(machine, switches, seed=1):
    """So many switches by the switcher. Returns its report."""
    status, output = machine.run(f"switcher --switches {switches} --seed {seed}", timeout=1200)
    check_equal(status, 0, f"exit status of switcher ({output})")
    report = json.loads(output)
    check_equal(report["halves"], 2 * switches, "halves of switches")
    check_equal(report["visits"], 2 * switches * machine.cpus, "visits")
    check_equal(report["flushes"], 2 * switches * machine.cpus, "flushes: one a CPU in each half")
    check_equal(report["kicks"], 0, "kicks")
    for cause in BOTHERING:
        check_equal(report["exits"][cause], 0, f"exits by {cause} while switching")
    # The count is read by requests: of those that read it, not all are in it.
    strangers = abs(report["exits"]["request"] - report["requests"])
    check(strangers < 200, f"{report['exits']['request']} exits by request, but {report['requests']} requests were made")
    return report


def switch_by_hand(machine, times):
    """The same by scrimctl, with `check` after each half."""
    for _ in range(times):
        for verb, state in (("virtualize", "virtualized"), ("devirtualize", "native")):
            machine.must(f"scrimctl {verb} && scrimctl check")
            check_equal(machine.status()["state"], state, f"state after {verb}")


def switches(t, cpus, times, by_hand, **how):
    """The body of most tests here. Prints what a switch took."""
    with t.machine(cpus=cpus, memory="512M", **how) as machine:
        machine.wait_ready()
        before = machine.status()
        check_equal(before["state"], "native", "state after boot")
        with quiet_log(machine), under_load(machine, threads=max(cpus, 2)) as load:
            report = switch_many(machine, times)
            switch_by_hand(machine, by_hand)
        after = machine.status()
        check_equal(after["state"], "native", "state at the end")
        check_equal(after["counters"]["kicks"], before["counters"]["kicks"], "kicks since boot")
        check_equal(after["memory"]["map_bytes"], before["memory"]["map_bytes"], "bytes of the map")
        counted = after["counters"]["switches"] - before["counters"]["switches"]
        check_equal(counted, 2 * (times + by_hand), "switches by Scrim's count")
    print(f"figure: {cpus} CPUs: {times + by_hand} switches there and back, 0 kicks, "
          f"{report['flushes'] / report['halves']:g} flushes and {report['visits'] / report['halves']:g} visits each way, other exits 0")
    print(f"figure: longest way {report['longest_half_us']} us under load, "
          f"longest exit {report['longest_exit_us']} us (host's time, noisy)")
    print(f"figure: {load.figures()}")


@test("switch-4cpu", cost=30)
def switch_4cpu(t):
    switches(t, 4, t.pick(*SWITCHES), by_hand=t.pick(3, 30), options="dma-free=all")


@test("switch-late-map", cost=20)
def switch_late_map(t):
    """The Identity root is made on command, and nothing of it is left in NATIVE."""
    with t.machine(cpus=4, memory="512M", options="map=late") as machine:
        machine.wait_ready()
        check_equal(machine.status()["memory"]["map_bytes"], 0, "bytes of the map in NATIVE")
        with quiet_log(machine), under_load(machine) as load:
            for seed in range(t.pick(2, 20)):
                report = switch_many(machine, t.pick(5, 50), seed)
                check_equal(machine.status()["memory"]["map_bytes"], 0, "bytes of the map in NATIVE")
                machine.must("scrimctl virtualize && scrimctl check")
                check(machine.status()["memory"]["map_bytes"] > 0, "virtualized without a map")
                machine.must("scrimctl devirtualize && scrimctl check")
        check_equal(machine.status()["memory"]["map_bytes"], 0, "bytes of the map in NATIVE")
    print(f"figure: map=late, longest way {report['longest_half_us']} us with making the map; {load.figures()}")


@test("switch-1cpu", cost=13)
def switch_1cpu(t):
    switches(t, 1, t.pick(*SWITCHES), by_hand=t.pick(2, 20))


@test("switch-2cpu", cost=15)
def switch_2cpu(t):
    switches(t, 2, t.pick(20, 1000), by_hand=t.pick(1, 20))


# --- refused, and killed ----------------------------------------------------------------------------------------------

CGROUP = """
mkdir -p /tmp/cgroup && mount -t cgroup2 none /tmp/cgroup && echo +cpuset >/tmp/cgroup/cgroup.subtree_control &&
mkdir /tmp/cgroup/few && echo 0-2 >/tmp/cgroup/few/cpuset.cpus
"""


def confined(machine, command):
    """Runs a command where CPU 3 cannot be had. Returns (status, output)."""
    return machine.run(f"echo $$ >/tmp/cgroup/few/cgroup.procs || exit 99; {command}")


def check_refused(machine, command, state):
    """The command fails, names the CPU, and the machine is in `state`, every invariant holding."""
    status, output = confined(machine, command)
    check_equal(status, 1, f"exit status of {command} without CPU 3 ({output})")
    check("cpu3" in output and "cannot be visited" in output, f"{command} does not say which CPU it cannot visit: {output}")
    check_equal(machine.status()["state"], state, f"state after the refused {command}")
    machine.must("scrimctl check")
    return output


def from_half_way(machine, seed):
    """Two of four CPUs have switched when the rest is left to a tool that cannot reach CPU 3.

    Returns whether CPU 3 was among the two."""
    machine.must(f"switcher --half-done 2 --seed {seed}")
    status = machine.status()
    check_equal(status["state"], "commencing", "state after half a virtualize")
    if status["cpus"][3]["mode"] == "translating":
        status, output = confined(machine, "scrimctl virtualize")
        check_equal(status, 0, f"exit status of virtualize, where all CPUs that were left can be reached ({output})")
        machine.must("scrimctl check && scrimctl devirtualize")
        return True
    said = check_refused(machine, "scrimctl virtualize", "native")
    check("undone" in said, f"scrimctl does not say that it has undone its work: {said}")
    return False


@test("switch-cpu-out-of-reach", cost=12)
def switch_cpu_out_of_reach(t):
    """A cpuset keeps scrimctl from CPU 3: it refuses and the state is as before; half-way it goes back."""
    with t.machine(cpus=4, memory="512M") as machine:
        machine.wait_ready()
        machine.must(CGROUP)
        kicks = machine.status()["counters"]["kicks"]
        with quiet_log(machine):
            check_refused(machine, "scrimctl virtualize", "native")
            reached = [from_half_way(machine, seed) for seed in range(1, 9)]
            check(any(reached) and not all(reached), f"the seeds do not show both ways: {reached}")
            machine.must("scrimctl virtualize")
            check_refused(machine, "scrimctl devirtualize", "virtualized")
            machine.must("scrimctl devirtualize && scrimctl check")
        check_equal(machine.status()["state"], "native", "state at the end")
        check_equal(machine.status()["counters"]["kicks"], kicks, "kicks")
    print(f"figure: without CPU 3: 2 switches refused with nothing changed, {reached.count(False)} undone from half-way")


HALF_STATES = ("commencing", "remapping", "ceasing")

# One shell in the guest makes all steps: every line of its output is "EVENT STATE". Words of $1: microseconds until the kill.
KILL_LOOP = r"""
state() { scrimctl status --json | sed -n 's/^  "state": "\(.*\)",/\1/p'; }
resume() {
	turn=$((1 - turn))
	case $1-$turn in
	native*) verb=virtualize want=virtualized ;;
	commencing-0 | ceasing-0 | remapping-0 | virtualized*) verb=devirtualize want=native ;;
	commencing-1) verb=virtualize want=virtualized ;;
	*-1) verb="devirtualize --abort" want=virtualized ;;
	esac
	scrimctl $verb >/dev/null && scrimctl check >/dev/null || exit 1
	[ $(state) = $want ] || { echo "wrong $(state) after $verb from $1"; exit 1; }
}
turn=0
for visits in $2; do
	switcher --half-done $visits --seed $visits >/dev/null && scrimctl check >/dev/null || exit 1
	left=$(state)
	echo "half $left"
	resume $left
done
page=$((0x1000000))
for delay in $1; do
	verb=virtualize
	if [ $(state) = virtualized ]; then
		verb=devirtualize
		scrimctl move $(seq $page 4096 $((page + 63 * 4096))) >/dev/null 2>&1
		page=$((page + 64 * 4096))
	fi
	scrimctl $verb >/dev/null 2>&1 &
	usleep $delay
	kill -KILL $! 2>/dev/null
	wait
	scrimctl check >/dev/null || exit 1
	left=$(state)
	echo "kill $left"
	resume $left
done
scrimctl devirtualize >/dev/null && scrimctl check && echo "end $(state)"
"""


def run_kill_loop(machine, delays, visits):
    """Returns {"half": {state: times}, "kill": {state: times}}."""
    machine.must(f"cat >/tmp/kill_loop <<'END'\n{KILL_LOOP}\nEND")
    status, output = machine.run(f"sh /tmp/kill_loop '{' '.join(map(str, delays))}' '{' '.join(map(str, visits))}'", timeout=1800)
    check_equal(status, 0, f"exit status of the loop of kills ({output})")
    seen = {"half": collections.Counter(), "kill": collections.Counter()}
    check(output.endswith("all invariants hold\nend native\n"), f"the loop did not come to its end: {output}")
    for kind, state in re.findall(r"^(half|kill) (\w+)$", output, re.MULTILINE):
        seen[kind][state] += 1
    check_equal([sum(counts.values()) for counts in seen.values()], [len(visits), len(delays)], "rounds of the loop")
    return seen


@test("switch-killed-tool", cost=25)
def switch_killed_tool(t):
    """SIGKILL at random moments, and after every possible number of visits: the next command resumes or undoes."""
    rng = random.Random(1)
    delays = [rng.randrange(500, 60000) for _ in range(t.pick(12, 500))]
    visits = list(range(4)) * t.pick(1, 25)
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=16M") as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=8, stress=None, threads=2) as load:
            seen = run_kill_loop(machine, delays, visits)
    check(not set(seen["half"]) - {"commencing", "ceasing"}, f"states after too few visits: {seen['half']}")
    check(any(seen["kill"][state] for state in HALF_STATES), f"no kill met a switch half-way: {seen['kill']}")
    print(f"figure: {len(delays)} tools killed at random left {dict(seen['kill'])}, {len(visits)} stopped after 0 to 3 visits "
          f"{dict(seen['half'])}: all resumed or undone")
    print(f"figure: {load.figures()}")
