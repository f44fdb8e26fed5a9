# SPDX-License-Identifier: BSD-2-Clause
"""The second machine itself: Debian boots bare in Bochs, is reached from inside and from outside, and ends in a way that is told. Its paging
is the manual's, but for what is known."""

import re

from emulated import BUILD
from registry import check, check_equal, test

POWER_OFF = "soft power off"
PAGING_GUEST = BUILD / "guest-image" / "paging_guest.elf"
CASES_AT_LEAST = 300_000
# See enum model_quirk: how Bochs differs from the manual, seen to be met.
EXCEPTIONS = {"top-global-ignored", "fault-unmarked", "ldt-narrow", "hole-ones"}


@test("bochs-bare", cost=20)
def bochs_bare(t):
    """The anchor: what fails on Scrim there and not here is Scrim's."""
    with t.bochs(scrim=False, cpu="corei7_haswell_4770") as machine:
        machine.wait_ready()
        check_equal(machine.must("grep -c ^processor /proc/cpuinfo"), "1", "CPUs")
        check("vmx" in machine.must("cat /proc/cpuinfo").split(), "the model has no VMX")
        check_equal(machine.run("exit 7")[0], 7, "exit status of a command")
        check_banner(machine)
        machine.send("poweroff -f")
        machine.wait_exit()
        check(POWER_OFF in (machine.panic or ""), f"it ended for another reason: {machine.panic}")


def check_banner(machine):
    """The kernel's banner, where /proc/iomem and /proc/kallsyms say that it is, is there in the machine's RAM."""
    code = next(line for line in machine.must("cat /proc/iomem").splitlines() if "Kernel code" in line)
    symbols = dict(reversed(line.split()[::2]) for line in machine.must("grep -wE '_text|linux_banner' /proc/kallsyms").splitlines())
    address = int(code.split("-")[0], 16) + int(symbols["linux_banner"], 16) - int(symbols["_text"], 16)
    check(machine.read(address, 16).startswith(b"Linux version "), f"no banner at {address:#x}")


# --- paging -----------------------------------------------------------------------------------------------------------


@test("bochs-paging", cost=25)
def bochs_paging(t):
    """The bare machine against the model (tests/guest/paging_guest), in all modes: a second emulator says that the model is the manual's."""
    inside = "/boot/paging_guest.elf"
    boot = ([f"multiboot {inside} quirks=bochs thin={t.pick(50, 1)}"], [(inside, PAGING_GUEST)])
    with t.bochs(cpu="ryzen", memory="128M", agent=False, boot=boot) as machine:
        machine.wait_console(r"^paging guest: (ok|FAILURE)", timeout=t.pick(300, 3600))
        text = machine.console
    differing = [line for line in text.splitlines() if line.startswith(("DIFFERS", "UNEXPECTED")) or line.endswith("FAILURE")]
    check(not differing, "\n".join(differing[:20]))
    cases = re.search(r"^(\d+) cases, hash [0-9a-f]+, 0 differ$", text, re.MULTILINE)
    check(cases and int(cases[1]) >= CASES_AT_LEAST, f"fewer cases than {CASES_AT_LEAST}:", text[-1000:])
    check_equal(set(re.findall(r"^exception (\S+): [1-9]\d* cases$", text, re.MULTILINE)), EXCEPTIONS, "exceptions of this emulator that were met")
    print(f"figure: {cases[1]} cases, none differs from the model")
