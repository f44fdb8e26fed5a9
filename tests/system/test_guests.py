# SPDX-License-Identifier: BSD-2-Clause
"""Guests that are not Linux boot on Scrim as on the bare machine: a multiboot kernel with a module, and memtest86+."""

import pathlib
import re

from machine import BUILD
from registry import SOAK, TEST, check, check_equal, test

MULTIBOOT_GUEST = BUILD / "guest-image" / "multiboot_guest.elf"
MULTIBOOT_ARGS = "one two=three"
MAY_DIFFER = r"scrim: |loader: |map: |mem: "  # addresses, sizes and names; the guest itself checks that they make sense
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]

MEMTEST = pathlib.Path("/boot/memtest86+x64.bin")
MEMTEST_MEMORY = "64M"
MEMTEST_PASS_TIMEOUT = 3600


def multiboot_log(t, scrim):
    """Boots the guest and returns (QEMU's exit status, what it said that has to be the same on every machine)."""
    module = t.work / "module"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_bytes(b"The module's first line.\n" + bytes(range(256)) * 40 + b"\nThe module's last line.\n")
    # QEMU gives a multiboot kernel the file's name as its first word, and Scrim hands on what follows that word.
    args, initrd = (f"{MULTIBOOT_GUEST} {MULTIBOOT_ARGS}", f"{module} {module}") if scrim else (MULTIBOOT_ARGS, module)
    with t.machine(scrim=scrim, kernel=MULTIBOOT_GUEST, kernel_args=args, initrd=initrd, memory="128M", agent=False,
                   extra=DEBUG_EXIT) as machine:
        status = machine.wait_exit()
        return status, [line for line in machine.console.splitlines() if not re.match(MAY_DIFFER, line)]


@test("guest-multiboot", cost=5)
def multiboot(t):
    check(MULTIBOOT_GUEST.exists(), f"{MULTIBOOT_GUEST} is not built: run `make guest-build`")
    bare_status, bare = multiboot_log(t, False)
    check(bare_status == 33 and bare, f"on the bare machine it ended with {bare_status} (expected 33) and said\n" + "\n".join(bare))
    seen_status, seen = multiboot_log(t, True)
    check_equal(seen_status, bare_status, "exit status on Scrim")
    check(seen == bare, "bare:\n" + "\n".join(bare) + "\non Scrim:\n" + "\n".join(seen))


def memtest_machine(t):
    check(MEMTEST.exists(), f"{MEMTEST} is missing: install memtest86+ (`make setup`)")
    return t.machine(kernel=MEMTEST, kernel_args="console=ttyS0,115200", initrd=None, memory=MEMTEST_MEMORY, agent=False)


def check_no_errors(machine):
    """Every count of errors on its screen so far is 0."""
    counts = set(re.findall(r"Errors:\s+(\d+)", machine.console))
    check_equal(counts, {"0"}, "numbers of errors on memtest86+'s screen")


@test("guest-memtest-runs", cost=25, when=TEST)
def memtest_runs(t):
    with memtest_machine(t) as machine:
        machine.wait_console(r"Memtest86\+ v6")
        machine.wait_console(r"#5  \[Moving inversions, random pattern\]")
        machine.wait_console(r"#6  \[")
        check_no_errors(machine)


@test("guest-memtest-pass", cost=210, when=SOAK, timeout=MEMTEST_PASS_TIMEOUT + 60)
def memtest_pass(t):
    with memtest_machine(t) as machine:
        machine.wait_console(r"Pass:\s+1 +Errors: 0", timeout=MEMTEST_PASS_TIMEOUT)
        check_no_errors(machine)
