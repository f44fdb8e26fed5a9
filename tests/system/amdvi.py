# SPDX-License-Identifier: BSD-2-Clause
"""AMD-Vi looked at from outside: a machine that has it, its registers, and the tables that it walks, by machine address.

Offsets and bits are those of AMD's specification of its IOMMU (48882, rev. 3.00, 2.2 and 3.4).
"""

import re
import struct

from registry import check, check_equal

KIND = "amd-vi"
TRACE = "amdvi_translation_result"  # of QEMU's: a translation for a device
REGISTERS = 0xFED80000
DEVICE_TABLE, CONTROL, EVENT_TAIL, STATUS = 0x00, 0x18, 0x2018, 0x2020
ON = 1 << 0
RUNNING = 1 << 3 | 1 << 4 | 1 << 7 | 1 << 8
OVERFLOW = 1 << 0
PR, RIGHTS, FC = 1, 3 << 61, 1 << 60
ADDRESS = 0x000FFFFFFFFFF000
PAGE = 4096
DEVICES = 1 << 16


def arguments(intremap="off"):
    """QEMU's arguments for a machine with one unit."""
    return ["-device", f"amd-iommu,intremap={intremap}"]


def register(machine, offset):
    """A register of 64 bits, its lower half."""
    return int(re.search(r": (0x[0-9a-f]+)", machine.monitor(f"xp /1wx {REGISTERS + offset:#x}"))[1], 16)


def is_translating(machine):
    return bool(register(machine, CONTROL) & ON)


def check_off(machine):
    """Nothing is translated, and neither ring is on; and were it on, every device's transactions would pass as they are."""
    check_equal((register(machine, CONTROL) & ON, register(machine, STATUS) & RUNNING), (0, 0), "translation and rings in NATIVE")
    (entry,) = device_entries(machine)
    check_equal(entry[0], RIGHTS | 3, "every device's entry in NATIVE")


def check_quiet(machine, what):
    """Neither Scrim nor the unit has seen a fault."""
    iommu = machine.status()["iommu"]
    check_equal((iommu["faults"], iommu["last_fault"]), (0, None), f"faults {what}")
    check_equal((register(machine, EVENT_TAIL), register(machine, STATUS) & OVERFLOW), (0, 0), f"events {what}")


def device_entries(machine):
    """The different entries of the device table, each four words."""
    base = register(machine, DEVICE_TABLE) | register(machine, DEVICE_TABLE + 4) << 32
    pages = (base & (PAGE - 1)) + 1
    check_equal(pages * PAGE, DEVICES * 32, "bytes of the device table")
    return set(struct.iter_unpack("<4Q", machine.memory.read(base & ADDRESS, pages * PAGE)))


class Tables:
    """What devices see: the map's tables as they stand, every device's entry the same; `where(page)`: the machine address of a page."""

    def __init__(self, machine):
        self._machine = machine
        entries = device_entries(machine)
        check_equal(len(entries), 1, "different entries in the device table")
        (entry,) = entries
        check_equal(entry[0] & ~(ADDRESS | 7 << 9), RIGHTS | 3, "valid, translated, read and written")
        check_equal(entry[2] & 1, 0, "interrupts remapped")
        self.levels = entry[0] >> 9 & 7
        self._top = entry[0] & ADDRESS

    def where(self, address):
        """(machine address, size of the leaf) or None."""
        table, level = self._top, self.levels
        while True:
            shift = 12 + 9 * (level - 1)
            entry = self._machine.memory.read_u64(table + 8 * (address >> shift & 511))
            if not entry & PR:
                return None
            following = entry >> 9 & 7
            check_equal(entry & ~(ADDRESS | 7 << 9), PR | RIGHTS | (0 if following else FC), f"bits of the entry for {address:#x}, level {level}")
            check(following == 0 or following == level - 1, f"the entry for {address:#x}, level {level}, leads to level {following}")
            if following == 0:
                size = 1 << shift
                check_equal(entry & ADDRESS & (size - 1), 0, f"address in the leaf for {address:#x}, level {level}")
                return (entry & ADDRESS) | (address & (size - 1)), size
            table, level = entry & ADDRESS, following
