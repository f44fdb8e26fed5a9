# SPDX-License-Identifier: BSD-2-Clause
"""A device that writes where no page of the OS's is, while memory is virtualized: the IOMMU refuses it, nothing is harmed, `status` tells it.

QEMU's `edu` device writes wherever tests/guest/edu.c tells it to.
"""

import amdvi
import vtd
from registry import check, check_equal, test
from test_iommu import own_block
from under_load import quiet_log

MEMORY = "512M"
OPTIONS = "reserve=40M"
EDU = ["-device", "edu,dma_mask=0xffffffffffffffff"]
PAGE = 4096
NOWHERE = 1 << 46  # beyond all that CPUs can address
WRITE_REFUSED = 5  # VT-d specification, fault reasons: a write without the right to


def strays(machine):
    """Places of Scrim's own block that nothing changes while the machine stands still: its code, its last free frame."""
    own = own_block(machine)
    return [own[0], own[PAGE], own[len(own) // 2] & -PAGE, own[-PAGE]]


def find_device(machine):
    """(its directory in sysfs, its address as `status` says it)."""
    path = machine.must("dirname $(grep -l 0x11e8 /sys/bus/pci/devices/*/device)")
    return path, path.rpartition("/0000:")[2]


def write_to(machine, device, address):
    """Nothing there is another afterwards."""
    before = machine.memory.read(address, PAGE) if address < machine.memory_bytes else None
    machine.must(f"edu {device} {address:#x}")
    if before:
        check(machine.memory.read(address, PAGE) == before, f"{address:#x} has changed")


def check_told(machine, count, source, address):
    """`status` has so many faults, of which this is the last."""
    iommu = machine.status()["iommu"]
    fault = iommu["last_fault"]
    check_equal((iommu["faults"], fault and (fault["source"], int(fault["address"], 16), fault["reason"])),
                (count, (source, address, WRITE_REFUSED)), "faults, and the last one's source, address and reason")


def refuses(t, unit, told):
    """Returns what status says of the last fault."""
    with t.machine(cpus=2, memory=MEMORY, options=OPTIONS, extra=[*unit.arguments(), *EDU]) as machine:
        machine.wait_ready()
        device, source = find_device(machine)
        with quiet_log(machine):
            machine.must(f"edu {device}")
            machine.must(f"scrimctl virtualize && edu {device} && scrimctl scatter --seed 1 --fraction 0.1 >/dev/null && edu {device}", 300)
            check_equal(machine.status()["iommu"]["faults"], 0, "faults of a device that writes where it may")
            for number, address in enumerate([*strays(machine), NOWHERE], 1):
                write_to(machine, device, address)
                if told:
                    check_told(machine, number, source, address)
            machine.must(f"scrimctl check && edu {device} && scrimctl devirtualize >/dev/null && scrimctl check && edu {device}", 300)
        unit.check_off(machine)
        return machine.status()["iommu"], number


@test("iommu-refuses", cost=25)
def iommu_refuses(t):
    """VT-d: refused, and told with source, address and reason."""
    said, number = refuses(t, vtd, told=True)
    check_equal(said["faults"], number, "faults after coming home")
    print(f"figure: {number} writes of a stray device refused, the last: {said['last_fault']}")


@test("iommu-refuses-amdvi", cost=25)
def iommu_refuses_amdvi(t):
    """AMD-Vi: refused. QEMU's writes no event of it."""
    _, number = refuses(t, amdvi, told=False)
    print(f"figure: {number} writes of a stray device refused")
