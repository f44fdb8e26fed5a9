# SPDX-License-Identifier: BSD-2-Clause
"""What tests of CPUs that come and go share: taking CPUs offline and online, and whether all of them are in Scrim."""

import random
import re
import time

import iomem
from registry import check, check_equal

SETTLE_TIMEOUT = 30
PAGE = 4096
CHUNK = 2 << 20
CHUNKS = 24  # two tables for each, of the 64 that the default reserve= has
PAGES_A_CHUNK = 16
FIRST_MOVED = 1 << 20

# What Linux says when CPUs go and come, and what it says on a busy host whatever runs below it.
KNOWN_LINES = re.compile(
    r"smpboot: (CPU \d is now offline|Booting Node 0 Processor \d APIC 0x\d)$"
    r"|x86: Booting SMP configuration:$"
    r"|process \d+ \(.*\) no longer affine to cpu\d$|select_fallback_rq: \d+ callbacks suppressed$"
    r"|random: crng init done$"  # late where the CPU gives no random numbers
    r"|SMP alternatives: switching to SMP code$"
    # An IPI for all CPUs came while this one was starting: on the bare machine too, at 27 of 300 starts under load.
    r"|APIC: Stale IRR: 10000000(,0{8}){7} ISR: 0{8}(,0{8}){7}$"
    r"|calibrate_delay_direct\(\) |Probably due to long platform interrupts"
    r"|clocksource: |hrtimer: interrupt took|perf: interrupt took|Marking TSC unstable"
)


def set_online(machine, cpu, on):
    """By Linux's own switch. Returns as soon as Linux says that it is done."""
    machine.must(f"echo {int(on)} >/sys/devices/system/cpu/cpu{cpu}/online")


def modes(status):
    """Each CPU's mode, in Scrim's order, which is that of Linux here."""
    return [cpu["mode"] for cpu in status["cpus"]]


def wait_modes(machine, state, wanted):
    """Waits until `status` says so: a CPU shows itself as parked a moment after Linux says that it is offline."""
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while True:
        status = machine.status()
        if (status["state"], modes(status)) == (state, wanted):
            return status
        check(time.monotonic() < deadline, f"still {status['state']} {modes(status)} after {SETTLE_TIMEOUT} s, expected {state} {wanted}")


def check_settled(machine, state, offline=(), absent="parked"):
    """State, modes, invariants and presence of all CPUs are what they have to be with the CPUs `offline`. Returns the status."""
    native = "guarded" if offline else "native"
    shown, mode = {"native": (native, native), "virtualized": ("virtualized", "translating")}[state]
    wanted = [absent if cpu in offline else mode for cpu in range(machine.cpus)]
    status = wait_modes(machine, shown, wanted)
    check_equal(status["cpus_in_os"], machine.cpus - len(offline), "CPUs in the OS")
    check_equal(status["counters"]["cpus_lost"], 0, "CPUs lost")
    check_equal(status["cpus_translating"], machine.cpus - len(offline) if shown != "native" else 0, "CPUs that translate")
    check_present(machine, [cpu for cpu in range(machine.cpus) if cpu not in offline])
    return status


def check_present(machine, online):
    """No CPU is outside Scrim: each that is online asks and is answered as the CPU that it is; every invariant holds."""
    output = machine.must("scrimctl check >/dev/null || exit\n" + "\n".join(f"echo {cpu} $(ask {cpu} visit)" for cpu in online))
    for line in output.splitlines():
        cpu, *answer = line.split()
        check(len(answer) == 3 and answer[0] == "0" and int(answer[2], 16) == int(cpu),
              f"CPU {cpu} is outside Scrim, or is taken for another: its request was answered by {answer}")
    check_equal(len(output.splitlines()), len(online), "CPUs that asked")


def switch_there_and_back(machine, state):
    """From where memory is back to where it is, by scrimctl, which visits every CPU."""
    verbs = ("virtualize", "devirtualize") if state == "native" else ("devirtualize", "virtualize")
    for verb in verbs:
        machine.must(f"scrimctl {verb} && scrimctl check")


def displace(machine, seed, count=CHUNKS * PAGES_A_CHUNK):
    """Moves `count` pages all over the RAM away, in as many chunks as tables last for. Returns their number."""
    source = random.Random(seed)
    ranges = iomem.ram(machine.must("cat /proc/iomem"))
    chunks = [start for low, high in ranges for start in range(-(-max(low, FIRST_MOVED) // CHUNK) * CHUNK, high - CHUNK + 1, CHUNK)]
    pages = [chunk + page * PAGE
             for chunk in source.sample(chunks, min(CHUNKS, len(chunks)))
             for page in source.sample(range(CHUNK // PAGE), PAGES_A_CHUNK)][:count]
    machine.must("scrimctl move " + " ".join(hex(page) for page in pages))
    check_equal(machine.status()["pages"]["displaced"], len(pages), "pages displaced")
    return len(pages)


class Log:
    """The kernel's log from now on."""

    def __init__(self, machine):
        self._machine = machine
        self._seen = len(machine.dmesg())

    def check_quiet(self):
        """Nothing but known lines since the last call."""
        lines = self._machine.dmesg()
        unknown = [line for line in lines[self._seen:] if not KNOWN_LINES.match(re.sub(r"^\[ *[\d.]+\] ", "", line))]
        check(not unknown, "the kernel says:\n" + "\n".join(unknown))
        self._seen = len(lines)


class Load:
    """The verified load, in the background from now until stop()."""

    def __init__(self, machine, mib=96):
        self._machine = machine
        self._job = machine.spawn(f"load --threads {machine.cpus} --mib {mib} --seconds 0 &\necho $! >/tmp/load.pid\nwait $!")

    def check_running(self):
        """A load that has found a wrong byte has ended."""
        check(self._job.poll() is None, "the load has ended:", self._job.output() if self._job.poll() is not None else "")

    def stop(self):
        """All is verified once more; a wrong byte fails. Returns what it has to say."""
        self._machine.must("kill -TERM $(cat /tmp/load.pid)")
        status, output = self._job.wait(300)
        check_equal(status, 0, "exit status of the load, which said " + output)
        return output.strip().splitlines()[-1]
