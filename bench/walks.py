#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints how often a walk of page tables reads memory, where nothing is cached: `make bench-walks`.

Counted from outside, in the tables that the CPU walks at that moment, over all pages that a program has in its address space. Under nested paging each
address that the OS's tables tell, of the next table and of the page, is walked itself (AMD APM vol. 2, 15.25.5).
"""

import contextlib
import functools
import pathlib
import re
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

from frame_graph import NCR3  # noqa: E402
from machine import Machine, MachineError  # noqa: E402
from page_tables import ADDRESS, KERNEL_HALF, LARGE, PAGE, PRESENT, SHIFTS  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

NESTED_CONTROL = 0x90  # in the VMCB (AMD APM vol. 2, appendix B)
BUSY = "stress-ng --quiet --vm 1 --vm-bytes 64M --vm-keep --vm-method write64"
STATES = {"Scrim native": "", "Scrim nested": "virtualize --backend nested", "nested, scattered": "scatter --batch 256",
          "shadow, scattered": "virtualize --backend shadow"}
LOOKS, PAGES = 200, 4096  # the program is told by having so many pages
HEAD = ["system", "pages", "references a walk"]


class Tables:
    """Tables of one moment, each read once. `nested` is their nested root, or None."""

    def __init__(self, machine, nested):
        self._machine, self._nested, self._seen = machine, nested, {}

    def entries(self, address):
        """The 512 entries of the table at a machine address."""
        if address not in self._seen:
            self._seen[address] = struct.unpack("<512Q", self._machine.memory.read(address, PAGE))
        return self._seen[address]

    def reach(self, physical):
        """Where a physical address is in the machine, and how many references it takes to find out."""
        if self._nested is None:
            return physical, 0
        table, references = self._nested & ADDRESS, 0
        for shift in SHIFTS.values():
            entry = self.entries(table)[physical >> shift & 511]
            references += 1
            if not entry & PRESENT:
                raise MachineError(f"{physical:#x} is absent")
            if shift == 12 or entry & LARGE and shift < 39:
                return (entry & ADDRESS & ~((1 << shift) - 1)) | (physical & ((1 << shift) - 1)), references
            table = entry & ADDRESS
        raise MachineError(f"no leaf for {physical:#x}")

    def walks(self, table, level=4, before=0):
        """(pages, references of a walk to each of them in all) below a table of the OS's or Scrim's; of the root its lower half."""
        at, references = self.reach(table)
        references += before + 1
        pages = total = 0
        for entry in self.entries(at)[:KERNEL_HALF if level == 4 else None]:
            if not entry & PRESENT:
                continue
            if level > 1 and not entry & LARGE:
                found = self.walks(entry & ADDRESS, level - 1, references)
            else:
                size = 1 << SHIFTS[level] - 12
                first = entry & ADDRESS & ~((size << 12) - 1)
                found = size, sum(references + self.reach(first + page * PAGE)[1] for page in range(size))
            pages, total = pages + found[0], total + found[1]
        return pages, total


def main():
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work, memory="512M")
        with started(machine_of(scrim=False)) as machine:
            rows = [["bare", *mean(machine, None)]]
        with started(machine_of(options="dma-free=all reserve=32M")) as machine:
            for name, verb in STATES.items():
                if verb:
                    machine.must(f"scrimctl {verb} >/dev/null && sleep 2", 300)
                rows.append([name, *mean(machine, int(machine.status()["cpus"][0]["vmcb"], 16))])
    write_csv("walks", HEAD, rows)
    publish("walks", "References to memory of a walk, a program's pages, one CPU, nothing cached:\n\n"
            + markdown(HEAD, [[name, f"{pages:,}", f"{references:.2f}"] for name, pages, references in rows]))


@contextlib.contextmanager
def started(machine):
    """The machine, with a program that has memory and is busy."""
    with machine:
        machine.wait_ready()
        machine.spawn(f"exec {BUSY}")
        machine.must("sleep 5")
        yield machine


def mean(machine, block):
    """Pages, and the references of a walk to one of them on average; at a moment when the program runs. `block` is the CPU's VMCB."""
    for _ in range(LOOKS):
        machine.qmp("stop")
        seen = machine.monitor("info registers")
        try:
            if re.search(r"\bCPL=3\b", seen):
                nested = machine.memory.read_u64(block + NCR3) if block and machine.memory.read_u64(block + NESTED_CONTROL) & 1 else None
                pages, total = Tables(machine, nested).walks(int(re.search(r"\bCR3=([0-9a-f]+)", seen)[1], 16) & ADDRESS)
                if pages > PAGES:
                    return pages, total / pages
        finally:
            machine.qmp("cont")
        machine.must("true")
    raise MachineError(f"in {LOOKS} looks the program did not run")


if __name__ == "__main__":
    main()
