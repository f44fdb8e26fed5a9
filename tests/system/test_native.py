# SPDX-License-Identifier: BSD-2-Clause
"""Native is native, by looking at the machine from outside: Scrim translates nothing, maps nothing, and is not entered.

Read from RAM by machine address: each CPU's VMCB (AMD APM vol. 2, appendix B) and the OS's own page tables.
"""

import contextlib
import json

import iomem
import page_tables
from page_tables import KERNEL_HALF, PRESENT
from registry import check, check_equal, test
from under_load import quiet_log, under_load

NESTED_CONTROL, NESTED_CR3 = 0x90, 0xB0
GIB = 1 << 30
# Linux maps the first MiB in one piece, whatever the memory map says of it (init_mem_mapping in arch/x86/mm/init.c), so the page
# below 1 MiB that CPUs start through is in its tables. It has no business there, and no secret is in that page.
LINUX_MAPS_ALL_BELOW = 1 << 20


@contextlib.contextmanager
def stopped(machine):
    """No CPU runs in the block: what is read is of one moment."""
    machine.qmp("stop")
    yield
    machine.qmp("cont")


def number(text):
    """An address as status --json has it."""
    return int(text, 16)


def own_ranges(status):
    """[(start, end)] of Scrim's own memory."""
    return [(number(part["start"]), number(part["end"])) for part in status["ranges"]["own"]]


def lies_in(ranges, address):
    """True when some range holds the address."""
    return any(start <= address < end for start, end in ranges)


def check_vmcbs(machine, status, nested):
    """Nested paging is on or off in every CPU's VMCB, and where on, by tables in Scrim's own memory."""
    own = own_ranges(status)
    for cpu in status["cpus"]:
        vmcb = number(cpu["vmcb"])
        check(lies_in(own, vmcb), f"VMCB of CPU {cpu['index']} at {vmcb:#x} lies outside Scrim's memory")
        control = machine.memory.read_u64(vmcb + NESTED_CONTROL)
        check_equal(control & 1, int(nested), f"nested paging in CPU {cpu['index']}'s VMCB")
        root = machine.memory.read_u64(vmcb + NESTED_CR3)
        check(lies_in(own, root) == nested, f"CPU {cpu['index']}: nested CR3 {root:#x}, nested paging {'on' if nested else 'off'}")


def check_cr3s(machine, status, ram):
    """Each CPU walks a table of the OS's. Returns the CR3s."""
    own = own_ranges(status)
    cr3s = [cpu["CR3"] & page_tables.ADDRESS for cpu in page_tables.registers(machine)]
    check_equal(len(cr3s), machine.cpus, "CPUs that QEMU shows")
    for index, cr3 in enumerate(cr3s):
        check(lies_in(ram, cr3), f"CPU {index}: CR3 {cr3:#x} lies outside the OS's RAM")
        check(not lies_in(own, cr3), f"CPU {index}: CR3 {cr3:#x} lies in Scrim's memory")
        upper = page_tables.entries(machine, cr3)[KERNEL_HALF:]
        check(any(entry & PRESENT for entry in upper), f"CPU {index}: no kernel in the upper half of the table at {cr3:#x}")
    return cr3s


def check_tables_of_os(machine, status, cr3):
    """No table and no leaf of the OS's reaches into Scrim's memory. Returns the tree."""
    tree = page_tables.Tree(machine, cr3)
    for start, end in own_ranges(status):
        inside = sorted(table for table in tree.tables if start <= table < end)
        check(not inside, f"tables of the OS's in Scrim's memory: {[hex(table) for table in inside]}")
        if end <= LINUX_MAPS_ALL_BELOW:
            continue
        mapped = tree.mapped(start, end)
        check(not mapped, f"the OS's tables map Scrim's memory {start:#x}-{end:#x}: {iomem.show(mapped)}")
    check(len(tree.leaves) > 1000, f"only {len(tree.leaves)} leaves found below CR3 {cr3:#x}")
    return tree


def look(machine, ram, nested):
    """All of the above at one moment, at which no CPU is in Scrim. Returns (CR3s seen, tables, leaves)."""
    status = machine.status()
    with stopped(machine):
        check_vmcbs(machine, status, nested)
        cr3s = check_cr3s(machine, status, ram)
        tree = check_tables_of_os(machine, status, max(cr3s))
    return set(cr3s), len(tree.tables), len(tree.leaves)


