# SPDX-License-Identifier: BSD-2-Clause
"""Memory blocks of Linux's are lent to Scrim for frames, and come back. Debian's amd64 kernel can do it; where one cannot, it is said."""

import re

import cpus
import iomem
import test_reboot
from registry import check, check_equal, test
from under_load import quiet_log, under_load

MIB = 1 << 20
LENT = 128 * MIB
OPTIONS = "dma-free=all reserve=8M"
RESERVE_FRAMES = 7 * MIB // 4096
# What Linux says of memory that goes and comes.
SAID_OF_BLOCKS = re.compile(r"^(Offlined Pages \d+|Built \d+ zonelists, mobility grouping (on|off)\.  Total pages: \d+|Policy zone: \w+"
                            r"|Fallback order for Node 0: 0 ?|page_reporting:)")
BLOCKS = "cd /sys/devices/system/memory; grep -l online memory*/state | wc -l"


def online_blocks(machine):
    return int(machine.must(BLOCKS))


def lent_ranges(status):
    return [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["lent"]]


def away(machine, count, first=64 * MIB):
    """Moves so many pages, which the reserve alone would serve too; says how many of them lie in lent frames."""
    words = f"$(seq {first} 4096 {first + (count - 1) * 4096})"
    output = machine.must(f"scrimctl move {words}", 300)
    frames = [int(text, 16) for text in re.findall(r"-> (0x[0-9a-f]+)", output)]
    check_equal(len(frames), count, "pages moved")
    lent = lent_ranges(machine.status())
    return sum(1 for frame in frames if any(start <= frame < end for start, end in lent))


