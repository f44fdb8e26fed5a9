# SPDX-License-Identifier: BSD-2-Clause
"""The second machine itself: Debian boots bare in Bochs, is reached from inside and from outside, and ends in a way that is told."""

from registry import check, check_equal, test

POWER_OFF = "soft power off"


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
