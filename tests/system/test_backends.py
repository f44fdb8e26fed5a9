# SPDX-License-Identifier: BSD-2-Clause
"""The back-ends without nested paging, shadow and vtlb: translating under load, changed under load, bounded, and gone afterwards."""

import struct

from machine import CPU_MODEL
from registry import SOAK, check, check_equal, test
from under_load import quiet_log, under_load

MIB = 1 << 20
OPTIONS = "dma-free=all reserve=32M"
EXCEPTIONS, NESTED_CONTROL, CR3 = 0x08, 0x90, 0x550  # in the VMCB (AMD APM vol. 2, appendix B)
PAGE_FAULT = 1 << 14
BACKENDS = ("shadow", "vtlb")
RANGE = "--range 16M-208M"
PROCESSES = 2000
CAUSES = ("page-fault", "invlpg", "paging")


def control_blocks(machine, cpus=None):
    """Of each CPU: (nested paging is on, #PF exits, CR3). `cpus` of a status from before, where the machine stands."""
    blocks = []
    for cpu in cpus or machine.status()["cpus"]:
        read = lambda offset, size: machine.memory.read(int(cpu["vmcb"], 16) + offset, size)  # noqa: E731
        blocks.append((struct.unpack("<Q", read(NESTED_CONTROL, 8))[0] & 1, bool(struct.unpack("<I", read(EXCEPTIONS, 4))[0] & PAGE_FAULT),
                       struct.unpack("<Q", read(CR3, 8))[0]))
    return blocks


def check_translating(machine, backend):
    """Seen from outside: no CPU has nested paging, each has a root of Scrim's own."""
    status = machine.status()
    check_equal(status["backend"], backend, "back-end")
    own = [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["own"]]
    for number, (nested, exits, root) in enumerate(control_blocks(machine)):
        check_equal((nested, exits), (0, True), f"CPU {number}: nested paging, #PF exits")
        check(any(start <= root < end for start, end in own), f"CPU {number}: CR3 {root:#x} is no table of Scrim's")
    check(0 < status["v2m"]["tables"] <= status["v2m"]["bound"], f"V2M tables: {status['v2m']}")


def check_ceased(machine, boot):
    """NATIVE: no V2M table, no intercept of theirs, memory as at boot; and nothing exits for them any more."""
    status = machine.status()
    check_equal((status["state"], status["backend"], status["v2m"]["tables"]), ("native", "native", 0), "state, back-end, V2M tables")
    check_equal((status["memory"], status["pages"]), (boot["memory"], boot["pages"]), "memory and pages, against those after boot")
    for number, (nested, exits, _) in enumerate(control_blocks(machine)):
        check_equal((nested, exits), (0, False), f"CPU {number} in native: nested paging, #PF exits")
    before = machine.status()["exits"]["by_cause"]
    machine.must("for i in 1 2 3 4 5; do ls -l /bin >/dev/null; done")
    after = machine.status()["exits"]["by_cause"]
    check_equal([after[cause] - before[cause] for cause in CAUSES], [0, 0, 0], "exits for paging in native")


def whole_story(backend, kernel="cloud"):
    def body(t):
        with t.machine(cpus=4, memory="512M", options=OPTIONS, kernel=kernel) as machine:
            machine.wait_ready()
            boot = machine.status()
            with quiet_log(machine), under_load(machine, mib=32) as load:
                for number in range(t.pick(1, 10)):
                    machine.must(f"scrimctl virtualize --backend {backend}")
                    check_translating(machine, backend)
                    machine.must(f"scrimctl scatter {RANGE} --seed {number + 1} --batch 256 >/dev/null && scrimctl check", 300)
                    machine.must("scrimctl share --range 208M-288M --batch 256 >/dev/null && scrimctl check", 300)
                    pages = machine.status()["pages"]
                    check(pages["displaced"] > 40000 and pages["shared"] > 0, f"pages displaced and shared: {pages}")
                    machine.must("sleep 2; scrimctl check")
                    check_translating(machine, backend)
                    figures = machine.status()
                    machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
                check_ceased(machine, boot)
        causes = figures["exits"]["by_cause"]
        print(f"figure: {backend}: {pages['displaced']} pages displaced, {pages['shared']} shared; V2M {figures['v2m']}; exits: "
              f"{causes['page-fault']} page-fault, {causes['cr3']} cr3, {causes['invlpg']} invlpg, {causes['paging']} paging")
        print(f"figure: {load.figures()}")

    return body


