# SPDX-License-Identifier: BSD-2-Clause
"""What is under way is interrupted: the tool killed at any moment, a CPU taken offline, another kernel started. Nothing is lost.

Every byte that the guest programs `load` and `twins` own is verified all the time, and once more at the end.
"""

import collections
import random
import re

import cpus
import test_reboot
import twins
from registry import check, check_equal, test
from under_load import quiet_log, under_load

MIB = 16
RESERVE = "dma-free=all reserve=16M"

# Rounds are words "WHAT:PERMILLE", the moment of the kill as a part of the time that WHAT took when it was last let end; PERMILLE 0: it
# is let end. Prints "WHAT killed|ended|whole STATE" for each: how the tool ended, and what it left.
KILL_LOOP = r"""
range=$1
seed=0
state() { scrimctl status --json | sed -n 's/^  "state": "\(.*\)",/\1/p'; }
fail() { echo "FAILED in round $seed, $what: $*"; exit 1; }
quietly() { "$@" >/tmp/said 2>&1 || fail "$*: status $?: $(cat /tmp/said)"; }
be() { [ "$(state)" = $1 ] || fail "state $(state), not $1"; }
finish() { quietly scrimctl devirtualize; be native; }
begin() {
	case $(state) in
	native | commencing) quietly scrimctl virtualize ;;
	remapping | ceasing) quietly scrimctl devirtualize --abort ;;
	esac
	be virtualized
}
away() {
	begin
	quietly scrimctl scatter --range $range --seed $seed --batch 256
	quietly scrimctl share --range $range --batch 256
}
microseconds() { at=$EPOCHREALTIME; at=${at%.*}${at#*.}; }
victim() {
	eval whole=\$whole_$what
	microseconds; begun=$at
	scrimctl "$@" >/tmp/victim 2>&1 &
	pid=$!
	if [ $permille != 0 ]; then
		usleep $((whole * permille / 1000))
		kill -KILL $pid 2>/dev/null
	fi
	wait $pid
	case $? in
	0) end=ended ;;
	137) end=killed ;;
	*) fail "$*: status $?: $(cat /tmp/victim)" ;;
	esac
	microseconds
	[ $end = killed ] || eval whole_$what=$((at - begun))
	[ $permille != 0 ] || end=whole
	quietly scrimctl check
	echo "$what $end $(state)"
}
for round in $2; do
	what=${round%:*} permille=${round#*:}
	seed=$((seed + 1))
	case $what in
	virtualize) finish; victim virtualize ;;
	manage) finish; victim virtualize --range $range; quietly scrimctl virtualize --range $range ;;
	scatter) begin; victim scatter --range $range --seed $seed ;;
	share) begin; victim share --range $range ;;
	home) away; victim devirtualize --jobs 2 ;;
	indirect) away; victim devirtualize --remap indirect --reverse refcount ;;
	paused) away; victim devirtualize --paused --force --reverse search ;;
	portion) away; victim devirtualize --range $range --reverse backmap ;;
	esac
	# The next command undoes, by turns, or finishes.
	if [ $((seed % 2)) = 0 ] || [ $what = portion ]; then finish; else begin; fi
	quietly scrimctl check
done
what=end
finish
echo "end ended $(state)"
"""
VICTIMS = ("virtualize", "manage", "scatter", "share", "home", "indirect", "paused", "portion")


def kill_many(machine, own, rounds, rng):
    """Kills `rounds` times, after one round of each that nobody kills. Returns {what: Counter of "killed STATE" or "ended STATE"}."""
    words = [f"{VICTIMS[number % len(VICTIMS)]}:{rng.randrange(1, 1000)}" for number in range(rounds)]
    rng.shuffle(words)
    words = [f"{what}:0" for what in VICTIMS] + words
    machine.must(f"cat >/tmp/kill_loop <<'END'\n{KILL_LOOP}\nEND")
    status, output = machine.run(f"sh /tmp/kill_loop {own.words} '{' '.join(words)}'", timeout=300 + 30 * rounds)
    check_equal(status, 0, f"exit status of the loop of kills ({output})")
    seen = collections.defaultdict(collections.Counter)
    for what, end in re.findall(r"^(\w+) ((?:killed|ended) \w+)$", output, re.MULTILINE):
        seen[what][end] += 1
    check_equal(len(re.findall(r"^\w+ whole \w+$", output, re.MULTILINE)), len(VICTIMS), f"rounds without a kill ({output})")
    check_equal(sum(sum(ends.values()) for ends in seen.values()), rounds + 1, f"rounds of the loop ({output})")
    check_equal(dict(seen.pop("end")), {"ended native": 1}, "the end")
    return seen


