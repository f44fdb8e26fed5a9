# SPDX-License-Identifier: BSD-2-Clause
"""Scrim on Intel's VMX and EPT, on the machine that has them: boot, native, switches, moves, NMIs, CPUs that go and come, each back-end, and CPUs that lack
what it needs. What is claimed of AMD's side on QEMU is claimed here of Intel's; but not a reboot, which Bochs's own firmware does not survive on a CPU with VMX: it
writes a register that is locked since its first start."""

import re
import time

import cpus
from emulated import BUILD, IMAGES
from registry import SOAK, check, check_equal, test

HASWELL, BROADWELL = "corei7_haswell_4770", "broadwell_ult"
OPTIONS = "dma-free=all reserve=32M shadow=4M"
# With four CPUs Linux stands still early in its boot on Bochs, on the bare machine as well, unless its tick goes on.
FOUR_CPUS_ARGS = "nohz=off highres=off"
RANGE = "0x1000000-0x5000000"  # 64 MiB
RANGE_PAGES = 16384
# What VMX forces, and the OS's NMIs. `request` is the one that asks.
NATIVE_CAUSES = {"request", "cpuid", "xsetbv", "nmi", "iret"}
NATIVE_SECONDS = 4
LOAD_MIB = 24
X2APIC_GUEST = BUILD / "guest-image" / "x2apic_guest.elf"
I386_INITRAMFS = IMAGES / "initramfs-i386.cpio.gz"


def boot(t, cpu=HASWELL, count=1, **how):
    """A machine on Scrim that has not been switched yet."""
    args = FOUR_CPUS_ARGS if count > 2 else ""
    return t.bochs(cpu=cpu, cpus=count, options=OPTIONS, args=args, **how)


def check_state(machine, state):
    """State, where all CPUs are, and every invariant. Returns the status."""
    machine.must("scrimctl check")
    status = machine.status()
    check_equal(status["state"], state, "state")
    check_equal(status["cpus_translating"], machine.cpus if state == "virtualized" else 0, "CPUs behind the map")
    check_equal(status["counters"]["cpus_lost"], 0, "CPUs lost")
    return status


def exits(status):
    """{cause: exits of all CPUs}"""
    total = {}
    for cpu in status["cpus"]:
        for cause, count in cpu["exits"]["by_cause"].items():
            total[cause] = total.get(cause, 0) + count
    return total


def check_native_exits(machine):
    """Under load nothing exits but what VMX forces."""
    before = exits(machine.status())
    time_of_load(machine, NATIVE_SECONDS)
    after = exits(machine.status())
    grown = {cause: count - before.get(cause, 0) for cause, count in after.items() if count > before.get(cause, 0)}
    check(set(grown) <= NATIVE_CAUSES, f"exits in native under load: {grown}")
    print(f"figure: {machine.cpus} CPUs, native, {NATIVE_SECONDS} s of load: exits {grown}")


def time_of_load(machine, seconds):
    """The verified load for so long; a wrong byte is an exit status."""
    machine.must(f"load --threads {machine.cpus} --mib {LOAD_MIB} --seconds {seconds}")


def there_and_back(machine, backend="nested", options=""):
    """64 MiB scattered under the OS, and home again."""
    machine.must(f"scrimctl virtualize --backend {backend}")
    check_equal(check_state(machine, "virtualized")["backend"], backend, "back-end")
    machine.must(f"scrimctl scatter --range {RANGE}")
    displaced = check_state(machine, "virtualized")["pages"]["displaced"]
    check(displaced > RANGE_PAGES * 0.98, f"only {displaced} of {RANGE_PAGES} pages displaced")
    machine.must(f"scrimctl devirtualize {options}")
    check_equal(check_state(machine, "native")["pages"]["displaced"], 0, "pages displaced")


def check_nmis(machine):
    """An NMI of the OS's to each other CPU is handled there once, and counted."""
    before = sum(cpu["nmis_passed"] for cpu in machine.status()["cpus"])
    machine.must("dmesg -c >/dev/null; echo l >/proc/sysrq-trigger; sleep 1")
    log = machine.must("dmesg")
    passed = sum(cpu["nmis_passed"] for cpu in machine.status()["cpus"]) - before
    check_equal(log.count("NMI backtrace for cpu"), machine.cpus, "CPUs that have answered")
    check_equal(passed, machine.cpus - 1, "NMIs passed on")


def go_and_come(machine, state):
    """The last CPU goes offline and comes back."""
    last = machine.cpus - 1
    cpus.set_online(machine, last, False)
    cpus.check_settled(machine, state, (last,))
    cpus.set_online(machine, last, True)
    cpus.check_settled(machine, state)


