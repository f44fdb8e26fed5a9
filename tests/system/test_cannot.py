# SPDX-License-Identifier: BSD-2-Clause
"""Where Scrim cannot serve it says why in one line, and boots the module natively if there is one to boot."""

import re
import time

from machine import CPU_MODEL, IMAGES, KERNEL_ARGS, scrim_arguments
from registry import check, check_equal, test

SETTLE_SECONDS = 3


def scrim_lines(machine):
    """What Scrim itself has said."""
    return [line for line in machine.console.splitlines() if line.startswith("scrim: ")]


def check_said_once(machine, pattern):
    """One line, and only one, gives this reason."""
    matching = [line for line in scrim_lines(machine) if re.search(pattern, line, re.IGNORECASE)]
    check(len(matching) == 1, f"lines that match /{pattern}/: {len(matching)}, expected 1; Scrim said\n" + "\n".join(scrim_lines(machine)))


def boots_natively(t, pattern, **how):
    """The reason is given, and Linux runs without Scrim."""
    with t.machine(**how) as machine:
        machine.wait_ready()
        check_said_once(machine, pattern)
        status, output = machine.run("scrimctl status")
        check_equal(status, 1, f"exit status of scrimctl where Scrim is not ({output.strip()})")
        check("scrim" in output.lower(), f"scrimctl does not say that Scrim is absent: {output!r}")
        check_equal(machine.must("nproc"), str(machine.cpus), "nproc")


def halts(t, pattern, modules, **how):
    """The reason is given, then every CPU halts: no reboot, no further word."""
    with t.machine(boot=scrim_arguments("", modules), agent=False, **how) as machine:
        machine.wait_console(r"^scrim: .*(?i:%s)" % pattern, timeout=60)
        said = machine.console
        time.sleep(SETTLE_SECONDS)
        check_said_once(machine, pattern)
        check_equal(machine.console, said, "console after the line")
        check(machine.alive, "QEMU ended: the machine rebooted or shut down instead of halting")
        registers = machine.monitor("info registers -a")
        check(registers.count("HLT=1") == machine.cpus, "not every CPU halts:\n" + registers)


def broken_kernel(t, name, content):
    path = t.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{path} {KERNEL_ARGS}"


@test("cannot-no-svm", cost=8)
def no_svm(t):
    boots_natively(t, r"SVM", cpu=f"{CPU_MODEL},-svm", cpus=2)


@test("cannot-unknown-option", cost=8)
def unknown_option(t):
    boots_natively(t, r"frobnicate", options="frobnicate=1", cpus=2)


@test("cannot-bad-value", cost=8)
def bad_value(t):
    boots_natively(t, r"reserve", options="reserve=many")


@test("cannot-too-little-memory", cost=8)
def too_little_memory(t):
    boots_natively(t, r"reserve=", options="reserve=64G")


@test("cannot-missing-module", cost=4)
def missing_module(t):
    halts(t, r"module", [])


@test("cannot-truncated-kernel", cost=4)
def truncated_kernel(t):
    whole = (IMAGES / "vmlinuz-cloud").read_bytes()
    halts(t, r"truncated|cut short|shorter", [broken_kernel(t, "half", whole[: len(whole) // 2])])


@test("cannot-truncated-header", cost=4)
def truncated_header(t):
    whole = (IMAGES / "vmlinuz-cloud").read_bytes()
    halts(t, r"truncated|cut short|shorter|neither", [broken_kernel(t, "header", whole[:600])])


@test("cannot-wrong-image", cost=4)
def wrong_image(t):
    halts(t, r"not a|neither|no kernel", [broken_kernel(t, "text", b"This is not a kernel.\n" * 4000)], cpus=2)


@test("cannot-tiny-machine", cost=4)
def tiny_machine(t):
    halts(t, r"memory|RAM", [f"{IMAGES}/vmlinuz-cloud {KERNEL_ARGS}"], memory="24M")