for _backend in BACKENDS:
    test(f"{_backend}-4cpu", cost=40)(whole_story(_backend))
test("shadow-full-kernel", cost=60, when=SOAK)(whole_story("shadow", "full"))


@test("backend-changes", cost=45, timeout=3600)
def backend_changes(t):
    """From one to the next under load, on all CPUs, with pages scattered and shared."""
    changes = t.pick(short=30, long=1000)
    with t.machine(cpus=t.pick(2, 4), memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        boot = machine.status()
        with quiet_log(machine), under_load(machine, mib=32) as load:
            machine.must("scrimctl virtualize")
            machine.must(f"scrimctl scatter {RANGE} --seed 7 --batch 256 >/dev/null && scrimctl share --range 208M-288M --batch 256 >/dev/null", 300)
            before = machine.status()
            for number in range(changes):
                backend = ("shadow", "vtlb", "nested")[number % 3]
                machine.must(f"scrimctl virtualize --backend {backend} >/dev/null")
                if number % 20 == 0:
                    machine.must("scrimctl check")
            after = machine.status()
            check_equal((after["backend"], after["state"]), (backend, "virtualized"), "back-end, state")
            check(after["pages"]["displaced"] > 0.9 * before["pages"]["displaced"], f"pages came home: {before['pages']}, {after['pages']}")
            machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
            check_ceased(machine, boot)
    print(f"figure: {changes} changes of back-end under load with {before['pages']['displaced']} pages displaced; {load.figures()}")


def bounded(backend):
    def body(t):
        with t.machine(cpus=2, memory="1G", options="dma-free=all reserve=32M shadow=640K") as machine:
            machine.wait_ready()
            boot = machine.status()
            machine.must(f"scrimctl virtualize --backend {backend} && scrimctl scatter {RANGE} --seed 3 --batch 256 >/dev/null", 300)
            bound = machine.status()["v2m"]["bound"]
            check(bound * 4096 < boot["memory"]["v2m_bytes"], f"{bound} tables in {boot['memory']['v2m_bytes']} bytes")
            with quiet_log(machine):
                bomb = machine.spawn(f"ulimit -u {3 * PROCESSES} 2>/dev/null; for i in $(seq {PROCESSES}); do sleep 1000 & done; wait; echo done")
                seen, most = 0, 0
                while seen <= PROCESSES:
                    check(bomb.poll() is None, "the processes have ended:", bomb.poll())
                    seen = max(seen, int(machine.must("set -- /proc/[0-9]*; echo $#", 120)))
                    most = max(most, machine.status()["v2m"]["tables"])
                    check(most <= bound, f"{most} V2M tables, more than {bound}")
                machine.must("killall sleep", 300)
                status, output = bomb.wait(300)
            check_equal((status, output.strip()), (0, "done"), "the processes")
            figures = machine.status()["v2m"]
            check(figures["evictions"] > 0, f"nothing had to be given up: {figures}")
            machine.must("scrimctl check && scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
            check_ceased(machine, boot)
        print(f"figure: {backend}: {seen} processes at once, {most} of {bound} V2M tables, {figures['evictions']} evictions")

    return body


for _backend in BACKENDS:
    test(f"{_backend}-bounded", cost=60)(bounded(_backend))


@test("backend-keys", cost=15)
def backend_keys(t):
    """Protection keys: a write that one forbids is the OS's fault, and sets no dirty bit."""
    with t.machine(options=OPTIONS, cpu=CPU_MODEL + ",+pku") as machine:
        machine.wait_ready()
        told = [machine.must("keys")]
        for backend in ("nested", *BACKENDS):
            machine.must(f"scrimctl virtualize --backend {backend}")
            told.append(machine.must("keys"))
        check_equal(told[1:], told[:1] * 3, "on nested, shadow, vtlb, against native")
    print(f"figure: native and three back-ends: {told[0].strip()}")


@test("backend-refused", cost=10)
def backend_refused(t):
    """No memory for it: one line, and nothing has changed."""
    with t.machine(options="dma-free=all shadow=64K") as machine:
        machine.wait_ready()
        for backend in BACKENDS:
            status, output = machine.run(f"scrimctl virtualize --backend {backend} 2>&1")
            check(status == 1 and output.count("\n") == 1 and "shadow=" in output, f"{status}: {output}")
        check_equal(machine.status()["state"], "native", "state")
        machine.must("scrimctl virtualize")
        status, output = machine.run("scrimctl virtualize --backend shadow 2>&1")
        check(status == 1 and "shadow=" in output, f"{status}: {output}")
        check_equal(machine.status()["backend"], "nested", "back-end")


@test("backend-hotplug", cost=35)
def backend_hotplug(t):
    """A CPU goes and comes while others use V2M tables: it comes back to the back-end that is asked for by then. NMIs all arrive."""
    with t.machine(cpus=4, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        boot = machine.status()
        with under_load(machine, mib=24, stress=None) as load:
            machine.must(f"scrimctl virtualize --backend shadow && scrimctl scatter {RANGE} --seed 5 --batch 256 >/dev/null", 300)
            for number in range(t.pick(4, 40)):
                backend = BACKENDS[number % 2]
                machine.must("echo 0 > /sys/devices/system/cpu/cpu2/online")
                machine.must(f"scrimctl virtualize --backend {backend} >/dev/null && scrimctl check")
                machine.must("echo 1 > /sys/devices/system/cpu/cpu2/online && scrimctl status >/dev/null && sleep 0.5 && scrimctl check", 60)
                check_translating(machine, backend)
            nmis = t.pick(20, 200)
            before = sum(cpu["nmis_passed"] for cpu in machine.status()["cpus"])
            for _ in range(nmis):
                machine.qmp("inject-nmi")
                machine.must("true")
            after = sum(cpu["nmis_passed"] for cpu in machine.status()["cpus"])
            check(after - before >= nmis, f"{after - before} of {nmis} NMIs came to the OS")
            machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
        check_ceased(machine, boot)
    print(f"figure: {t.pick(4, 40)} times offline and online, {after - before} NMIs passed on for {nmis} injected; {load.figures()}")


@test("backend-kexec", cost=30)
def backend_kexec(t):
    """Another kernel takes the machine over while CPUs use V2M tables: it starts, and goes on under the same map."""
    with t.machine(cpus=2, memory="512M", options=OPTIONS, kexec=True) as machine:
        machine.wait_ready()
        machine.must(f"scrimctl virtualize --backend shadow && scrimctl scatter {RANGE} --seed 9 --batch 256 >/dev/null", 300)
        machine.must("kexec -l /boot/vmlinuz --initrd=/boot/initramfs --reuse-cmdline", 120)
        first = machine.boot_id
        machine.send("kexec -e")
        machine.wait_ready()
        check(machine.boot_id != first, "it is the same kernel")
        machine.must("scrimctl virtualize --backend shadow && scrimctl check")
        check_translating(machine, "shadow")
        check(machine.status()["pages"]["displaced"] > 20000, f"pages: {machine.status()['pages']}")
        machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
        check_equal((machine.status()["state"], machine.status()["v2m"]["tables"]), ("native", 0), "state, V2M tables")


@test("shadow-portion", cost=20)
def shadow_portion(t):
    """One of two portions is devirtualized: from then on its entries are the OS's own, while those of the other are composed."""
    other, own = (0x2000000, 0x2400000), (0x1000000, 0x1400000)  # the latter holds the kernel's code
    with t.machine(cpus=1, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        names = [f"--range {start:#x}-{end:#x}" for start, end in (own, other)]
        machine.must(f"scrimctl virtualize --backend shadow {names[0]} {names[1]}")

        def loads():
            """Everything is loaded anew, and the machine worked. How many entries were composed, how many copied."""
            machine.must("scrimctl virtualize --backend nested >/dev/null")
            before = machine.status()["v2m"]
            machine.must("scrimctl virtualize --backend shadow >/dev/null; for i in 1 2 3; do ls -l /bin >/dev/null; done")
            after = machine.status()["v2m"]
            return after["loads"] - before["loads"], after["copied"] - before["copied"]

        composed, copied = loads()
        check(composed == 0 and copied > 500, f"with nothing displaced {composed} entries composed, {copied} copied")
        machine.must(f"scrimctl scatter {names[0]} --seed 1 >/dev/null && scrimctl scatter {names[1]} --seed 2 >/dev/null && scrimctl check")
        away = loads()
        check(away[0] > 50 and away[1] > 50, f"scattered: {away[0]} entries composed, {away[1]} copied")
        machine.must(f"scrimctl devirtualize {names[0]} >/dev/null && scrimctl check")
        home = loads()
        check(machine.status()["state"] == "virtualized" and machine.status()["pages"]["displaced"] > 500, "the other portion is not away")
        check(home[0] < away[0] // 2, f"{home[0]} entries composed with the kernel's code at home, {away[0]} with it away")
        machine.must("scrimctl devirtualize >/dev/null && scrimctl check")
    print(f"figure: composed and copied: {composed} and {copied} with all at home, {away[0]} and {away[1]} scattered, "
          f"{home[0]} and {home[1]} with the portion of the kernel's code devirtualized")


# Chosen so that little of what `work` maps lies in it: a table that leads into the portion is not linked.
PORTION = (0xc000000, 0x10000000)
PIPES = "work --percent 20 --section pipe >/dev/null"
PRESENT, LARGE, ADDRESS, ENTRIES = 1, 1 << 7, 0xffffffffff000, 512


def linked_tables(machine):
    """Looked at from outside while the machine stands: {address: entries} of tables that the CPUs walk now and that are none of Scrim's."""
    status = machine.status()
    own = [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["own"]]
    machine.qmp("stop")
    found, tables = {}, [(root & ADDRESS, 4) for _, _, root in control_blocks(machine, status["cpus"])]
    while tables:
        address, level = tables.pop()
        entries = struct.unpack(f"<{ENTRIES}Q", machine.memory.read(address, 4096))
        if not any(start <= address < end for start, end in own):
            found[address] = [entry for entry in entries if entry & PRESENT]
        elif level > 1:
            lower = entries[:ENTRIES // 2] if level == 4 else entries
            tables += [(entry & ADDRESS, level - 1) for entry in lower if entry & PRESENT and not entry & LARGE]
    machine.qmp("cont")
    return found


@test("shadow-links", cost=40)
def shadow_links(t):
    """Outside of a portion the CPUs walk the OS's own tables, while the portion is scattered and all is verified. Where all is managed nothing is linked."""
    with t.machine(cpus=2, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        boot = machine.status()

        def pipes():
            """What the V2M counters grow by while two processes send each other bytes."""
            before = machine.status()["v2m"]
            machine.must(f"taskset 1 {PIPES}")
            after = machine.status()["v2m"]
            return {name: after[name] - before[name] for name in after}

        machine.must("scrimctl virtualize --backend shadow")
        whole = pipes()
        check_equal((whole["links_made"], whole["links_met"]), (0, 0), "links where all is managed: made and met")
        machine.must("scrimctl devirtualize >/dev/null")
        machine.must(f"scrimctl virtualize --backend shadow --range {PORTION[0]:#x}-{PORTION[1]:#x}")
        part = pipes()
        check(part["links_met"] > 2000 and part["synced"] < whole["synced"] // 2, f"with a portion: {part}, with all managed: {whole}")
        with quiet_log(machine), under_load(machine, mib=32) as load:
            machine.must(f"scrimctl scatter --range {PORTION[0]:#x}-{PORTION[1]:#x} --seed 11 --batch 256 >/dev/null && scrimctl check", 300)
            seen = {}
            for _ in range(t.pick(20, 200)):
                for address, entries in linked_tables(machine).items():
                    check(not PORTION[0] <= address < PORTION[1], f"a linked table lies in the portion: {address:#x}")
                    wrong = [hex(entry) for entry in entries if PORTION[0] <= entry & ADDRESS < PORTION[1]]
                    check(not wrong, f"the linked table at {address:#x} leads into the portion: {wrong}")
                    seen[address] = len(entries)
            check(seen, "in no look from outside a CPU had a table of the OS's own")
            # The portion grows by what these tables map: no link outlives it that leads there.
            machine.must(f"scrimctl virtualize --backend shadow --range {PORTION[1]:#x}-{PORTION[1] + 64 * MIB:#x} >/dev/null && scrimctl check")
            machine.must(f"scrimctl scatter --range {PORTION[1]:#x}-{PORTION[1] + 64 * MIB:#x} --seed 12 --batch 256 >/dev/null && scrimctl check", 300)
            machine.must("sleep 2; scrimctl check")
            figures = machine.status()["v2m"]
            check(figures["links_broken"] > 0, f"the OS has written no linked table: {figures}")
            machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
        check_equal(machine.status()["v2m"]["links"], 0, "links in native")
        check_ceased(machine, boot)
    print(f"figure: pipes, all managed: {whole['synced']} entries inspected; 64 MiB managed: {part['synced']}, and {part['links_met']} times a table of the OS's "
          f"own; {len(seen)} such tables with {sum(seen.values())} entries seen from outside; {figures}; {load.figures()}")