def lend(machine, boot):
    """Lends, and checks what is said of it. Returns the number of memory blocks that went offline."""
    before = online_blocks(machine)
    said = machine.must(f"scrimctl lend {LENT >> 20}M", 300)
    status = machine.status()
    check("lent to Scrim" in said, f"lend says: {said}")
    check_equal(status["pages"]["lent_frames"], LENT // 4096, "frames lent")
    check_equal(sum(end - start for start, end in lent_ranges(status)), LENT, "bytes in lent ranges")
    check_equal(status["pages"]["free_frames"], boot["pages"]["free_frames"] + LENT // 4096, "free frames")
    machine.must("scrimctl check")
    return before - online_blocks(machine)


@test("lend-full", cost=60)
def lend_full(t):
    """Lent, used, all home, given back, under load; what is needed is not given back."""
    with t.machine(kernel="full", cpus=2, memory="1G", options=OPTIONS) as machine:
        machine.wait_ready()
        boot = machine.status()
        ram = iomem.ram(machine.must("cat /proc/iomem"))
        with quiet_log(machine, SAID_OF_BLOCKS), under_load(machine, mib=32, stress=None, threads=2) as load:
            for _ in range(t.pick(1, 10)):
                blocks = lend(machine, boot)
                check(blocks > 0, "no memory block went offline")
                machine.must("scrimctl virtualize")
                used = away(machine, RESERVE_FRAMES + 1024)
                machine.must("scrimctl scatter --range 128M-160M --batch 256 >/dev/null && scrimctl check")
                status, output = machine.run("scrimctl lend 0")
                check(status == 1 and len(output.strip().splitlines()) == 1, f"lend 0 while lent frames hold pages: status {status}: {output}")
                kept = machine.status()["pages"]["lent_frames"]
                machine.must("scrimctl check && scrimctl devirtualize && scrimctl check")
                machine.must("scrimctl lend 0", 300)
                after = machine.status()
                check_equal((after["state"], after["pages"], after["memory"]), ("native", boot["pages"], boot["memory"]), "at the end")
                check_equal(machine.must("cd /sys/devices/system/memory; grep -L online memory*/state || true"), "", "blocks that are still offline")
        check_equal(iomem.ram(machine.must("cat /proc/iomem")), ram, "RAM by /proc/iomem")
    check(used > 0, "no page was moved into a lent frame")
    print(f"figure: {LENT >> 20} MiB lent in {blocks} memory blocks, {used} of {RESERVE_FRAMES + 1024} pages moved into lent frames, "
          f"refused to give back while they were ({kept} frames still lent), then home and online again; {load.figures()}")


HIDE_BLOCKS = "mount -t tmpfs none /sys/devices/system/memory"  # as of a kernel without CONFIG_MEMORY_HOTREMOVE


@test("lend-cannot", cost=8)
def lend_cannot(t):
    """Of a kernel that cannot put memory offline it is said, and what can be done instead; more than there is is not lent."""
    with t.machine(cpus=2, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        before = machine.status()
        online = online_blocks(machine)
        status, much = machine.run("scrimctl lend 4G")
        check_equal(status, 1, f"exit status of a lend of more than there is ({much})")
        check_equal(len(much.strip().splitlines()), 1, f"lines of {much}")
        check_equal(online_blocks(machine), online, "memory blocks online after the refusal")
        machine.must(HIDE_BLOCKS)
        status, output = machine.run("scrimctl lend 128M")
        check_equal(status, 1, f"exit status of lend ({output})")
        check_equal(len(output.strip().splitlines()), 1, f"lines of {output}")
        for word in ("cannot put memory offline", "CONFIG_MEMORY_HOTREMOVE", "reserve="):
            check(word in output, f"lend does not say {word!r}: {output}")
        after = machine.status()
        check_equal((after["pages"], after["ranges"]), (before["pages"], before["ranges"]), "pages and ranges after the refusals")
    print(f"figure: more than there is: {much.strip()}")
    print(f"figure: on a kernel that cannot: {output.strip()}")


@test("lend-kexec", cost=50)
def lend_kexec(t):
    """Another kernel owns all memory again: what is in lent frames comes home before it starts."""
    with t.machine(kernel="full", cpus=2, memory="1G", options=OPTIONS, kexec=True) as machine:
        machine.wait_ready()
        boot = machine.status()
        lend(machine, boot)
        machine.must("scrimctl virtualize")
        used = away(machine, RESERVE_FRAMES + 1024)
        check(used > 0, "no page was moved into a lent frame")
        machine.must("scrimctl retire 0x6000000 0x6001000 0x7000000")
        check_equal(machine.status()["pages"]["retired"], 3, "frames retired")
        machine.must(test_reboot.LOAD_KERNEL.format(call=test_reboot.CALLS[0]))
        test_reboot.jump(machine, "kexec -e")
        check_equal(machine.status()["pages"]["lent_frames"], 0, "frames lent in the next kernel")
        check_equal(machine.status()["pages"]["retired"], 0, "frames retired in the next kernel: what stood for them may have been lent")
        machine.must("scrimctl check")
        mib = test_reboot.verified_load(machine)
        machine.must("scrimctl devirtualize && scrimctl check")
        cpus.check_settled(machine, "native")
        check_equal(machine.status()["pages"], boot["pages"], "pages at the end")
    print(f"figure: kexec with {used} pages in lent frames: none is lent in the next kernel, {mib} MiB verified there")


@test("lend-crash", cost=40)
def lend_crash(t):
    """The crash kernel comes up while lent frames hold pages, and reads the first kernel's memory; a reset gives all back."""
    with t.machine(kernel="full", cpus=2, memory="1G", args=f"{test_reboot.CRASH_RESERVE} {test_reboot.PANIC}", options=OPTIONS, kexec=True,
                   reboot=True) as machine:
        machine.wait_ready()
        boot = machine.status()
        machine.must("kexec -p /boot/vmlinuz --initrd=/boot/initramfs "
                     f"--command-line='{test_reboot.KERNEL_ARGS} {test_reboot.CRASH_ARGS} nr_cpus=1'")
        lend(machine, boot)
        machine.must("scrimctl virtualize")
        used = away(machine, RESERVE_FRAMES + 1024)
        before = machine.boot_id
        machine.send(test_reboot.CRASH)
        machine.wait_ready()
        check(machine.boot_id != before, "it was the same kernel that answered")
        machine.must("test -e /proc/vmcore && scrimctl check && dd if=/proc/vmcore bs=1M count=16 of=/dev/null 2>/dev/null")
        machine.must("scrimctl devirtualize && scrimctl check")
        status = machine.status()
        check_equal((status["pages"]["displaced"], status["pages"]["lent_frames"]), (0, 0), "pages displaced, frames lent in the crash kernel")
        test_reboot.reset(machine, "acpi")
        cpus.check_settled(machine, "native")
        lend(machine, boot)
        machine.must("scrimctl virtualize")
        away(machine, RESERVE_FRAMES + 1024)
        test_reboot.reset(machine, "acpi")
        status = cpus.check_settled(machine, "native")
        check_equal(status["pages"], boot["pages"], "pages after a reset")
    print(f"figure: crash kernel with {used} pages in lent frames: all home there, none lent; a reset with as many: as after the first boot")
