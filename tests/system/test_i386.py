# SPDX-License-Identifier: BSD-2-Clause
"""Debian's i386 kernels, with two-level and with PAE page tables, through all that can be done to memory: virtualized, scattered, shared,
brought home, under verified load by 32-bit programs."""

import hashlib

from machine import I386_INITRAMFS, IMAGES
from registry import check, check_equal, test
from test_switch import switch_many
from under_load import quiet_log, under_load

PAGE = 4096
WINDOW = 8 << 20  # what is shared, around most of the equal pages
CR4_PAE = 1 << 5
LINE = b"equal pages of a file in memory\n"  # of 32 bytes, so that every page of the file is equal
FILE_BYTES = 24 << 20
CHANGED_BYTES = 1 << 20
SCATTERED = 0.04  # of all pages
ROUNDS = (1, 10)
SWITCHES = (20, 500)
BACKENDS = ("shadow", "vtlb", "nested")  # it changes to each while pages are displaced


def paging_of(machine):
    """The OS's paging mode, as the hardware has it."""
    return "pae" if int(machine.monitor("info registers").split("CR4=")[1].split()[0], 16) & CR4_PAE else "two-level"


def fullest_window(machine):
    """Where in RAM most pages of the file lie. Looked for from outside."""
    start, end = machine.memory.ranges()[0]
    best = (0, 0)
    for window in range(start, end, WINDOW):
        content = machine.memory.read(window, WINDOW)
        equal = sum(content.startswith(LINE, at) and content[at:at + PAGE] == LINE * (PAGE // len(LINE)) for at in range(0, WINDOW, PAGE))
        best = max(best, (equal, window))
    check(best[0] > WINDOW // PAGE // 4, f"no {WINDOW >> 20} MiB have many pages of the file: {best[0]} at {best[1]:#x}")
    return best[1]


def sum_of_file(machine):
    return machine.must("md5sum </tmp/equal").split()[0]


def check_file(machine, content, when):
    check_equal(sum_of_file(machine), hashlib.md5(content).hexdigest(), f"sum of the file {when}")


def away_and_home(machine, backend, seed):
    """Once through everything. Returns (pages displaced, pages shared)."""
    content = LINE * (FILE_BYTES // len(LINE))
    machine.must(f"yes '{LINE.decode().strip()}' | head -c {FILE_BYTES} >/tmp/equal")
    machine.must(f"scrimctl virtualize --backend {backend} && scrimctl check")
    status = machine.status()
    check_equal((status["state"], status["backend"]), ("virtualized", backend), "state and back-end")
    machine.must(f"scrimctl scatter --fraction {SCATTERED} --seed {seed} --batch 256 && scrimctl check", 300)
    displaced = machine.status()["pages"]["displaced"]
    check(displaced > status["pages"]["managed"] * SCATTERED * 0.9, f"only {displaced} pages are displaced")
    check_file(machine, content, "scattered")
    window = fullest_window(machine)
    machine.must(f"scrimctl share --range {window:#x}-{window + WINDOW:#x} --batch 256 && scrimctl check", 300)
    shared = machine.status()["pages"]["shared"]
    check(shared > 256, f"only {shared} pages share")
    check_file(machine, content, "shared")
    for change in BACKENDS:
        machine.must(f"scrimctl virtualize --backend {change} && scrimctl check", 300)
        check_equal(machine.status()["backend"], change, "back-end")
        check_file(machine, content, f"on {change}")
    # Shared pages are written: with other bytes, and with what they hold.
    machine.must(f"yes 'other bytes, not the same lines.' | head -c {CHANGED_BYTES} | dd of=/tmp/equal conv=notrunc bs=4096 2>/dev/null")
    changed = (b"other bytes, not the same lines.\n" * CHANGED_BYTES)[:CHANGED_BYTES]
    content = changed + content[CHANGED_BYTES:]
    check_file(machine, content, "written while shared")
    machine.must("scrimctl devirtualize --batch 256 && scrimctl check", 600)
    check_file(machine, content, "home again")
    return displaced, shared


def i386(t, kernel, paging):
    check(I386_INITRAMFS.exists() and (IMAGES / f"vmlinuz-{kernel}").exists(), "the i386 kernels are missing: run `make setup`")
    with t.machine(cpus=2, memory="1G", kernel=kernel, initrd=I386_INITRAMFS, options="dma-free=all reserve=64M") as machine:
        machine.wait_ready()
        check_equal(machine.must("uname -m"), "i686", "the machine's name for itself")
        check_equal(paging_of(machine), paging, "paging mode")
        boot = machine.status()
        check_equal((boot["state"], boot["cpus_in_os"]), ("native", 2), "state and CPUs after boot")
        with quiet_log(machine), under_load(machine, stress=None) as load:
            switch_many(machine, t.pick(*SWITCHES))
            for seed in range(1, 1 + t.pick(*ROUNDS)):
                displaced, shared = away_and_home(machine, BACKENDS[-seed % 3], seed)
                after = machine.status()
                check_equal((after["state"], after["memory"], after["pages"]), ("native", boot["memory"], boot["pages"]),
                            "state, memory and pages at home")
        # The fixed work, for what it needs of a kernel; and the port, by a program that asks once.
        machine.must("work")
        check_equal(machine.must("ask 1 visit").split()[0], "0", "status of a request from CPU 1")
    print(f"figure: {paging}: {displaced} pages displaced, {shared} shared, all home; {load.figures()}")


@test("i386-686", cost=45)
def i386_686(t):
    i386(t, "686", "two-level")


@test("i386-686pae", cost=45)
def i386_686pae(t):
    i386(t, "686-pae", "pae")
