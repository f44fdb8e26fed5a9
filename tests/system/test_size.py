# SPDX-License-Identifier: BSD-2-Clause
"""Scrim is small, and says how small."""

import re

from machine import BUILD
from registry import check, check_equal, test

KIB, MIB = 1 << 10, 1 << 20
IMAGE_MAX = 312 * KIB
FIXED_MAX = 8 * MIB
RESERVES = {"": 4 * MIB, "reserve=64M shadow=4M": 64 * MIB}  # option: bytes, the default first


@test("size", cost=12)
def size(t):
    file_bytes = (BUILD / "scrim.elf").stat().st_size
    check(file_bytes <= IMAGE_MAX, f"scrim.elf has {file_bytes} bytes, more than {IMAGE_MAX}")
    for options, reserve in RESERVES.items():
        with t.machine(cpus=2, memory="6G", options=options) as machine:
            machine.wait_ready()
            memory = machine.status()["memory"]
            text = machine.must("scrimctl status")
        check(0 < memory["image_bytes"] <= IMAGE_MAX, f"the image takes {memory['image_bytes']} bytes, more than {IMAGE_MAX}")
        check(0 < memory["fixed_bytes"] <= FIXED_MAX, f"fixed part of {memory['fixed_bytes']} bytes at 6 GiB, more than {FIXED_MAX}")
        check(memory["image_bytes"] < memory["fixed_bytes"], f"the image is no part of the fixed part: {memory}")
        check_equal(memory["vmm_bytes"], memory["fixed_bytes"] + memory["v2m_bytes"] + reserve, "bytes in all")
        check_equal(memory["v2m_bytes"], 2 * (4 if "shadow=" in options else 2) * MIB, "bytes for V2M tables, of 2 CPUs")
        check(memory["reserve_formula"] in text, "status does not print the formula for reserve=")
        numbers = re.findall(r"\b4096 bytes\b", memory["reserve_formula"])
        check(len(numbers) == 2 and "reserve=" in memory["reserve_formula"], f"no formula: {memory['reserve_formula']}")
        print(f"figure: 6 GiB {options}: scrim.elf {file_bytes} bytes, in memory {memory['image_bytes']} bytes, "
              f"fixed part {memory['fixed_bytes'] / MIB:.2f} MiB, in all {memory['vmm_bytes'] / MIB:.2f} MiB")
