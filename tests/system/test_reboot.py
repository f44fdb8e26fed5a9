# SPDX-License-Identifier: BSD-2-Clause
"""Every way out of a running Linux - reset, power-off, panic, another kernel, sleep - goes as on the bare machine, from every state.

The states: memory native; virtualized, with pages displaced; guarded, since a CPU is offline.
"""

import json
import time

import cpus
import grub
from machine import KERNEL_ARGS
from registry import SOAK, check, check_equal, test

CPUS = 2
MEMORY = "512M"
STATES = ("native", "virtualized", "guarded")
# As /sys/kernel/reboot/type names them; kernel parameter reboot= takes their first letters. Without UEFI, efi falls through to others.
METHODS = ("acpi", "kbd", "triple", "pci", "bios")
PANIC = "panic=1"

# What QEMU tells of each way out of the bare machine, which test reboot-bare holds against it, and every other against Scrim.
RESET = {"guest": True, "reason": "guest-reset"}
OFF = {"guest": True, "reason": "guest-shutdown"}
EVENT_TIMEOUT = 120

RESET_BY = "echo {method} >/sys/kernel/reboot/type && reboot -f"
CRASH = "echo c >/proc/sysrq-trigger"


def enter(machine, state):
    """From NATIVE to `state`. Returns how many pages are displaced."""
    if state == "virtualized":
        machine.must("scrimctl virtualize")
        return cpus.displace(machine, 5)
    if state == "guarded":
        cpus.set_online(machine, 1, False)
        cpus.check_settled(machine, "native", {1})
    return 0


def wait_reset(machine, since):
    """The data of the first RESET after `since`; a reset has two, since SeaBIOS does the second itself."""
    while True:
        event = machine.wait_event("RESET", EVENT_TIMEOUT)
        if event["timestamp"]["seconds"] + event["timestamp"]["microseconds"] / 1e6 >= since:
            return event["data"]


def come_again(machine, command):
    """Sends `command`, which resets the machine; waits until Linux is up again."""
    before, since = machine.boot_id, time.time()
    machine.send(command)
    check_equal(wait_reset(machine, since), RESET, f"reset by: {command}")
    machine.wait_ready()
    check(machine.boot_id != before, "it was the same kernel that answered")


def reset(machine, method):
    come_again(machine, RESET_BY.format(method=method))


def panic(machine):
    come_again(machine, CRASH)
    check("sysrq triggered crash" in machine.console, "there was no panic")


def power_off(machine):
    machine.send("poweroff -f")
    check_equal(machine.wait_event("SHUTDOWN", EVENT_TIMEOUT)["data"], OFF, "power-off")
    check_equal(machine.wait_exit(), 0, "QEMU's exit status")


@test("reboot-bare", cost=30)
def reboot_bare(t):
    """What the others are compared with. SeaBIOS takes its time to boot the bare machine again: just the long run waits for it."""
    ways = [lambda machine, method=method: reset(machine, method) for method in METHODS] + [panic]
    if t.soak:
        with t.machine(scrim=False, cpus=CPUS, memory=MEMORY, args=PANIC, reboot=True) as machine:
            machine.wait_ready()
            for way in ways:
                way(machine)
            power_off(machine)
        return
    for method in METHODS + (None,):
        with t.machine(scrim=False, cpus=CPUS, memory=MEMORY, args=PANIC, reboot=True) as machine:
            machine.wait_ready()
            since = time.time()
            machine.send(RESET_BY.format(method=method) if method else CRASH)
            check_equal(wait_reset(machine, since), RESET, f"reset by {method or 'panic'}")


def reboot_from(state, methods):
    def reboots(t):
        times = t.pick(short=1, long=10)
        with t.machine(cpus=CPUS, memory=MEMORY, args=PANIC, options="dma-free=all", reboot=True) as machine:
            machine.wait_ready()
            for method in t.pick(short=methods, long=METHODS) * times:
                enter(machine, state)
                reset(machine, method)
                cpus.check_settled(machine, "native")
            for _ in range(times):
                enter(machine, state)
                panic(machine)
                cpus.check_settled(machine, "native")
            enter(machine, state)
            power_off(machine)
        print(f"figure: from state {state}: {times} resets each by {' '.join(t.pick(short=methods, long=METHODS))} and by panic, "
              f"Scrim NATIVE after each; power-off; events as on the bare machine")

    return reboots


for _state, _methods, _cost in (("native", METHODS, 35), ("virtualized", ("acpi", "triple"), 20), ("guarded", ("kbd",), 15)):
    test(f"reboot-{_state}", cost=_cost)(reboot_from(_state, _methods))


