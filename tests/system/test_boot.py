# SPDX-License-Identifier: BSD-2-Clause
"""Debian's kernels boot on Scrim: every CPU is there, native, and no memory is gone but Scrim's own."""

import iomem
from registry import BOTH, SOAK, check, check_equal, test

KERNELS = {"cloud": 10, "full": 20}  # name: cost in seconds
CPUS = (1, 2, 4)
MEMORIES = ("512M", "2G", "6G")
# Every kernel, number of CPUs and memory size, and every pair of kernel and size.
IN_EACH_RUN = {("cloud", 1, "512M"), ("cloud", 4, "2G"), ("cloud", 2, "6G"), ("full", 4, "512M"), ("full", 1, "2G"), ("full", 2, "6G")}

# Besides what Scrim says it keeps: the page for the CPUs' start below 1 MiB, and what SeaBIOS takes or leaves.
UNEXPLAINED_MAX = 64 << 10
SEABIOS_LOW = (0x1000, 0x9FC00)
SEABIOS_TOP = 128 << 10  # at the end of the RAM below 4 GiB
MIB = 1 << 20


def firmware_ram(machine):
    """The RAM that SeaBIOS tells the bare machine of."""
    (low_start, low_end), *high = machine.memory.ranges()
    return [SEABIOS_LOW, (low_start + MIB, low_end - SEABIOS_TOP)] + high


def check_memory(machine, status):
    """RAM that the OS sees is the bare machine's less what `status` says is Scrim's."""
    seen = iomem.ram(machine.must("cat /proc/iomem"))
    bare = firmware_ram(machine)
    invented = iomem.subtract(seen, bare)
    check(iomem.total(invented) <= UNEXPLAINED_MAX, "RAM that the bare machine has not:", iomem.show(invented))
    missing = iomem.subtract(bare, seen)
    kept = status["memory"]["vmm_bytes"]
    check(kept <= iomem.total(missing) <= kept + UNEXPLAINED_MAX,
          f"Scrim keeps {kept} bytes, but the OS lacks {iomem.total(missing)}:", iomem.show(missing))
    available = 1024 * int(machine.must("awk '/^MemTotal/ { print $2 }' /proc/meminfo"))
    least = iomem.total(seen) * 95 // 100 - 96 * MIB
    check(available >= least, f"MemTotal is {available} bytes of {iomem.total(seen)} bytes of RAM")


def check_native(machine, status, cpus):
    """The machine is NATIVE, with every CPU in the OS and nothing in its access path."""
    check_equal(status["state"], "native", "state")
    modes = [cpu["mode"] for cpu in status["cpus"]]
    check_equal(modes, ["native"] * cpus, "CPUs")
    check_equal(machine.must("nproc"), str(cpus), "nproc")


def boot(kernel, cpus, memory):
    def boots(t):
        with t.machine(kernel=kernel, cpus=cpus, memory=memory) as machine:
            machine.wait_ready()
            status = machine.status()
            check_native(machine, status, cpus)
            check_memory(machine, status)
            check_equal(machine.run("scrimctl check")[0], 0, "exit status of scrimctl check")

    return boots


for _kernel, _cost in KERNELS.items():
    for _cpus in CPUS:
        for _memory in MEMORIES:
            _when = BOTH if (_kernel, _cpus, _memory) in IN_EACH_RUN else SOAK
            test(f"boot-{_kernel}-{_cpus}cpu-{_memory}", cost=_cost, when=_when)(boot(_kernel, _cpus, _memory))