@test("bochs-vmx", cost=80)
def bochs_vmx(t):
    with boot(t, count=2) as machine:
        machine.wait_ready()
        status = check_state(machine, "native")
        check_equal(status["vendor"], "intel", "vendor")
        check("vmx" not in machine.must("cat /proc/cpuinfo").split(), "the OS sees VMX")
        check_native_exits(machine)
        load = cpus.Load(machine, LOAD_MIB)
        there_and_back(machine)
        go_and_come(machine, "native")
        machine.must("scrimctl virtualize")
        go_and_come(machine, "virtualized")
        check_nmis(machine)
        machine.must("scrimctl devirtualize")
        print(f"figure: {load.stop()}")
        check_state(machine, "native")
        check("BUG" not in machine.must("dmesg"), "the kernel complains")


@test("bochs-vmx-backends", cost=60)
def bochs_vmx_backends(t):
    with boot(t) as machine:
        machine.wait_ready()
        for backend in ("shadow", "vtlb"):
            machine.must(f"scrimctl virtualize --backend {backend}")
            time_of_load(machine, 2)
            machine.must("scrimctl devirtualize")
            there_and_back(machine, backend)


def boots_natively(t, cpu, reason):
    """Scrim says why it cannot serve, and Linux runs without it."""
    with boot(t, cpu) as machine:
        machine.wait_ready()
        said = [line for line in machine.console.splitlines() if line.startswith("scrim: ") and reason in line]
        check_equal(len(said), 1, f"lines that say {reason!r}")
        check_equal(machine.run("scrimctl status")[0], 1, "exit status of scrimctl where Scrim is not")


@test("bochs-vmx-cannot", cost=30)
def bochs_vmx_cannot(t):
    boots_natively(t, "core2_penryn_t9600", "VMX without EPT")


@test("bochs-vmx-cannot-unpaged", cost=30, when=SOAK)
def bochs_vmx_cannot_unpaged(t):
    boots_natively(t, "corei5_lynnfield_750", "VMX without the unrestricted guest")


def soak(cpu, count):
    """100 switches under load, and 64 MiB home by each of the twelve ways."""
    def run(t):
        with boot(t, cpu, count) as machine:
            machine.wait_ready()
            start = time.monotonic()
            load = cpus.Load(machine, LOAD_MIB)
            machine.must("for i in $(seq 50); do scrimctl virtualize && scrimctl devirtualize || exit; done", timeout=1200)
            check_equal(check_state(machine, "native")["counters"]["switches"], 100, "switches")
            for remap in ("direct", "indirect"):
                for reverse in ("search", "refcount", "backmap"):
                    for way in ("concurrent", "paused --force"):
                        there_and_back(machine, options=f"--remap {remap} --reverse {reverse} --{way}")
            print(f"figure: {cpu}, {count} CPUs, {time.monotonic() - start:.0f} s: {load.stop()}")
    return run


for _cpu in (HASWELL, BROADWELL):
    for _count in (1, 2, 4):
        test(f"bochs-vmx-soak-{_cpu}-{_count}cpu", cost=200 * _count, when=SOAK)(soak(_cpu, _count))


def i386(t, kernel):
    """Two-level or PAE tables: native, and by each back-end."""
    with boot(t, kernel=kernel, initrd=I386_INITRAMFS) as machine:
        machine.wait_ready()
        check_state(machine, "native")
        for backend in ("nested", "shadow", "vtlb"):
            there_and_back(machine, backend)
            time_of_load(machine, 2)


@test("bochs-vmx-i386", cost=100)
def bochs_vmx_i386(t):
    i386(t, "686")
    i386(t, "686-pae")


def x2apic_log(t, commands):
    """What the guest that starts its CPUs by x2APIC says, to its verdict."""
    files = [("/boot/guest.elf", X2APIC_GUEST), ("/boot/scrim.elf", BUILD / "scrim.elf")]
    with t.bochs(cpu=HASWELL, cpus=3, memory="128M", agent=False, boot=(commands, files)) as machine:
        machine.wait_console(r"^x2apic guest: (ok|FAILURE)", timeout=120)
        return [line for line in machine.console.splitlines() if re.search(r": (ok|FAILURE)$|^x2apic guest", line)]


@test("bochs-vmx-x2apic", cost=15)
def bochs_vmx_x2apic(t):
    """Linux does not use x2APIC on Bochs. A guest does, whose CPUs are started and started again by the ICR's MSR."""
    bare = x2apic_log(t, ["multiboot /boot/guest.elf"])
    seen = x2apic_log(t, ["multiboot2 /boot/scrim.elf", "module2 /boot/guest.elf guest.elf"])
    check(bare[0] == "x2apic guest: bare" and bare[-1] == "x2apic guest: ok", "bare:\n" + "\n".join(bare))
    check(seen[0] == "x2apic guest: on Scrim" and seen[-1] == "x2apic guest: ok", "on Scrim:\n" + "\n".join(seen))
    print("figure: two CPUs started 5 times each alone and 5 times together by x2APIC's ICR, each behind Scrim")
