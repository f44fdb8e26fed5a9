# SPDX-License-Identifier: BSD-2-Clause
"""Every NMI of the OS's arrives, exactly once, on every CPU, while memory is virtualized and devirtualized under load.

An NMI that is sent while another is pending merges with it, on the bare machine as well, so the next one is sent only when the
last has arrived everywhere. That is seen from outside and at once: in RAM, where Linux counts what /proc/interrupts shows.
That every one sent arrives at this pace is first shown on the bare machine.
"""

import contextlib
import json
import re
import time

import page_tables
from registry import check, check_equal, test
from under_load import quiet_log, under_load

PERIOD = 0.010  # at most 100 a second
ARRIVAL_TIMEOUT = 60
# Without the first Linux lets external NMIs through on the first CPU alone. It has much to say of them: not on the slow console.
ARGS = "apic_extnmi=all log_buf_len=32M"
QUIET_CONSOLE = "dmesg -n 1; echo 1 >/proc/sys/kernel/sysrq; echo 0 >/proc/sys/kernel/unknown_nmi_panic"
# What Linux says of NMIs that no device has sent (on the bare machine too), and of back-traces.
SAID_OF_NMIS = re.compile(
    r"^(Uhhuh\. NMI received for unknown reason|Dazed and confused|Do you have a strange power saving mode|sysrq: Show backtrace"
    r"|Sending NMI from CPU|NMI backtrace for cpu|INFO: NMI handler .* took too long|perf: interrupt took)"
    r"|^(Call Trace:|CPU: |Hardware name: |Workqueue: |Stopper: |RIP: |Code: |RSP: |RAX: |RDX: |RBP: |R10: |R13: |FS: |CS: |CR2: |DR[03]: |PKRU: | )"
)
CPU_STAT_BYTES = 64  # irq_cpustat_t: a few counters, one of them of NMIs


