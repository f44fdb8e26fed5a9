# SPDX-License-Identifier: BSD-2-Clause
"""Devices translate by the same map, through VT-d or AMD-Vi, which the OS does not know of; in NATIVE nothing translates for them.

`unit` in what follows is one of the two modules: what that kind looks like from outside.
"""

import random

import amdvi
import vtd
from registry import check, check_equal, test
from under_load import quiet_log, under_load

PAGE = 4096
INTERRUPTS = range(0xFEE00000, 0xFEF00000)
MEMORY = "512M"
RESERVE = "reserve=40M"
FIRST, PAGES = 64 << 20, 512

# What the OS would show of an IOMMU that it knows of.
SIGNS = ("ls /sys/firmware/acpi/tables | grep -i -E 'dmar|ivrs'; find /sys/kernel/iommu_groups /sys/class/iommu -mindepth 1; "
         "dmesg | grep -i -E 'dmar|vt-d|ivrs|amd-vi|remapping'; true")


def check_native(machine, boot, unit):
    """The unit translates nothing and has no queue; what grew is given back."""
    unit.check_off(machine)
    status = machine.status()
    check_equal((status["iommu"]["translating"], status["memory"]), (False, boot["memory"]), "devices and memory in NATIVE")
    unit.check_quiet(machine, "in NATIVE")


def check_follows(machine, pages, unit):
    """Devices find some pages of RAM where the OS does."""
    words = " ".join(f"{page:#x}" for page in pages)
    output = machine.must(f"for page in {words}; do ask 0 translate $page; done")
    tables, away = unit.Tables(machine), 0
    frames = [int(line.split()[1], 16) for line in output.splitlines()]
    check_equal(len(frames), len(pages), f"answers ({output})")
    for page, frame in zip(pages, frames):
        seen = tables.where(page)
        check_equal(seen and seen[0], frame, f"where devices find {page:#x}")
        away += frame != page
    return away


def own_block(machine):
    """Scrim's own block, as a range of addresses."""
    return max((range(int(part["start"], 16), int(part["end"], 16)) for part in machine.status()["ranges"]["own"]), key=len)


def check_identity(machine, tables):
    """One access in each 2 MiB below 4 GiB and as far as RAM goes; of the interrupts' range and of Scrim's own block nothing is mapped."""
    own = own_block(machine)
    for address in range(0, max(4 << 30, machine.memory_bytes), 2 << 20):
        seen = tables.where(address)
        if address in INTERRUPTS or address in own:
            check_equal(seen, None, f"{address:#x} for a device")
        else:
            check_equal(seen and seen[0], address, f"{address:#x} for a device")
    check_equal(tables.where(INTERRUPTS[-1] + 1), (INTERRUPTS[-1] + 1, PAGE), "what follows the interrupts' range, for a device")
    for address in (INTERRUPTS[0], INTERRUPTS[-1], own[-1]):
        check_equal(tables.where(address), None, f"{address:#x} for a device")


def away_and_home(machine, boot, levels, part, unit):
    machine.must("scrimctl virtualize && scrimctl check")
    check(unit.is_translating(machine), "the unit does not translate")
    tables = unit.Tables(machine)
    check_equal(tables.levels, levels, "levels of the tables")
    check_identity(machine, tables)
    machine.must(f"scrimctl scatter --seed 1 --fraction {part} >/dev/null && scrimctl check", 300)
    status = machine.status()
    displaced, managed = status["pages"]["displaced"], status["pages"]["managed"]
    check(part - 0.02 < displaced / managed <= part + 0.02, f"{displaced} of {managed} pages displaced, wanted {part}")
    rng = random.Random(1)
    away = check_follows(machine, [FIRST + PAGE * page for page in rng.sample(range(PAGES * 32), 64)], unit)
    machine.must("scrimctl devirtualize --jobs 3 >/dev/null && scrimctl check", 300)
    check_native(machine, boot, unit)
    return status["pages"]["displaced"], away