@test("interrupted-kill", cost=60)
def interrupted_kill(t):
    """SIGKILL at random moments of every verb that changes something; each time the next command resumes or undoes."""
    rounds, least = t.pick((24, 12), (290, 200))  # some end before they are killed
    with t.machine(cpus=4, memory="512M", options=RESERVE, args=twins.arguments(MIB)) as machine:
        machine.wait_ready()
        boot = machine.status()
        own = twins.Twins(machine, MIB, writes=16)
        with quiet_log(machine), under_load(machine, mib=16, stress=None, threads=2) as load:
            seen = kill_many(machine, own, rounds, random.Random(3))
            report = own.stop()
        after = machine.status()
        check_equal((after["pages"], after["memory"]), (boot["pages"], boot["memory"]), "pages and memory, against those after boot")
        check_equal(after["counters"]["cpus_lost"], 0, "CPUs lost")
    killed = sum(number for ends in seen.values() for end, number in ends.items() if end.startswith("killed"))
    half = sum(number for ends in seen.values() for end, number in ends.items() if end.split()[1] in ("commencing", "remapping", "ceasing"))
    check(killed >= least and half > 0, f"few were killed under way: {dict(seen)}")
    print(f"figure: {rounds} rounds, {killed} tools killed before their end, {half} of them left a state half-way, each resumed or undone: "
          + "; ".join(f"{what} {', '.join(f'{end} {number}' for end, number in ends.items())}" for what, ends in sorted(seen.items())))
    print(f"figure: {report['passes']} passes over {MIB} MiB of equal pages, {report['written']} written, 0 wrong; {load.figures()}")


STATE, REMAPPING = 0, 4  # enum scrim_info, enum scrim_state


@test("interrupted-by-signal", cost=15)
def interrupted_by_signal(t):
    """What ^C does as well: the tool says where it stops, and the next command goes on, or goes back. (Here SIGINT itself is ignored: the shell of
    the test's agent runs in the background, and scrimctl keeps to what it finds ignored.)"""
    with t.machine(cpus=2, memory="512M", options=RESERVE) as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=16, stress=None, threads=1) as load:
            for signal, after in (("TERM", "devirtualize"), ("HUP", "devirtualize --abort")):
                machine.must("scrimctl virtualize && scrimctl scatter --range 64M-128M --batch 256 >/dev/null")
                home = machine.spawn("exec scrimctl devirtualize --batch 1")
                machine.must(f"until ask 1 info {STATE} | grep -q ' {REMAPPING} '; do :; done; kill -{signal} $(pidof scrimctl)")
                status, output = home.wait(60)
                check(status == 1 and "interrupted in state remapping" in output and "run scrimctl" in output, f"after SIG{signal}: {status}, {output}")
                displaced = machine.status()["pages"]["displaced"]
                check(displaced > 0, "all was home before the signal")
                machine.must(f"scrimctl check && scrimctl {after} && scrimctl check && scrimctl devirtualize && scrimctl check")
                check_equal(machine.status()["state"], "native", "state at the end")
    print(f"figure: SIGTERM and SIGHUP on the way home, {displaced} pages displaced still at the last: resumed, and undone; {load.figures()}")


@test("interrupted-hotplug", cost=30)
def interrupted_hotplug(t):
    """CPUs go offline and come online while pages come home."""
    rounds, toggled = t.pick(3, 50), 0
    with t.machine(cpus=4, memory="512M", options=RESERVE, args=twins.arguments(MIB)) as machine:
        machine.wait_ready()
        own = twins.Twins(machine, MIB)
        load, log = cpus.Load(machine, 32), cpus.Log(machine)
        for number in range(rounds):
            # Besides the pages that are looked at so many others that a fast host does not bring all home before the first CPU has gone.
            machine.must(f"scrimctl virtualize && scrimctl scatter --range {own.words} --batch 256 --seed {number} >/dev/null && "
                         f"scrimctl scatter --range 64M-160M --batch 256 --seed {number} >/dev/null")
            home = machine.spawn(f"exec scrimctl devirtualize --batch 2 --jobs {1 + number % 2}")
            during = 0
            for cpu in (1, 2, 3):
                for on in (False, True):
                    cpus.set_online(machine, cpu, on)
                    during += machine.status()["state"] == "remapping"
            status, output = home.wait(300)
            check_equal(status, 0, f"exit status of devirtualize ({output})")
            check(during > 0, "pages were home before the first CPU was gone")
            toggled += during
            cpus.check_settled(machine, "native")
            check_equal(machine.status()["pages"]["displaced"], 0, "displaced pages")
            own.check_running()
            load.check_running()
            log.check_quiet()
        own.stop()
        load.stop()
    print(f"figure: {rounds} homecomings met by {toggled} CPUs going offline or coming online on the way, no page lost, no CPU outside Scrim")


