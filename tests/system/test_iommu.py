# SPDX-License-Identifier: BSD-2-Clause
"""Devices translate by the same map, through VT-d, which the OS does not know of; in NATIVE nothing translates for them."""

import random

import vtd
from registry import check, check_equal, test
from under_load import quiet_log, under_load

PAGE = 4096
TRACE = "vtd_iotlb_page_update"
MEMORY = "512M"
RESERVE = "reserve=40M"
FIRST, PAGES = 64 << 20, 512

# What the OS would show of an IOMMU that it knows of.
SIGNS = ("ls /sys/firmware/acpi/tables | grep -i dmar; find /sys/kernel/iommu_groups /sys/class/iommu -mindepth 1; "
         "dmesg | grep -i -E 'dmar|vt-d|remapping'; true")


def check_native(machine, boot):
    """The unit translates nothing and has no queue; what grew is given back."""
    check_equal(vtd.register(machine, vtd.GSTS) & (vtd.TES | vtd.QIES), 0, "translation and queue in NATIVE")
    status = machine.status()
    check_equal((status["iommu"]["translating"], status["memory"]), (False, boot["memory"]), "devices and memory in NATIVE")
    vtd.check_quiet(machine, "in NATIVE")


def check_follows(machine, pages):
    """Devices find some pages of RAM where the OS does."""
    words = " ".join(f"{page:#x}" for page in pages)
    output = machine.must(f"for page in {words}; do ask 0 translate $page; done")
    tables, away = vtd.Tables(machine), 0
    frames = [int(line.split()[1], 16) for line in output.splitlines()]
    check_equal(len(frames), len(pages), f"answers ({output})")
    for page, frame in zip(pages, frames):
        seen = tables.where(page)
        check_equal(seen and seen[0], frame, f"where devices find {page:#x}")
        away += frame != page
    return away


def away_and_home(machine, boot, levels, part):
    machine.must("scrimctl virtualize && scrimctl check")
    check(vtd.is_translating(machine), "the unit does not translate")
    tables = vtd.Tables(machine)
    check_equal(tables.levels, levels, "levels of the tables")
    tables.check_identity(machine.memory_bytes)
    machine.must(f"scrimctl scatter --seed 1 --fraction {part} >/dev/null && scrimctl check", 300)
    status = machine.status()
    displaced, managed = status["pages"]["displaced"], status["pages"]["managed"]
    check(part - 0.02 < displaced / managed <= part + 0.02, f"{displaced} of {managed} pages displaced, wanted {part}")
    rng = random.Random(1)
    away = check_follows(machine, [FIRST + PAGE * page for page in rng.sample(range(PAGES * 32), 64)])
    machine.must("scrimctl devirtualize --jobs 3 >/dev/null && scrimctl check", 300)
    check_native(machine, boot)
    return status["pages"]["displaced"], away


@test("iommu-hidden", cost=80)
def iommu_hidden(t):
    """The OS finds no IOMMU; all RAM moves and comes home without dma-free=, and devices' tables follow."""
    for options, levels, part, unit in (("map=boot", 4, 1, vtd.arguments()),
                                        ("map=late", 3, t.pick(0.2, 1), vtd.arguments("snoop-control=on", aw_bits=39, intremap="on"))):
        with t.machine(cpus=2, memory=MEMORY, options=f"{RESERVE} {options}", extra=unit) as machine:
            machine.wait_ready()
            check_equal(machine.must(SIGNS), "", "signs of an IOMMU in the OS")
            boot = machine.status()
            check_equal(boot["iommu"], {"kind": "vt-d", "units": 1, "translating": False, "faults": 0, "last_fault": None}, "iommu")
            check_native(machine, boot)
            with under_load(machine, mib=16, stress=None, threads=2) as load:
                pages, away = away_and_home(machine, boot, levels, part)
                machine.must("scrimctl virtualize && scrimctl scatter --seed 2 --fraction 0.1 >/dev/null && "
                             "scrimctl devirtualize --paused --force >/dev/null && scrimctl check", 300)
            check_native(machine, boot)
        print(f"figure: {options}, {levels} levels: {pages} pages displaced and home, of 64 looked at {away} away for devices too; {load.figures()}")


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


def translations(machine):
    """How many translations of devices QEMU's own trace has seen until now."""
    return (machine.work / "qemu.log").read_text(errors="replace").count(TRACE)


def check_trace(machine, disk):
    """Reading the disk makes the unit translate while memory is virtualized, and not in NATIVE."""
    read = f"echo 7 >/proc/sys/vm/drop_caches; dd if={disk} of=/dev/null bs=1M count=8 2>/dev/null"
    machine.monitor(f"trace-event {TRACE} on")
    machine.must(read)
    check_equal(translations(machine), 0, "translations for devices in NATIVE")
    machine.must(f"scrimctl virtualize && {read}")
    seen = translations(machine)
    check(seen > 0, "the trace shows no translation while memory is virtualized")
    machine.must("scrimctl devirtualize")
    seen = translations(machine)
    machine.must(read)
    check_equal(translations(machine), seen, "translations for devices in NATIVE again")
    return seen


@test("iommu-switch-nvme", cost=90)
def iommu_switch_nvme(t):
    """Translation for devices on and off, 100 times and more, while an NVMe disk is written and read back: no wrong byte, no fault."""
    switches = t.pick(100, 2000)
    disk = vtd.nvme(t.work / "disk", 64)
    with t.machine(cpus=2, memory=MEMORY, options=RESERVE, extra=vtd.arguments() + disk) as machine:
        machine.wait_ready()
        boot = machine.status()
        seen = check_trace(machine, "/dev/nvme0n1")
        with quiet_log(machine):
            load = machine.spawn(f"set -- /dev/nvme0n1\n{DISK_LOAD}")
            machine.must(f"for i in $(seq {switches}); do scrimctl virtualize >/dev/null && scrimctl devirtualize >/dev/null || exit 1; done", 1800)
            machine.must("touch /tmp/stop")
            status, output = load.wait(300)
        check_equal(status, 0, f"exit status of the disk's load ({output})")
        check_equal(machine.status()["counters"]["switches"], 2 * switches + 2, "switches")
        machine.must("scrimctl check")
        check_native(machine, boot)
    rounds = int(output.split()[-1])
    check(rounds >= 3, f"too little was written: {output}")
    print(f"figure: by QEMU's trace {seen} translations for the disk while virtualized, none in NATIVE before and after")
    print(f"figure: {switches} times on and off while {4 * rounds} MiB were written to NVMe and read back: none wrong, no fault")


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