@test("reboot-efi", cost=120, when=SOAK)
def reboot_efi(t):
    """Reset by the firmware's runtime service, from each state; GRUB boots Scrim again from its image."""
    for scrim in (False, True):
        work = t.work / ("scrim" if scrim else "bare")
        work.mkdir(parents=True)
        commands = grub.scrim_commands(KERNEL_ARGS) if scrim else grub.linux_commands(KERNEL_ARGS)
        boot = grub.iso_arguments(grub.make_iso(work, commands))
        with t.machine(scrim=scrim, cpus=CPUS, memory="1G", boot=boot, firmware="uefi", reboot=True) as machine:
            machine.wait_ready()
            for state in ("native", "guarded") if scrim else ("native",):
                machine.must("test -d /sys/firmware/efi")
                if state == "guarded":
                    enter(machine, state)
                reset(machine, "efi")
                if scrim:
                    cpus.check_settled(machine, "native")
            if scrim:
                machine.must("scrimctl virtualize")
                reset(machine, "efi")
                cpus.check_settled(machine, "native")
            power_off(machine)
    print("figure: UEFI: reset by its runtime service from each state, power-off; events as on the bare machine")


# --- kexec ------------------------------------------------------------------------------------------------------------

# The second kernel's initramfs has all that the first has but the second kernel; so that it can go on to a third, it is given that.
LOAD_KERNEL = """
cd /
cp boot/initramfs tmp/initrd
size=$(stat -c %s tmp/initrd)
truncate -s $(((size + 3) / 4 * 4)) tmp/initrd
find boot | cpio -o -H newc >>tmp/initrd 2>/dev/null
kexec {call} -l boot/vmlinuz --initrd=tmp/initrd --reuse-cmdline
status=$?
rm tmp/initrd
exit $status
"""
CALLS = ("-s", "-c")  # kexec_file_load, kexec_load


def jump(machine, command):
    """Into another kernel."""
    before = machine.boot_id
    machine.send(command)
    machine.wait_ready()
    check(machine.boot_id != before, "it was the same kernel that answered")
    check_equal(machine.must("nproc"), str(machine.cpus), "nproc in the next kernel")


def verified_load(machine):
    """A few seconds of it. Returns MiB verified."""
    return json.loads(machine.must("load --threads 4 --mib 48 --seconds 2", 300).splitlines()[-1])["bytes_verified"] >> 20


def check_kept(machine, state, displaced):
    """Scrim is in the next kernel what it was in the last one, and still works. Ends in NATIVE. Returns MiB verified."""
    status = cpus.check_settled(machine, "virtualized" if state == "virtualized" else "native")
    check_equal(status["pages"]["displaced"], displaced, "pages displaced")
    mib = verified_load(machine)
    cpus.switch_there_and_back(machine, "virtualized" if state == "virtualized" else "native")
    if state == "virtualized":
        machine.must("scrimctl devirtualize && scrimctl check")
    cpus.check_settled(machine, "native")
    return mib


