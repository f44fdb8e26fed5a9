#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints how many instructions lie between Scrim's first and Linux's first, by memory.

The machine is stopped by gdb at both. QEMU says how many instructions it has executed by then because it records the run.
"""

import functools
import pathlib
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

from gdb_stub import GdbStub  # noqa: E402
from machine import BUILD, IMAGES, Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

MEMORIES = ("512M", "2G", "8G", "32G")
MAPS = ("boot", "late")
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
    record = ["-S", "-seed", "1", "-icount", f"shift=0,rr=record,rrfile={work}/record", "-rtc", "base=2024-01-01T00:00:00,clock=vm"]
    with machine_of(memory=memory, options=f"map={map_when}", extra=record) as machine:
        stub = GdbStub(machine, work)
        stub.run_to_breakpoint(word(BUILD / "scrim.elf", E_ENTRY, "<I"))
        first = machine.qmp("query-replay")["icount"]
        stub.run_to_breakpoint(word(IMAGES / "vmlinuz-cloud", PREF_ADDRESS, "<Q"))
        return machine.qmp("query-replay")["icount"] - first


def word(path, offset, form):
    """A number in a file."""
    return struct.unpack_from(form, path.read_bytes(), offset)[0]


if __name__ == "__main__":
    main()