class Counters:
    """Linux's own counts of NMIs, read in RAM from outside."""

    def __init__(self, machine):
        self._machine = machine
        lines = machine.must("grep -wE 'irq_stat|__per_cpu_offset' /proc/kallsyms").splitlines()
        symbols = {name: address for address, _, name in map(str.split, lines)}
        cr3 = page_tables.registers(machine)[0]["CR3"]
        offsets = page_tables.translate(machine, cr3, int(symbols["__per_cpu_offset"], 16))
        virtual = [machine.memory.read_u64(offsets + 8 * cpu) + int(symbols["irq_stat"], 16) for cpu in range(machine.cpus)]
        self._physical = [page_tables.translate(machine, cr3, address % (1 << 64)) for address in virtual]
        self._offset = self._find_offset()

    def _words(self, cpu):
        data = self._machine.memory.read(self._physical[cpu], CPU_STAT_BYTES)
        return [int.from_bytes(data[at : at + 4], "little") for at in range(0, CPU_STAT_BYTES, 4)]

    def _find_offset(self):
        """The word that every NMI raises by one, on every CPU, and that /proc/interrupts shows."""
        candidates = set(range(CPU_STAT_BYTES // 4))
        for _ in range(3):
            self._machine.qmp("inject-nmi")
            time.sleep(0.5)
            shown = interrupts(self._machine)
            words = [self._words(cpu) for cpu in range(self._machine.cpus)]
            candidates = {at for at in candidates if all(words[cpu][at] == shown[cpu] > 0 for cpu in range(self._machine.cpus))}
        check_equal(len(candidates), 1, "words of irq_stat that count NMIs")
        return candidates.pop()

    def read(self):
        """[count] of every CPU."""
        return [self._words(cpu)[self._offset] for cpu in range(self._machine.cpus)]

    def wait(self, expected, what):
        """Until every CPU has as many. Returns the seconds waited; more NMIs than sent fail as fewer do."""
        begin = time.monotonic()
        while (seen := self.read()) != expected:
            late = time.monotonic() - begin > ARRIVAL_TIMEOUT
            too_many = any(have > want for have, want in zip(seen, expected))
            check(not late and not too_many, f"NMIs after {what}: {seen}, expected {expected}")
        return time.monotonic() - begin


def interrupts(machine):
    """[NMIs] of every CPU by /proc/interrupts."""
    return [int(word) for word in machine.must("grep NMI: /proc/interrupts").split()[1 : 1 + machine.cpus]]


class Sender:
    """Sends NMIs, and knows how many each CPU must have got."""

    def __init__(self, machine):
        self._machine = machine
        self.counters = Counters(machine)
        self.begin = self.counters.read()
        self.expected = list(self.begin)
        self.injected = self.traced = 0
        self.longest = 0.0

    def inject(self, period=PERIOD):
        """One to every CPU, by QEMU; waits until all have it."""
        begin = time.monotonic()
        self.expected = [count + 1 for count in self.expected]
        self._machine.qmp("inject-nmi")
        self.longest = max(self.longest, self.counters.wait(self.expected, f"{self.injected + 1} by inject-nmi"))
        self.injected += 1
        time.sleep(max(0.0, begin + period - time.monotonic()))

    def backtrace(self, cpu):
        """sysrq-l from one CPU: Linux sends one to each other CPU."""
        begin = time.monotonic()
        self.expected = [count + (other != cpu) for other, count in enumerate(self.expected)]
        self._machine.must(f"taskset -c {cpu} sh -c 'echo l >/proc/sysrq-trigger'")
        self.counters.wait(self.expected, f"sysrq-l on CPU {cpu}")
        self.traced += 1
        # A back-trace that is lost costs Linux ten seconds of waiting for it.
        check(time.monotonic() - begin < 10, f"sysrq-l took {time.monotonic() - begin:.1f} s")

    def sent(self):
        """[NMIs] that each CPU must have got since this sender was made."""
        return [now - then for now, then in zip(self.expected, self.begin)]

    def check_all(self):
        """/proc/interrupts says the same as RAM: every one, and not one more."""
        check_equal(self.counters.read(), self.expected, "NMIs counted in RAM")
        check_equal(interrupts(self._machine), self.expected, "NMIs in /proc/interrupts")


def send_some(machine, sender, number):
    """At up to 100 a second, then as fast as they arrive, so that the next comes while a handler still runs; and back-traces."""
    for _ in range(number):
        sender.inject()
    for _ in range(number):
        sender.inject(period=0)
    for cpu in range(machine.cpus):
        sender.backtrace(cpu)


@contextlib.contextmanager
def nmi_machine(t, **how):
    with t.machine(cpus=4, memory="512M", args=ARGS, **how) as machine:
        machine.wait_ready()
        machine.must(QUIET_CONSOLE)
        yield machine


def on_bare_machine(t, number):
    """Shows that the machine itself loses none at this pace."""
    with nmi_machine(t, scrim=False) as machine:
        sender = Sender(machine)
        with under_load(machine, mib=16) as _:
            send_some(machine, sender, number)
        sender.check_all()
    print(f"figure: bare machine: {sender.injected} by inject-nmi and {sender.traced} sysrq-l, all arrived, "
          f"the slowest after {sender.longest * 1000:.0f} ms")


def passed(machine):
    """[NMIs that Scrim has given to the OS] of every CPU."""
    return [cpu["nmis_passed"] for cpu in machine.status()["cpus"]]


def start_switcher(machine, switches):
    """In the background; None: until told to stop."""
    return machine.spawn(f"exec switcher --switches {switches or 0}")


def end_switcher(machine, job):
    """Lets it end. Returns its report."""
    machine.run("kill -TERM $(pidof switcher)")
    status, output = job.wait(300)
    check_equal(status, 0, f"exit status of switcher ({output})")
    return json.loads(output)


@test("nmi-bare", cost=15)
def nmi_bare(t):
    on_bare_machine(t, t.pick(60, 1000))


@test("nmi-through-switches", cost=25)
def nmi_through_switches(t):
    """NMIs all through the switches; in `make soak` until 1,000 switches are made."""
    with nmi_machine(t) as machine:
        sender = Sender(machine)
        passed_before = passed(machine)
        kicks = machine.status()["counters"]["kicks"]
        with quiet_log(machine, SAID_OF_NMIS), under_load(machine, mib=16) as load:
            send_some(machine, sender, t.pick(15, 100))  # in NATIVE, no switch
            job = start_switcher(machine, t.pick(None, 1000))
            end = time.monotonic() + t.pick(6, 24 * 3600)
            while job.poll() is None and time.monotonic() < end:
                send_some(machine, sender, t.pick(15, 100))
            report = end_switcher(machine, job)
            machine.must("scrimctl virtualize")
            send_some(machine, sender, t.pick(15, 100))  # in VIRTUALIZED, no switch
            machine.must("scrimctl devirtualize && scrimctl check")
        sender.check_all()
        given = [now - then for now, then in zip(passed(machine), passed_before)]
        check_equal(given, sender.sent(), "NMIs that Scrim has passed on")
        check_equal(machine.status()["counters"]["kicks"], kicks, "kicks")
        exits = machine.status()["exits"]["by_cause"]
        check(report["halves"] > 0 and sender.traced > 0, f"nothing was tried: {report}")
    check_equal(report["halves"] // 2, t.pick(report["halves"] // 2, 1000), "switches")
    print(f"figure: {sender.injected} by inject-nmi and {sender.traced} sysrq-l through {report['halves'] // 2} switches: "
          f"{sender.sent()} sent to CPUs 0-3, as many arrived, as many passed on by Scrim")
    print(f"figure: slowest arrival {sender.longest * 1000:.0f} ms; exits nmi {exits['nmi']}, iret {exits['iret']}, "
          f"debug {exits['debug']}; {load.figures()}")


# --- through homecomings ------------------------------------------------------------------------------------------------

HOME_PERIOD = 0.100
LOST_MAX = 0.5    # on a host that is busy with others, a kick waits long for its CPU
BEHIND_MAX = 0.02 # and Linux seldom is in its handler for a tenth of a second
HOMECOMINGS = r"""
i=0
while [ $i -lt {number} ]; do
	i=$((i + 1))
	scrimctl virtualize && scrimctl scatter --range 64M-80M --seed $i --batch 256 || exit
	scrimctl devirtualize && scrimctl check || exit
done >/dev/null
"""


def nmi_exits(machine):
    return machine.status()["exits"]["by_cause"]["nmi"]


@test("nmi-through-homecomings", cost=30)
def nmi_through_homecomings(t):
    """Shootdowns kick by NMI, and hardware holds one pending NMI: one from outside that meets a kick there becomes one with it.

    Counted: what was sent, kicks too, less the exits that it made, has merged in hardware. Of the exits that were neither kicks nor passed on,
    each came while Linux was in its handler and one waited already: on the bare machine they merge too, when a host is busy.
    """
    number = t.pick(10, 100)
    with nmi_machine(t, options="dma-free=all reserve=16M") as machine:
        sender = Sender(machine)
        with quiet_log(machine, SAID_OF_NMIS), under_load(machine, mib=16, stress=None, threads=2) as load:
            before = machine.status()
            passed_before, exits_before = passed(machine), nmi_exits(machine)
            counted_before, injected = sender.counters.read(), 0
            job = machine.spawn(HOMECOMINGS.format(number=number))
            begin = time.monotonic()
            while injected % 10 or job.poll() is None:
                machine.qmp("inject-nmi")
                injected += 1
                time.sleep(max(0.0, begin + injected * HOME_PERIOD - time.monotonic()))
            status, output = job.wait(60)
            check_equal(status, 0, f"exit status of the homecomings ({output})")
            time.sleep(2)
            after = machine.status()
            arrived = [now - then for now, then in zip(sender.counters.read(), counted_before)]
            given = [now - then for now, then in zip(passed(machine), passed_before)]
            exits = nmi_exits(machine) - exits_before
        asking, own = (after["counters"][name] - before["counters"][name] for name in ("kicks", "kicks_out"))
        kicks = asking + own
        check_equal(after["counters"]["cpus_lost"], 0, "CPUs lost")
        check_equal(after["state"], "native", "state at the end")
    sent = injected * machine.cpus
    lost, merged, behind = sent - sum(arrived), sent + kicks - exits, max(0, exits - kicks - sum(given))
    print(f"figure: {injected} NMIs to each of {machine.cpus} CPUs, 10 a second, through {number} homecomings: {sum(arrived)} of {sent} arrived "
          f"({arrived}), {lost} lost; {kicks} kicks, {own} of them a CPU's to itself, {merged} of all NMIs merged in hardware's one pending bit, {behind} behind one that waited; {load.figures()}")
    check_equal(arrived, given, "NMIs that Linux has counted, against those that Scrim has passed on")
    check(all(count <= injected for count in arrived), f"more NMIs than were sent: {arrived}")
    # Each exit is a kick's, or is passed on, or came behind one that waited: so an NMI that Scrim drops is one behind too many.
    check(merged >= 0, f"more exits by NMI ({exits}) than NMIs and kicks were sent ({sent} and {kicks})")
    check(behind <= BEHIND_MAX * sent, f"{behind} of {sent} NMIs had their exit and were not passed on; {lost} lost, {merged} merged")
    check(lost <= LOST_MAX * sent, f"{lost} of {sent} NMIs lost")