# --- another kernel -----------------------------------------------------------------------------------------------------

SCATTERED = "16M-80M"  # the kernel's code lies there


def be_half_way_home(machine):
    """REMAPPING, with many pages still displaced. Returns how many."""
    machine.must(f"scrimctl virtualize && scrimctl scatter --range {SCATTERED} --batch 256 >/dev/null && ask 0 devirtualize && "
                 "for i in 1 2 3 4 5 6 7 8; do ask 0 step 64 || exit; done")
    status = machine.status()
    check_equal(status["state"], "remapping", "state half way home")
    check(status["pages"]["displaced"] > 8192, f"only {status['pages']['displaced']} pages are displaced half way home")
    machine.must("scrimctl check")
    return status["pages"]["displaced"]


@test("interrupted-kexec", cost=30)
def interrupted_kexec(t):
    """A kernel is started in the middle of REMAPPING: it finds the map as it was, and the next command goes on."""
    mib = 0
    with t.machine(cpus=2, memory="1G", options=RESERVE, kexec=True) as machine:
        machine.wait_ready()
        for number in range(t.pick(1, 10)):
            machine.must(test_reboot.LOAD_KERNEL.format(call=test_reboot.CALLS[number % 2]))
            displaced = be_half_way_home(machine)
            machine.spawn("load --threads 4 --mib 48 --seconds 0")
            test_reboot.jump(machine, "kexec -e")
            status = machine.status()
            check_equal((status["state"], status["pages"]["displaced"]), ("remapping", displaced), "state and pages in the next kernel")
            machine.must("scrimctl check")
            mib += test_reboot.verified_load(machine)
            machine.must("scrimctl devirtualize && scrimctl check")
            cpus.check_settled(machine, "native")
            mib += test_reboot.verified_load(machine)
    print(f"figure: kexec in the middle of REMAPPING, {displaced} pages displaced: as many in the next kernel, which brought them home; {mib} MiB verified")


@test("interrupted-crash", cost=25)
def interrupted_crash(t):
    """The crash kernel comes up in the middle of REMAPPING."""
    for cpu in t.pick((1,), (0, 1) * 5):
        with t.machine(cpus=2, memory="1G", args=test_reboot.CRASH_RESERVE, options=RESERVE, kexec=True) as machine:
            machine.wait_ready()
            machine.must("kexec -p /boot/vmlinuz --initrd=/boot/initramfs "
                         f"--command-line='{test_reboot.KERNEL_ARGS} {test_reboot.CRASH_ARGS} nr_cpus=1'")
            displaced = be_half_way_home(machine)
            before = machine.boot_id
            machine.send(f"exec taskset -c {cpu} sh -c 'echo c >/proc/sysrq-trigger'")
            machine.wait_ready()
            check(machine.boot_id != before, "it was the same kernel that answered")
            machine.must("test -e /proc/vmcore && scrimctl check")
            status = machine.status()
            check_equal((status["state"], status["pages"]["displaced"]), ("remapping", displaced), "state and pages in the crash kernel")
            machine.must("dd if=/proc/vmcore bs=1M count=16 of=/dev/null 2>/dev/null && scrimctl devirtualize && scrimctl check")
            check_equal(machine.status()["pages"]["displaced"], 0, "displaced pages")
    print(f"figure: crash kernel in the middle of REMAPPING, {displaced} pages displaced: as many there, and brought home")