def look_around(t, memory):
    with t.machine(cpus=4, memory=memory, options="dma-free=all") as machine:
        machine.wait_ready()
        ram = iomem.ram(machine.must("cat /proc/iomem"))
        seen, tables, leaves = set(), 0, 0
        with quiet_log(machine), under_load(machine, mib=24) as load:
            for _ in range(t.pick(2, 40)):
                for verb, nested in ((None, False), ("virtualize", True), ("devirtualize", False)):
                    if verb:
                        machine.must(f"scrimctl {verb}")
                    cr3s, tables, leaves = look(machine, ram, nested)
                    seen |= cr3s
        check(len(seen) > 1, "the same CR3 each time: the load did not run")
    print(f"figure: {memory}: nested paging off in all VMCBs when native, on when virtualized; {len(seen)} different CR3s, "
          f"all the OS's; last tree {tables} tables, {leaves} leaves, none of Scrim's memory above 1 MiB")
    print(f"figure: {load.figures()}")


@test("native-from-outside", cost=20)
def native_from_outside(t):
    look_around(t, "512M")


@test("native-from-outside-6G", cost=40, when={"soak"})
def native_from_outside_6g(t):
    look_around(t, "6G")


# --- exits ------------------------------------------------------------------------------------------------------------

# Fixed operations, so the same work each time. No stressor that asks for real time: the kernel would say that it throttles it.
FIXED_LOAD = (
    "--cpu 2 --cpu-ops 10",
    "--vm 2 --vm-bytes 8M --vm-ops 250",
    "--fork 2 --fork-ops 100",
    "--switch 2 --switch-ops 1000",
    "--timer 2 --timer-ops 500",
    "--get 2 --get-ops 100",
    "--mmap 1 --mmap-bytes 1M --mmap-ops 1",
    "--futex 2 --futex-ops 2000",
    "--sigsuspend 1 --sigsuspend-ops 500",
    "--malloc 1 --malloc-ops 2000",
)
STRESS_ALL = "\n".join(f"stress-ng --quiet --verify --temp-path /tmp {load} || exit 1" for load in FIXED_LOAD)
PHASES = (("native", "true"), ("virtualized, at Identity", "scrimctl virtualize"), ("native again, after a homecoming", "scrimctl virtualize && "
           "scrimctl scatter --range 16M-80M --batch 256 && scrimctl share --range 128M-160M --batch 256 && scrimctl devirtualize --batch 256"))
STATUS = "taskset -c 0 scrimctl status --json"  # on one CPU: so its own requests are the same number each time


def pinned_status(machine):
    """The machine's status, asked for on CPU 0."""
    machine.must(f"{STATUS} >/tmp/status")
    return json.loads(machine.must("cat /tmp/status"))


def exits_between(before, after):
    """[{cause: exits}] of each CPU."""
    return [{cause: count - old["exits"]["by_cause"][cause] for cause, count in new["exits"]["by_cause"].items()}
            for old, new in zip(before["cpus"], after["cpus"])]


def print_exits(what, exits):
    """One line of the table: all CPUs together."""
    total = {cause: sum(cpu[cause] for cpu in exits) for cause in exits[0]}
    shown = ", ".join(f"{cause} {count}" for cause, count in total.items() if count) or "none"
    print(f"figure: exits, {what}: {sum(total.values())} ({shown})")


def check_only_requests(what, exits, requests):
    """Nothing but the requests of `status` itself, which all came on CPU 0."""
    for index, cpu in enumerate(exits):
        expected = dict.fromkeys(cpu, 0) | {"request": requests if index == 0 else 0}
        check_equal(cpu, expected, f"exits of CPU {index} {what}")


@test("native-no-exits", cost=15)
def native_no_exits(t):
    """A fixed load in NATIVE, and again when 64 MiB have come home: no CPU enters Scrim at all. In `make soak` also in VIRTUALIZED, at Identity."""
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=16M") as machine:
        machine.wait_ready()
        boot = pinned_status(machine)
        print_exits("from reset until the shell", [cpu["exits"]["by_cause"] for cpu in boot["cpus"]])
        first = pinned_status(machine)
        requests = exits_between(boot, first)[0]["request"]
        check_only_requests("between two calls of status", exits_between(boot, first), requests)
        times = t.pick(1, 20)
        with quiet_log(machine):
            for name, command in t.pick(PHASES[::2], PHASES):
                machine.must(command)
                check_equal(machine.status()["pages"]["displaced"], 0, f"displaced pages, {name}")
                before = pinned_status(machine)
                for _ in range(times):
                    machine.must(STRESS_ALL, timeout=600)
                exits = exits_between(before, pinned_status(machine))
                print_exits(f"{name}, {len(FIXED_LOAD)} stressors x{times}, with {requests} requests of status itself", exits)
                check_only_requests(f"during the fixed load, {name}", exits, requests)
