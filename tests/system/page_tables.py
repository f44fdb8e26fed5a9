# SPDX-License-Identifier: BSD-2-Clause
"""The OS's page tables, read from outside: the machine's RAM by machine address, from a CR3 that QEMU tells.

Right while physical is machine, that is while no page of the tables is displaced. Four levels (AMD APM vol. 2, 5.3.1).
"""

import re
import struct

PAGE = 4096
PRESENT, LARGE = 1, 1 << 7
ADDRESS = 0x000FFFFFFFFFF000
SHIFTS = {4: 39, 3: 30, 2: 21, 1: 12}
KERNEL_HALF = 256  # first entry of the upper half of the top table


def registers(machine):
    """[{name: value}] of every CPU, as of one moment if the machine is stopped. Names as QEMU prints them."""
    text = machine.monitor("info registers -a")
    cpus = re.split(r"^CPU#\d+$", text, flags=re.MULTILINE)[1:]
    return [{name: int(value, 16) for name, value in re.findall(r"\b(CR[0-4]|EFER|RIP)=([0-9a-f]+)", part)} for part in cpus]


def entries(machine, table):
    """The 512 entries of a table."""
    return struct.unpack("<512Q", machine.memory.read(table, PAGE))


def translate(machine, cr3, virtual):
    """The physical address that a virtual one has, or None."""
    table = cr3 & ADDRESS
    for level in (4, 3, 2, 1):
        shift = SHIFTS[level]
        entry = machine.memory.read_u64(table + 8 * (virtual >> shift & 511))
        if not entry & PRESENT:
            return None
        if level == 1 or (level < 4 and entry & LARGE):
            return (entry & ADDRESS & ~((1 << shift) - 1)) | (virtual & ((1 << shift) - 1))
        table = entry & ADDRESS
    return None


class Tree:
    """Everything below one CR3: `tables` is the set of page-table pages, `leaves` a list of (start, end) of physical addresses."""

    def __init__(self, machine, cr3):
        self.tables = set()
        self.leaves = []
        self._machine = machine
        self._walk(cr3 & ADDRESS, 4)

    def _walk(self, table, level):
        if table in self.tables:
            return
        self.tables.add(table)
        for entry in entries(self._machine, table):
            if not entry & PRESENT:
                continue
            if level == 1 or (level < 4 and entry & LARGE):
                size = 1 << SHIFTS[level]
                start = entry & ADDRESS & ~(size - 1)
                self.leaves.append((start, start + size))
            else:
                self._walk(entry & ADDRESS, level - 1)

    def mapped(self, start, end):
        """Leaves that overlap a range of physical addresses."""
        return sorted({leaf for leaf in self.leaves if leaf[0] < end and start < leaf[1]})
