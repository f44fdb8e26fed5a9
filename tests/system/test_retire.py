# SPDX-License-Identifier: BSD-2-Clause
"""Frames are retired under load, whatever is in them, and never used again: they are overwritten from outside, and nobody sees it."""

import base64
import json
import random
import re
import struct

from registry import check, check_equal, test
from test_move import CHUNK, ONES, PAGE, kernel_code, random_pages, table_pages
from under_load import STRESS, quiet_log, under_load

OPTIONS = "dma-free=all reserve=64M"
SLAB = 1 << 7  # of /proc/kpageflags
DIRECT_MAP = 0xFFFF888000000000  # of the kernel without KASLR
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


@test("retire-under-load", cost=40)
def retire_under_load(t):
    """From NATIVE, one command: 200 frames are retired, spoiled, and stay so while pages move and come home."""
    rng = random.Random(t.pick(5, 6))
    with t.machine(cpus=4, memory="512M", options=OPTIONS) as machine:
        machine.wait_ready()
        frames = choose(machine, rng, 200)
        with quiet_log(machine), under_load(machine, mib=24, stress=t.pick(None, STRESS)) as load:
            moved, said = retire(machine, frames)
            check_equal(moved, len(frames), "pages moved")
            check(f"around {len(frames)} retired frame(s)" in said and "stay away" in said, f"retire does not say what stays: {said}")
            check_left(machine, frames)
            spoil(machine, frames)
            for seed in range(t.pick(2, 60)):
                machine.must(f"sleep 1; scrimctl scatter --seed {seed + 1} >/dev/null && scrimctl check", 300)
                check(machine.status()["pages"]["displaced"] > 10000, "scatter moved little")
                check_untouched(machine, frames)
                output = machine.must("scrimctl devirtualize --reverse " + ("backmap", "refcount", "search")[seed % 3], 300)
                check("stay away" in output, f"devirtualize does not say what stays: {output}")
                check_left(machine, frames)
            check_equal(retire(machine, frames[:3])[0], 0, "pages moved out of frames that are retired already")
        check_untouched(machine, frames)
        check_equal(machine.status()["counters"]["cpus_lost"], 0, "CPUs lost")
    print(f"figure: {len(frames)} frames retired and overwritten under load, kernel code, page tables, slab and CPUs' own among them; "
          f"{len({frame // CHUNK for frame in frames})} of {machine.memory_bytes // CHUNK} x 2 MiB stay managed")
    print(f"figure: {load.figures()}")
