#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints how many instructions lie between Scrim's first and Linux's first, by memory.

The machine is stopped by gdb at both. In between, the virtual clock, which ticks once an instruction, is read by the ACPI timer:
3,579,545 Hz, so to within 280 instructions.
"""

import functools
import pathlib
import re
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

from gdb_stub import GdbStub  # noqa: E402
from machine import BUILD, IMAGES, Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

MEMORIES = ("512M", "2G", "8G", "32G")
MAPS = ("boot", "late")
TIMER_PORT, TIMER_HZ, TIMER_BITS = 0x608, 3579545, 24  # where SeaBIOS puts q35's
E_ENTRY = 24       # in an ELF header of 32 or 64 bits
PREF_ADDRESS = 0x258  # in a bzImage (Linux's boot protocol, 2.10): where the kernel is put, and entered in 32-bit mode


def main():
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for map_when in MAPS:
            for memory in MEMORIES:
                rows.append([memory, map_when, instructions(functools.partial(Machine, work), work, memory, map_when)])
    write_csv("boot", ["memory", "map", "instructions"], rows)
    publish("boot", "From Scrim's first instruction to Linux's first, one CPU:\n\n"
            + markdown(["memory", "map=", "millions of instructions"], [[memory, when, f"{count / 1e6:.2f}"] for memory, when, count in rows]))


def instructions(machine_of, work, memory, map_when):
    """Between the two breakpoints."""
    with machine_of(memory=memory, icount=1, options=f"map={map_when}", extra=["-S"]) as machine:
        stub = GdbStub(machine, work)
        stub.run_to_breakpoint(word(BUILD / "scrim.elf", E_ENTRY, "<I"))
        first = timer(machine)
        stub.run_to_breakpoint(word(IMAGES / "vmlinuz-cloud", PREF_ADDRESS, "<Q"))
        ticks = (timer(machine) - first) % (1 << TIMER_BITS)
        return ticks * 10**9 // TIMER_HZ


def timer(machine):
    """The ACPI timer of a machine that stands still."""
    text = machine.monitor(f"i /w {TIMER_PORT:#x}")
    return int(re.search(r"= (0x[0-9a-f]+)", text)[1], 16)


def word(path, offset, form):
    """A number in a file."""
    return struct.unpack_from(form, path.read_bytes(), offset)[0]


if __name__ == "__main__":
    main()