def hidden(t, unit, extra, options, levels, part):
    """The OS finds no IOMMU; RAM moves, all of it or this part, and comes home without dma-free=, and devices' tables follow."""
    with t.machine(cpus=2, memory=MEMORY, options=f"{RESERVE} {options}", extra=extra) as machine:
        machine.wait_ready()
        check_equal(machine.must(SIGNS), "", "signs of an IOMMU in the OS")
        boot = machine.status()
        check_equal(boot["iommu"], {"kind": unit.KIND, "units": 1, "translating": False, "faults": 0, "last_fault": None}, "iommu")
        check_native(machine, boot, unit)
        with under_load(machine, mib=16, stress=None, threads=2) as load:
            pages, away = away_and_home(machine, boot, levels, part, unit)
            machine.must("scrimctl virtualize && scrimctl scatter --seed 2 --fraction 0.1 >/dev/null && "
                         "scrimctl devirtualize --paused --force >/dev/null && scrimctl check", 300)
        check_native(machine, boot, unit)
    print(f"figure: {unit.KIND}, {options}, {levels} levels: {pages} pages displaced and home, "
          f"of 64 looked at {away} away for devices too; {load.figures()}")


@test("iommu-hidden", cost=80)
def iommu_hidden(t):
    """VT-d: tables of four levels; of three, entries that ask for snoops, and a remapping of interrupts that is not used."""
    hidden(t, vtd, vtd.arguments(), "map=boot", 4, 1)
    hidden(t, vtd, vtd.arguments("snoop-control=on", aw_bits=39, intremap="on"), "map=late", 3, t.pick(0.2, 1))


@test("iommu-hidden-amdvi", cost=80)
def iommu_hidden_amdvi(t):
    """AMD-Vi: alone, and with a remapping of interrupts that is not used."""
    hidden(t, amdvi, amdvi.arguments(), "map=boot", 4, 1)
    hidden(t, amdvi, amdvi.arguments(intremap="on"), "map=late", 4, t.pick(0.2, 1))


