# SPDX-License-Identifier: BSD-2-Clause
"""VT-d looked at from outside: a machine that has it, its registers, and the tables that it walks, by machine address.

Offsets and bits are those of the VT-d specification (revision 3.3, chapters 9 and 10).
"""

import re
import struct

from registry import check, check_equal

KIND = "vt-d"
TRACE = "vtd_iotlb_page_update"  # of QEMU's: a translation for a device
REGISTERS = 0xFED90000
ECAP, GSTS, RTADDR, FSTS = 0x10, 0x1C, 0x20, 0x34
TES, QIES = 1 << 31, 1 << 26
FAULTS = 0x7F
PRESENT, LARGE, SNOOP = 3, 1 << 7, 1 << 11
SNOOP_CONTROL = 1 << 7
ADDRESS = 0x000FFFFFFFFFF000
PAGE = 4096


def arguments(*more, aw_bits=48, intremap="off"):
    """QEMU's arguments for a machine with one unit; `more` are properties of it."""
    return ["-device", ",".join([f"intel-iommu,aw-bits={aw_bits},intremap={intremap}", *more])]


def nvme(image, mib):
    """QEMU's arguments for an NVMe disk on a new file."""
    image.parent.mkdir(parents=True, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    return ["-drive", f"if=none,id=disk,format=raw,file={image}", "-device", "nvme,drive=disk,serial=scrim"]


def register(machine, offset):
    """A register of 32 bits."""
    return int(re.search(r": (0x[0-9a-f]+)", machine.monitor(f"xp /1wx {REGISTERS + offset:#x}"))[1], 16)


def is_translating(machine):
    return bool(register(machine, GSTS) & TES)


def check_off(machine):
    """Nothing is translated, and no queue is on."""
    check_equal(register(machine, GSTS) & (TES | QIES), 0, "translation and queue in NATIVE")


def check_quiet(machine, what):
    """Neither Scrim nor the unit has seen a fault."""
    iommu = machine.status()["iommu"]
    check_equal((iommu["faults"], iommu["last_fault"]), (0, None), f"faults {what}")
    check_equal(register(machine, FSTS) & FAULTS, 0, f"fault status {what}")


def _entries(machine, table):
    return struct.unpack("<512Q", machine.memory.read(table, PAGE))


class Tables:
    """What devices see: `root` tables as they stand, every context entry the same, `where(page)` the machine address of a page."""

    def __init__(self, machine):
        self._machine = machine
        root = register(machine, RTADDR) | register(machine, RTADDR + 4) << 32
        buses = _entries(machine, root)
        check_equal(len(set(zip(buses[::2], buses[1::2]))), 1, "different entries in the root table")
        check(buses[0] & 1, "no context table")
        functions = _entries(machine, buses[0] & ADDRESS)
        check_equal(len(set(zip(functions[::2], functions[1::2]))), 1, "different context entries")
        check_equal(functions[0] & 0xF, 1, "present, translation type")
        self.levels = (functions[1] & 7) + 2
        self._top = functions[0] & ADDRESS
        self._snoop = SNOOP if register(machine, ECAP) & SNOOP_CONTROL else 0

    def where(self, address):
        """(machine address, size of the leaf) or None."""
        table = self._top
        for level in range(self.levels, 0, -1):
            shift = 12 + 9 * (level - 1)
            entry = self._machine.memory.read_u64(table + 8 * (address >> shift & 511))
            if not entry & PRESENT:
                return None
            check_equal(entry & ~(ADDRESS | PRESENT | LARGE | self._snoop), 0, f"bits of the entry for {address:#x}, level {level}")
            if level == 1 or entry & LARGE:
                check_equal(entry & SNOOP, self._snoop, f"snooping at {address:#x}")
                size = 1 << shift
                return (entry & ADDRESS & ~(size - 1)) | (address & (size - 1)), size
            table = entry & ADDRESS
        return None
