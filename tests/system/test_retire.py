# SPDX-License-Identifier: BSD-2-Clause
"""Frames are retired under load, whatever is in them, and never used again: they are overwritten from outside, and nobody sees it."""

import base64
import json
import random
import re
import struct

import test_reboot
import vtd
from machine import ROOT
from registry import SOAK, check, check_equal, test
from test_move import CHUNK, ONES, PAGE, fingerprint, kernel_code, random_pages, table_pages
from test_net import bring_up, net_machine, under_traffic
from under_load import STRESS, quiet_log, under_load

OPTIONS = "dma-free=all reserve=64M"
OPTIONS_VTD = "reserve=64M"
SLAB = 1 << 7  # of /proc/kpageflags
DIRECT_MAP = 0xFFFF888000000000  # of the kernel without KASLR
PAGES_AT_HOME = 16  # a random permutation leaves about one
PER_CPU_PAGES = 16  # at the beginning of each CPU's area: what is static


def slab_pages(machine, rng, count):
    """Pages of the kernel's slabs, as it flags them."""
    raw = machine.must("dd if=/proc/kpageflags bs=8 2>/dev/null | base64", 300)
    flags = [entry for entry, in struct.iter_unpack("<Q", base64.b64decode(raw))]
    return rng.sample([number * PAGE for number, entry in enumerate(flags) if entry & SLAB], count)


def per_cpu_pages(machine, rng, count):
    """Pages of the CPUs' own areas: GS leads there while a CPU is in the kernel."""
    found = set()
    while len(found) < machine.cpus:
        bases = (int(base, 16) for base in re.findall(r"^GS =\w+ ([0-9a-f]{16})", machine.monitor("info registers -a"), re.MULTILINE))
        found |= {base - DIRECT_MAP for base in bases if DIRECT_MAP <= base < DIRECT_MAP + machine.memory_bytes}
    return rng.sample([base + at * PAGE for base in sorted(found) for at in range(PER_CPU_PAGES)], count)


def ranges(parts):
    """[(start, end)] of a list in the status."""
    return [(int(part["start"], 16), int(part["end"], 16)) for part in parts]


def retired_frames(status):
    """The set of retired frames, as the status lists them."""
    return {frame for start, end in ranges(status["ranges"]["retired"]) for frame in range(start, end, PAGE)}


def managed_chunks(status):
    """The set of 2 MiB of which anything is managed."""
    return {at & ~(CHUNK - 1) for start, end in ranges(status["ranges"]["managed"]) for at in range(start & ~(CHUNK - 1), end, CHUNK)}


def check_left(machine, frames):
    """All is home but the pages whose frames these were; what is managed is the 2 MiB around each."""
    status = machine.status()
    check_equal(status["state"], "virtualized", "state")
    check_equal(retired_frames(status), set(frames), "retired frames")
    check_equal(status["pages"]["retired"], len(frames), "frames counted as retired")
    check_equal(status["pages"]["displaced"], len(frames), "displaced pages")
    check_equal(managed_chunks(status), {frame & ~(CHUNK - 1) for frame in frames}, "2 MiB that stay managed")
    machine.must("scrimctl check")


def spoil(machine, frames):
    """The memory of the frames fails altogether."""
    for frame in frames:
        machine.memory.write(frame, ONES)


def check_untouched(machine, frames):
    """Nobody has written there since."""
    for frame in frames:
        check(machine.memory.read(frame, PAGE) == ONES, f"somebody wrote to the retired frame {frame:#x}")


def choose(machine, rng, count):
    """So many frames of any RAM; the first 20 are kernel code, page tables, slab and CPUs' own."""
    kernel = [*rng.sample(kernel_code(machine), 5), *table_pages(machine, rng, 5), *slab_pages(machine, rng, 5), *per_cpu_pages(machine, rng, 5)]
    check_equal(len(set(kernel)), 20, "frames of the kernel's")
    others = [page for page in random_pages(machine, rng, count) if page not in kernel]
    return kernel + others[: count - len(kernel)]