@test("interrupted-reboot", cost=20)
def interrupted_reboot(t):
    """Reset and panic in the middle of REMAPPING and of COMMENCING."""
    times = 0
    with t.machine(cpus=2, memory="512M", args=test_reboot.PANIC, options=RESERVE, reboot=True) as machine:
        machine.wait_ready()
        for method in t.pick(("acpi", "triple"), test_reboot.METHODS * 5):
            be_half_way_home(machine)
            test_reboot.reset(machine, method)
            cpus.check_settled(machine, "native")
            times += 1
        be_half_way_home(machine)
        test_reboot.panic(machine)
        cpus.check_settled(machine, "native")
        machine.must("switcher --half-done 1")
        test_reboot.reset(machine, "acpi")
        cpus.check_settled(machine, "native")
        machine.must("scrimctl virtualize && scrimctl devirtualize && scrimctl check")
    print(f"figure: {times} resets and a panic in the middle of REMAPPING, a reset in COMMENCING: Scrim NATIVE after each")


# --- half switched ------------------------------------------------------------------------------------------------------

HALF_SWITCHED = {"commencing": "ask 0 virtualize && ask 0 visit", "ceasing": "scrimctl virtualize && ask 0 devirtualize && ask 0 visit"}


def be_half_switched(machine, state):
    """One CPU of two has been visited."""
    machine.must(f"{{ {HALF_SWITCHED[state]}; }} >/dev/null")
    check_equal(machine.status()["state"], state, "state half way through a switch")


@test("half-switched-reboot", cost=30)
def half_switched_reboot(t):
    """Every way out of Linux from COMMENCING and from CEASING."""
    methods = t.pick(("acpi", "triple"), test_reboot.METHODS * 10)
    for state in HALF_SWITCHED:
        with t.machine(cpus=2, memory="512M", args=test_reboot.PANIC, options=RESERVE, reboot=True) as machine:
            machine.wait_ready()
            for method in methods:
                be_half_switched(machine, state)
                test_reboot.reset(machine, method)
                cpus.check_settled(machine, "native")
            for _ in range(t.pick(1, 10)):
                be_half_switched(machine, state)
                test_reboot.panic(machine)
                cpus.check_settled(machine, "native")
            be_half_switched(machine, state)
            test_reboot.power_off(machine)
    print(f"figure: from {' and '.join(HALF_SWITCHED)}: {len(methods)} resets, by {' '.join(sorted(set(methods)))}, {t.pick(1, 10)} panics, power-off; "
          "Scrim NATIVE after each")


@test("half-switched-kexec", cost=35)
def half_switched_kexec(t):
    """Another kernel, and a crash kernel, from COMMENCING and from CEASING: it finds the switch as it was, and the next command ends it."""
    mib, times = 0, t.pick(1, 10)
    with t.machine(cpus=2, memory="1G", options=RESERVE, kexec=True) as machine:
        machine.wait_ready()
        for number, state in enumerate(tuple(HALF_SWITCHED) * times):
            machine.must(test_reboot.LOAD_KERNEL.format(call=test_reboot.CALLS[number // 2 % 2]))
            be_half_switched(machine, state)
            machine.spawn("load --threads 4 --mib 48 --seconds 0")
            test_reboot.jump(machine, "kexec -e")
            check_equal(machine.status()["state"], state, "state in the next kernel")
            machine.must("scrimctl check")
            mib += test_reboot.verified_load(machine)
            machine.must("scrimctl devirtualize && scrimctl check")
            cpus.check_settled(machine, "native")
    for state in HALF_SWITCHED:
        with t.machine(cpus=2, memory="1G", args=test_reboot.CRASH_RESERVE, options=RESERVE, kexec=True) as machine:
            machine.wait_ready()
            machine.must("kexec -p /boot/vmlinuz --initrd=/boot/initramfs "
                         f"--command-line='{test_reboot.KERNEL_ARGS} {test_reboot.CRASH_ARGS} nr_cpus=1'")
            be_half_switched(machine, state)
            before = machine.boot_id
            machine.send("exec sh -c 'echo c >/proc/sysrq-trigger'")
            machine.wait_ready()
            check(machine.boot_id != before, "it was the same kernel that answered")
            machine.must("test -e /proc/vmcore && scrimctl check && scrimctl devirtualize && scrimctl check")
            check_equal(machine.status()["state"], "guarded", "state in the crash kernel, with a CPU parked")
    print(f"figure: kexec {times} times, and a crash kernel, from {' and '.join(HALF_SWITCHED)}: the switch ended there; {mib} MiB verified")
