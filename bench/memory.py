#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints what Scrim takes of the machine's memory: its image, what it reserves, and its map against pages displaced; and Xen's.

Xen's is what its dom0 does not get where it gets all, as dom0 says it; BitVisor's and Jailhouse's are what they reserve by default.
"""

import functools
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

import xen  # noqa: E402
from machine import KERNEL_ARGS, Machine  # noqa: E402
from results import markdown, publish, write_csv  # noqa: E402

MIB = 1 << 20
MACHINES = (("512M", ""), ("8G", ""), ("32G", ""), ("8G", "reserve=320M"))
SCATTERED, FIRST = (4, 64, 1024, 4096), 4 << 30  # MiB, from an address on
XEN_MEMORY = "1G"
CITED = (("BitVisor", "128 MiB reserved"), ("Jailhouse", "82 MiB reserved by its demonstration"))


def main():
    with tempfile.TemporaryDirectory() as work:
        machine_of = functools.partial(Machine, work)
        own = [[memory, options or "(default)", *sizes(machine_of, memory, options)] for memory, options in MACHINES]
        maps = map_bytes(machine_of)
        taken = xen_kib(machine_of)
    write_csv("memory", ["mib_scattered", "pages_displaced", "map_bytes"], maps)
    text = "Scrim's, by the machine's memory, one CPU:\n\n"
    text += markdown(["memory", "options", "image, KiB", "fixed part, KiB", "reserved in all, MiB"], own)
    text += "\nThe map, against pages displaced by a scatter of one range:\n\n"
    text += markdown(["scattered", "pages displaced", "map, KiB", "bytes a page"],
                     [[f"{mib} MiB", f"{pages:,}", f"{size / 1024:,.0f}", f"{size / pages:.2f}" if pages else "-"] for mib, pages, size in maps])
    text += f"\nOthers. Xen {xen.version()}: of {XEN_MEMORY} its dom0 (PV), which is given all, gets {taken / 1024:.0f} MiB less. "
    publish("memory", text + "As cited by themselves: " + "; ".join(f"{name}, {what}" for name, what in CITED) + ".\n")


def sizes(machine_of, memory, options):
    """Image and fixed part in KiB, all in MiB."""
    with machine_of(memory=memory, options=options) as machine:
        machine.wait_ready()
        seen = machine.status()["memory"]
    return [f"{seen['image_bytes'] / 1024:.0f}", f"{seen['fixed_bytes'] / 1024:,.0f}", f"{seen['vmm_bytes'] / MIB:.1f}"]


def map_bytes(machine_of):
    """[[MiB scattered, pages displaced, bytes of the map in use]]"""
    found = []
    with machine_of(memory="8G", options="dma-free=all reserve=320M") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize >/dev/null")
        for mib in (0, *SCATTERED):
            if mib:
                machine.must(f"scrimctl scatter --range {FIRST:#x}-{FIRST + mib * MIB:#x} --seed 1 --batch 256 >/dev/null", 1800)
            status = machine.status()
            found.append([mib, status["pages"]["displaced"], status["memory"]["map_bytes"]])
            machine.must("scrimctl devirtualize --batch 256 >/dev/null && scrimctl virtualize >/dev/null", 1800)
    return found


def xen_kib(machine_of):
    """KiB of RAM that dom0 does not have."""
    script = "cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb"
    with machine_of(cpus=1, scrim=xen.IMAGE, options=re.sub(r" dom0_mem=\S+", "", xen.OPTIONS), memory=XEN_MEMORY, kernel=xen.KERNEL, agent=False,
                    kernel_args=KERNEL_ARGS.replace("console=ttyS0", "console=hvc0"), files={"autorun": script}) as machine:
        machine.wait_exit(600)
        given = int(machine.second.split()[0])
        return int(re.search(r"System RAM: \d+MB \((\d+)kB\)", machine.console)[1]) - given


if __name__ == "__main__":
    main()