def kexec(t, states, times):
    mib = 0
    with t.machine(cpus=CPUS, memory="1G", options="dma-free=all", kexec=True) as machine:
        machine.wait_ready()
        for number, state in enumerate(states * times):
            machine.must(LOAD_KERNEL.format(call=CALLS[(number // len(states) + number) % 2]))
            displaced = enter(machine, state)
            machine.spawn("load --threads 4 --mib 48 --seconds 0")
            jump(machine, "kexec -e")
            mib += check_kept(machine, state, displaced)
    print(f"figure: kexec {times} times from {' and '.join(states)}: all CPUs in Scrim, pages as they were, {mib} MiB verified in the next kernel")


@test("kexec-native", cost=35)
def kexec_native(t):
    kexec(t, ("native", "guarded"), t.pick(short=1, long=10))


@test("kexec-virtualized", cost=25)
def kexec_virtualized(t):
    kexec(t, ("virtualized",), t.pick(short=1, long=10))


# Linux keeps this much for the crash kernel, which unpacks its initramfs there. The rest is what the first kernel has.
CRASH_RESERVE = "crashkernel=256M"
CRASH_ARGS = "irqpoll reset_devices"


def crash(t, state, cpu, one_cpu):
    """The crash kernel comes up on the CPU that crashed, alone; /proc/vmcore shows the first kernel's memory, displaced pages too."""
    with t.machine(cpus=CPUS, memory="1G", args=CRASH_RESERVE, options="dma-free=all", kexec=True) as machine:
        machine.wait_ready()
        machine.must(f"kexec -p /boot/vmlinuz --initrd=/boot/initramfs --command-line='{KERNEL_ARGS} {CRASH_ARGS} {one_cpu}'")
        displaced = enter(machine, state)
        before = machine.boot_id
        machine.send(f"exec taskset -c {cpu} sh -c 'echo c >/proc/sysrq-trigger'")
        machine.wait_ready()
        check(machine.boot_id != before, "it was the same kernel that answered")
        machine.must("test -e /proc/vmcore")
        check_equal(machine.must("nproc"), "1", "nproc in the crash kernel")
        # Linux numbers its CPUs anew: what is 0 now is the one that crashed.
        parked = ["guarded" if index == cpu else "parked" for index in range(CPUS)]
        status = machine.status()
        if state == "virtualized":
            parked[cpu] = "translating"
        check_equal((status["state"], cpus.modes(status)), ("virtualized" if displaced else "guarded", parked), "state and CPUs")
        check_equal(status["pages"]["displaced"], displaced, "pages displaced")
        machine.must("scrimctl check")
        if one_cpu.startswith("maxcpus") and cpu == 0:
            cpus.set_online(machine, 1, True)
            cpus.check_settled(machine, "virtualized" if displaced else "native")
        size = int(machine.must(f"dd if=/proc/vmcore bs=1M count={t.pick(short=16, long=4096)} 2>/dev/null | wc -c", 300))
        check(size >= t.pick(short=16 << 20, long=512 << 20), f"{size} bytes could be read of /proc/vmcore")
        if state == "virtualized":
            machine.must("scrimctl devirtualize && scrimctl check")
        machine.must("scrimctl virtualize && scrimctl devirtualize && scrimctl check")
        power_off(machine)
    print(f"figure: crash kernel from state {state}, crashed on CPU {cpu}, {one_cpu}: up in Scrim, {displaced} pages as they were")


@test("crash-kexec", cost=30)
def crash_kexec(t):
    crash(t, "virtualized", 0, "maxcpus=1")
    crash(t, "native", 1, "nr_cpus=1")


@test("crash-kexec-all", cost=900, when=SOAK)
def crash_kexec_all(t):
    for _ in range(10):
        crash(t, "native", 0, "maxcpus=1")
        crash(t, "virtualized", 1, "nr_cpus=1")
        crash(t, "guarded", 0, "nr_cpus=1")


# --- sleep ------------------------------------------------------------------------------------------------------------

# In suspend to idle this emulated machine does not wake by its real-time clock, bare or not; a key wakes it.
SLEEP = """
for device in /sys/bus/serio/devices/*; do echo enabled >$device/power/wakeup; done
rm -f /tmp/slept
(sleep 1; echo mem >/sys/power/state; echo $? >/tmp/slept) >/dev/null 2>&1 &
"""
KEY = [{"type": "qcode", "data": "a"}]


def sleep_and_wake(machine):
    """Suspends to idle; a key wakes it."""
    machine.must(SLEEP)
    deadline = time.monotonic() + EVENT_TIMEOUT
    # The console is asleep too: that it fell silent is all that it says, and the agent cannot be asked.
    machine.wait_console(r"printk: Suspending console")
    time.sleep(2)
    while True:
        check(time.monotonic() < deadline, "it does not wake")
        machine.qmp("send-key", keys=KEY)
        time.sleep(1)
        if "PM: suspend exit" in machine.console:
            break
    check_equal(machine.must("while ! [ -e /tmp/slept ]; do sleep 0.1; done; cat /tmp/slept"), "0", "status of the write to /sys/power/state")


@test("suspend", cost=25)
def suspend(t):
    """Suspend to RAM would leave Scrim: it is not offered, and what is asked for it suspends to idle, from which all comes back."""
    with t.machine(scrim=False, cpus=CPUS, memory=MEMORY) as machine:
        check_equal(machine.wait_ready().must("cat /sys/power/mem_sleep"), "s2idle [deep]", "ways to sleep of the bare machine")
    for state in t.pick(short=("virtualized",), long=STATES):
        with t.machine(cpus=CPUS, memory=MEMORY, options="dma-free=all") as machine:
            machine.wait_ready()
            check_equal(machine.must("cat /sys/power/mem_sleep"), "[s2idle]", "ways to sleep")
            check(machine.run("echo deep >/sys/power/mem_sleep")[0] != 0, "suspend to RAM can be asked for")
            displaced = enter(machine, state)
            before = machine.boot_id
            sleep_and_wake(machine)
            check_equal(machine.must("cat /proc/sys/kernel/random/boot_id"), before, "boot id")
            status = cpus.check_settled(machine, "virtualized" if displaced else "native", {1} if state == "guarded" else ())
            check_equal(status["pages"]["displaced"], displaced, "pages displaced")
            verified_load(machine)
            if displaced:
                machine.must("scrimctl devirtualize && scrimctl check")
        print(f"figure: suspend in state {state}: no deep, suspended to idle, woken, {displaced} pages as they were")