def retire(machine, frames):
    """Retires them in one command. Returns the pages that moved, and what scrimctl said besides."""
    status, output = machine.run("scrimctl retire --json " + " ".join(f"{frame:#x}" for frame in frames) + " 2>/tmp/said", 300)
    said = machine.must("cat /tmp/said")
    check_equal(status, 0, f"exit status of retire ({said})")
    retired = json.loads(output)["retired"]
    check_equal([int(entry["machine"], 16) for entry in retired], list(frames), "frames retired")
    return sum(entry["pages_moved"] for entry in retired), said


BACKENDS = ("nested", "shadow", "vtlb")
REVERSES = ("backmap", "refcount", "search")


@test("retire-under-load", cost=40)
def retire_under_load(t):
    """From NATIVE, one command: frames are retired, spoiled, and stay so while pages move and come home, on every back-end in turn."""
    rng = random.Random(t.pick(5, 6))
    with t.machine(cpus=4, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        frames = choose(machine, rng, t.pick(60, 200))
        with quiet_log(machine), under_load(machine, mib=24, stress=t.pick(None, STRESS)) as load:
            moved, said = retire(machine, frames)
            check_equal(moved, len(frames), "pages moved")
            check(f"around {len(frames)} retired frame(s)" in said and "stay away" in said, f"retire does not say what stays: {said}")
            check_left(machine, frames)
            spoil(machine, frames)
            for seed in range(t.pick(3, 6)):
                machine.must(f"scrimctl virtualize --backend {BACKENDS[seed % 3]}")
                machine.must(f"sleep 1; scrimctl scatter --seed {seed + 1} >/dev/null && scrimctl check", 300)
                pages = machine.status()["pages"]
                check(pages["displaced"] > pages["managed"] - PAGES_AT_HOME, f"scatter moved little: {pages}")
                check_untouched(machine, frames)
                output = machine.must(f"scrimctl devirtualize --reverse {REVERSES[seed // 3 % 3]}", 300)
                check("stay away" in output, f"devirtualize does not say what stays: {output}")
                check_left(machine, frames)
            check_equal(retire(machine, frames[:3])[0], 0, "pages moved out of frames that are retired already")
        check_untouched(machine, frames)
        check_equal(machine.status()["counters"]["cpus_lost"], 0, "CPUs lost")
    print(f"figure: {len(frames)} frames retired and overwritten under load, kernel code, page tables, slab and CPUs' own among them; "
          f"{len({frame // CHUNK for frame in frames})} of {machine.memory_bytes // CHUNK} x 2 MiB stay managed")
    print(f"figure: {load.figures()}")


@test("retire-portions", cost=20)
def retire_portions(t):
    """Frames of portions, of memory that is not managed, of the reserve; what of a portion stays managed; one homecoming is enough."""
    low, high, apart = 0x6000000, 0x6400000, 0x8000000
    with t.machine(cpus=2, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        spare = ranges(machine.status()["ranges"]["frames"])[0][0]
        with quiet_log(machine), under_load(machine, mib=24, stress=None, threads=2):
            machine.must(f"scrimctl virtualize --range {low:#x}-{high:#x}")
            retire(machine, [low + PAGE, apart, spare])
            spoil(machine, [low + PAGE, apart, spare])
            check_equal(machine.status()["pages"]["managed"], (high - low) // PAGE + 1, "managed pages")
            machine.must("scrimctl scatter && scrimctl check")
            said = machine.must(f"scrimctl devirtualize --range {low:#x}-{high:#x} && scrimctl check")
            check("memory stays virtualized for 2.0 MiB around 1 retired frame(s)" in said, f"devirtualize does not say what stays: {said}")
            check_equal(managed_chunks(machine.status()), {low, apart}, "2 MiB of which anything is managed")
            check_equal(machine.status()["pages"]["displaced"], 2, "displaced pages")
            said = machine.must("scrimctl devirtualize --paused && scrimctl check")
            check("around 3 retired frame(s)" in said, f"devirtualize does not say what stays: {said}")
            check_equal(machine.status()["pages"]["managed"], 2 * CHUNK // PAGE, "managed pages")
            check_untouched(machine, [low + PAGE, apart, spare])
    with t.machine(memory="512M", options=f"dma-free={low:#x}-{high:#x}") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize")
        for address, why in ((apart, "a device may write to this page"), (0xB0000000, "no frame that holds pages"), (0xFEE00000, "no frame that holds pages"),
                             (1 << 52, "no frame that holds pages"), (int(machine.status()["ranges"]["own"][0]["start"], 16), "no frame that holds pages")):
            before = fingerprint(machine.status())
            status, said = machine.run(f"scrimctl retire {address:#x}")
            check(status == 1 and why in said, f"retire {address:#x}: status {status}: {said}")
            check_equal(fingerprint(machine.status()), before, f"status after the refused retire of {address:#x}")
    with t.machine(memory="512M") as machine:
        machine.wait_ready()
        before = fingerprint(machine.status())
        status, said = machine.run(f"scrimctl retire {apart:#x}")
        check(status == 1 and "nothing has changed" in said, f"retire without a way to move pages: status {status}: {said}")
        check_equal(fingerprint(machine.status()), before, "status after it")
    print("figure: frames of a portion, outside of all portions and of the reserve retired; refused where a device writes and where no frame is")


@test("retire-kexec", cost=40, when=SOAK)
def retire_kexec(t):
    """Another kernel runs on the map as it is: it never sees the frames either."""
    rng = random.Random(8)
    with t.machine(cpus=4, memory="1G", options=OPTIONS, kexec=True) as machine:
        machine.wait_ready()
        frames = choose(machine, rng, 60)
        retire(machine, frames)
        machine.must(test_reboot.LOAD_KERNEL.format(call=test_reboot.CALLS[0]))
        spoil(machine, frames)
        test_reboot.jump(machine, "kexec -e")
        mib = test_reboot.verified_load(machine)
        check_left(machine, frames)
        check_untouched(machine, frames)
    print(f"figure: kexec with {len(frames)} frames retired and overwritten: {mib} MiB verified in the next kernel")


@test("retire-under-traffic", cost=60, when=SOAK)
def retire_under_traffic(t):
    """Frames of any RAM are retired while a card behind VT-d reads and writes its own."""
    rng = random.Random(9)
    with net_machine(t, options=OPTIONS_VTD, extra=vtd.arguments()) as machine:
        bring_up(machine.wait_ready())
        with quiet_log(machine), under_traffic(machine) as traffic:
            frames = choose(machine, rng, 200)
            retire(machine, frames)
            spoil(machine, frames)
            for seed in range(5):
                machine.must(f"scrimctl scatter --seed {seed + 1} >/dev/null && scrimctl devirtualize >/dev/null && scrimctl check", 600)
                traffic.check_running()
            check_left(machine, frames)
            check_untouched(machine, frames)
        vtd.check_quiet(machine, "with retired frames")
    print(f"figure: {len(frames)} frames retired and overwritten under traffic behind VT-d")


# --- machine checks ---------------------------------------------------------------------------------------------------

BANK = 4
CORRECTED = 0x9C00400000000150  # VAL, EN, MISCV, ADDRV; a memory read that was corrected
ADDRV = 1 << 58
HOOK = "/bin/scrim-retire-ce"


def inject(machine, address, since):
    """A corrected error at a machine address. Returns the status that Linux logs, and the address or None. `since`: lines of its log so far."""
    machine.monitor(f"mce 0 {BANK} {CORRECTED:#x} 0 {address:#x} 0")
    text = machine.must(f"for i in $(seq 100); do dmesg | tail -n +{since + 1} | grep -q 'PROCESSOR' && break; sleep 0.2; done; dmesg | tail -n +{since + 1}")
    status = re.search(rf"Machine Check: 0 Bank {BANK}: ([0-9a-f]+)", text)
    check(status, f"Linux has logged no machine check:\n{text}")
    told = re.search(r"TSC \w+ ADDR ([0-9a-f]+)", text)
    return int(status[1], 16), told and int(told[1], 16)


def check_told(machine, address, expected):
    """Linux logs `expected` for an error at the machine address; None: no address."""
    status, told = inject(machine, address, len(machine.dmesg()))
    check_equal(told, expected, f"what Linux logs for an error at {address:#x}")
    check_equal(bool(status & ADDRV), expected is not None, "ADDRV in the status that Linux logs")


def msr_exits(machine):
    """So far."""
    return machine.status()["exits"]["by_cause"]["msr"]


@test("retire-machine-check", cost=60)
def retire_machine_check(t):
    """The kernel's log names the page that is in the frame, or none; rasdaemon's events retire the frame that failed."""
    page, other = 0x4001000, 0x4002000
    hook = (ROOT / "tools/rasdaemon/scrim-retire-ce").read_text()
    with t.machine(kernel="full", cpus=1, memory="512M", options=OPTIONS, files={HOOK[1:]: hook}) as machine:
        machine.wait_ready()
        machine.must("echo 1 >/sys/devices/system/machinecheck/machinecheck0/check_interval")
        before = msr_exits(machine)
        check_told(machine, page + 0x40, page + 0x40)
        check_equal(msr_exits(machine), before, "exits by MSRs in NATIVE")

        machine.must("scrimctl virtualize")
        frames = {int(entry["physical"], 16): int(entry["machine"], 16)
                  for entry in json.loads(machine.must(f"scrimctl move --json {page:#x} {other:#x}"))["moved"]}
        check_told(machine, frames[page] + 0x40, page + 0x40)
        check_told(machine, frames[other] + 0x80, other + 0x80)
        check_told(machine, page + 0x40, None)  # its home is free: nobody is there
        check_told(machine, 0x5000040, 0x5000040)  # at home

        # A trigger's environment as rasdaemon gives it, and a line of its log.
        trigger = f"env -i PATH=$PATH TIMESTAMP='2026-01-31 10:20:30 +0000' COUNT=4 TYPE={{}} MESSAGE='memory read' LABEL=DIMM_A1 MC_INDEX=0 " \
                  f"ADDRESS={page + 0x40:x} GRAIN=7 SYNDROME=0 sh {HOOK}"
        machine.must("; ".join([trigger.format("Uncorrected")] * 3 + [trigger.format("Corrected")] * 2))
        check_equal(retired_frames(machine.status()), set(), "frames retired below the threshold")
        said = machine.must(trigger.format("Corrected"))
        check("12 corrected errors in the page at 0x4001000" in said, f"the hook says: {said}")
        check_equal(retired_frames(machine.status()), {frames[page]}, "frames retired by the trigger")
        line = f"           <...>-77    [000]     0.000042: mc_event:             2026-01-31 10:20:30 +0000 5 Corrected errors: memory read " \
               f"error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (mc: 0 location: 0:1:0 address: 0x{other + 0x80:08x} grain: 7 syndrome: 0x00000000)"
        machine.must(f"(echo '{line}'; echo noise; echo '{line.replace('Corrected', 'Uncorrected')}'; echo '{line}') | sh {HOOK} --log")
        check_equal(retired_frames(machine.status()), set(frames.values()), "frames retired by rasdaemon's log")
        machine.must("scrimctl check && scrimctl devirtualize && scrimctl check")
        check_equal(machine.status()["state"], "native", "state: the frames are of the reserve, every page is home")
        status, output = machine.run(f"scrimctl retire --logged {page:#x}", 300)
        check_equal(status, 0, f"exit status of retire ({output})")
        check("stay away" in output, f"retire does not say what stays: {output}")
        check(page in retired_frames(machine.status()), "in NATIVE Linux's address is the frame's: it is retired")
    print("figure: machine checks: the page that was in the frame is what Linux logged; where none was, no address")