@test("iommu-share", cost=15)
def iommu_share(t):
    """Pages move everywhere, but share only where the user has said that no device writes."""
    start, end = FIRST, FIRST + (32 << 20)
    with t.machine(cpus=1, memory=MEMORY, options=f"{RESERVE} dma-free={start:#x}-{end:#x}", extra=vtd.arguments()) as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize && scrimctl share >/dev/null && scrimctl check", 300)
        shared = machine.status()["pages"]["shared"]
        check(0 < shared <= (end - start) // PAGE, f"{shared} pages share")
        machine.must(f"scrimctl devirtualize --range {start:#x}-{end:#x} >/dev/null && scrimctl check", 300)
        check_equal(machine.status()["pages"]["shared"], 0, "pages that share outside")
        vtd.check_quiet(machine, "after sharing")
        machine.must("scrimctl devirtualize >/dev/null && scrimctl check", 300)
    print(f"figure: {shared} pages shared, all within dma-free=")


# Rounds of writing, forgetting (7: without a line in the log) and reading back, each with bytes of its own. $1: where the disk is.
DISK_LOAD = r"""
round=0
while [ ! -e /tmp/stop ]; do
	round=$((round + 1))
	dd if=/dev/urandom of=/tmp/wrote bs=1M count=4 2>/dev/null || exit 1
	dd if=/tmp/wrote of=$1 bs=64k seek=$((round % 12 * 64)) conv=notrunc,fsync 2>/dev/null || exit 1
	echo 7 >/proc/sys/vm/drop_caches
	dd if=$1 of=/tmp/read bs=64k skip=$((round % 12 * 64)) count=64 2>/dev/null || exit 1
	cmp /tmp/wrote /tmp/read || exit 1
done
echo "rounds $round"
"""


def translations(machine, unit):
    """How many translations of devices QEMU's own trace has seen until now."""
    return (machine.work / "qemu.log").read_text(errors="replace").count(unit.TRACE)


def check_trace(machine, disk, unit):
    """Reading the disk makes the unit translate while memory is virtualized, and not in NATIVE."""
    read = f"echo 7 >/proc/sys/vm/drop_caches; dd if={disk} of=/dev/null bs=1M count=8 2>/dev/null"
    machine.monitor(f"trace-event {unit.TRACE} on")
    machine.must(read)
    check_equal(translations(machine, unit), 0, "translations for devices in NATIVE")
    machine.must(f"scrimctl virtualize && {read}")
    seen = translations(machine, unit)
    check(seen > 0, "the trace shows no translation while memory is virtualized")
    machine.must("scrimctl devirtualize")
    seen = translations(machine, unit)
    machine.must(read)
    check_equal(translations(machine, unit), seen, "translations for devices in NATIVE again")
    return seen


def switch_nvme(t, unit):
    """Translation for devices on and off, 100 times and more, while an NVMe disk is written and read back: no wrong byte, no fault."""
    switches = t.pick(100, 2000)
    disk = vtd.nvme(t.work / "disk", 64)
    with t.machine(cpus=2, memory=MEMORY, options=RESERVE, extra=unit.arguments() + disk) as machine:
        machine.wait_ready()
        boot = machine.status()
        seen = check_trace(machine, "/dev/nvme0n1", unit)
        with quiet_log(machine):
            load = machine.spawn(f"set -- /dev/nvme0n1\n{DISK_LOAD}")
            machine.must(f"for i in $(seq {switches}); do scrimctl virtualize >/dev/null && scrimctl devirtualize >/dev/null || exit 1; done", 1800)
            machine.must("touch /tmp/stop")
            status, output = load.wait(300)
        check_equal(status, 0, f"exit status of the disk's load ({output})")
        check_equal(machine.status()["counters"]["switches"], 2 * switches + 2, "switches")
        machine.must("scrimctl check")
        check_native(machine, boot, unit)
    rounds = int(output.split()[-1])
    check(rounds >= 3, f"too little was written: {output}")
    print(f"figure: {unit.KIND}: by QEMU's trace {seen} translations for the disk while virtualized, none in NATIVE before and after")
    print(f"figure: {unit.KIND}: {switches} times on and off while {4 * rounds} MiB were written to NVMe and read back: none wrong, no fault")


@test("iommu-switch-nvme", cost=90)
def iommu_switch_nvme(t):
    """VT-d."""
    switch_nvme(t, vtd)


@test("iommu-switch-nvme-amdvi", cost=90)
def iommu_switch_nvme_amdvi(t):
    """AMD-Vi."""
    switch_nvme(t, amdvi)


@test("iommu-cannot", cost=25)
def iommu_cannot(t):
    """A unit that cannot drain is not used: it is hidden all the same, and pages move only within dma-free=."""
    start, end = FIRST, FIRST + (2 << 20)
    with t.machine(memory=MEMORY, options=f"dma-free={start:#x}-{end:#x}", extra=vtd.arguments("dma-drain=off")) as machine:
        machine.wait_ready()
        said = [line for line in machine.console.splitlines() if "the IOMMU at 0xfed90000 cannot be used: it cannot drain" in line]
        check_equal(len(said), 1, "lines that say why the IOMMU is not used")
        check_equal(machine.must(SIGNS), "", "signs of an IOMMU in the OS")
        machine.must("scrimctl virtualize")
        check(not vtd.is_translating(machine), "the unit translates")
        machine.must(f"scrimctl move {start:#x} && scrimctl check")
        status, output = machine.run(f"scrimctl move {end:#x}")
        check_equal((status, len(output.strip().splitlines())), (1, 1), f"exit status and lines of a refused move ({output})")
        for word in ("VT-d", "firmware", "dma-free="):
            check(word in output, f"the refusal does not say {word!r}: {output}")
        machine.must("scrimctl devirtualize && scrimctl check")
    print(f"figure: {said[0].strip()}")
    print(f"figure: {output.strip()}")


@test("iommu-cannot-amdvi", cost=25)
def iommu_cannot_amdvi(t):
    """A device that no unit translates for: none is used, and they are hidden all the same."""
    bypassed = ["-device", "pxb-pcie,id=aside,bus_nr=64,bypass_iommu=on", "-device", "pcie-root-port,id=behind,bus=aside,chassis=1",
                "-device", "e1000e,bus=behind"]
    with t.machine(memory=MEMORY, extra=amdvi.arguments() + bypassed) as machine:
        machine.wait_ready()
        said = [line for line in machine.console.splitlines() if "no IOMMU translates for the PCI device 41:0.0" in line]
        check_equal(len(said), 1, "lines that say why the IOMMU is not used")
        check_equal(machine.must(SIGNS), "", "signs of an IOMMU in the OS")
        machine.must("scrimctl virtualize && scrimctl check")
        check(not amdvi.is_translating(machine), "the unit translates")
        status, output = machine.run(f"scrimctl move {FIRST:#x}")
        check_equal((status, len(output.strip().splitlines())), (1, 1), f"exit status and lines of a refused move ({output})")
        for word in ("AMD-Vi", "firmware", "dma-free="):
            check(word in output, f"the refusal does not say {word!r}: {output}")
        machine.must("scrimctl devirtualize && scrimctl check")
    print(f"figure: {said[0].strip()}")
