# SPDX-License-Identifier: BSD-2-Clause
"""Pages of the OS's move to other frames and home again, and the OS does not notice. Looked at from outside, frame by frame.

While a page is displaced, its home frame is overwritten from outside: who still went there would read ones. Kernel code, page
tables and pages under verified load are among those moved.
"""

import base64
import json
import random
import re
import struct

import iomem
import page_tables
from registry import check, check_equal, test
from under_load import STRESS, quiet_log, under_load

PAGE = 4096
CHUNK = 2 << 20
ONES = b"\xff" * PAGE
BLOB_PAGES = 48


def move(machine, addresses):
    """Moves pages. Returns {physical: machine}, as scrimctl tells it."""
    words = " ".join(f"{address:#x}" for address in addresses)
    moved = json.loads(machine.must(f"scrimctl move --json {words}"))["moved"]
    frames = {int(page["physical"], 16): int(page["machine"], 16) for page in moved}
    check_equal(sorted(frames), sorted(addresses), "pages moved")
    check_equal(len(set(frames.values())), len(frames), "different frames")
    return frames


def frame_ranges(status):
    """The reserve of free frames."""
    return [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["frames"]]


def check_in_reserve(frames, status):
    """Every new frame is one of Scrim's reserve."""
    for page, frame in frames.items():
        check(any(start <= frame < end for start, end in frame_ranges(status)), f"page {page:#x} went to {frame:#x}, outside the reserve")


def check_home(machine, boot):
    """NATIVE, nothing displaced, and every table and frame given back."""
    status = machine.status()
    check_equal(status["state"], "native", "state")
    check_equal(status["pages"], boot["pages"], "pages and frames, against those after boot")
    check_equal(status["memory"], boot["memory"], "memory, against that after boot")
    machine.must("scrimctl check")


# --- content ----------------------------------------------------------------------------------------------------------


def find_blob(machine):
    """Makes a file of random pages in the guest. Returns [(address, content)] of the pages that lie at one place in RAM only."""
    machine.must(f"dd if=/dev/urandom of=/dev/shm/blob bs={PAGE} count={BLOB_PAGES} 2>/dev/null")
    blob = base64.b64decode(machine.must("base64 /dev/shm/blob"))
    wanted = {blob[at : at + PAGE]: [] for at in range(0, len(blob), PAGE)}
    check_equal(len(wanted), BLOB_PAGES, "pages of the file")
    for start, end in machine.memory.ranges():
        for address in range(start, end, PAGE):
            content = machine.memory.read(address, PAGE)
            if content in wanted:
                wanted[content].append(address)
    found = [(places[0], content) for content, places in wanted.items() if len(places) == 1]
    check(len(found) >= BLOB_PAGES // 2, f"only {len(found)} of {BLOB_PAGES} pages found in RAM")
    return found


@test("move-content", cost=8)
def move_content(t):
    """What is written while a page is displaced is in its new frame, and comes home with it."""
    with t.machine(cpus=2, memory="512M", options="dma-free=all") as machine:
        machine.wait_ready()
        boot = machine.status()
        digest = machine.must("sha256sum /bin/busybox")
        found = find_blob(machine)
        with quiet_log(machine):
            machine.must("scrimctl virtualize")
            before = machine.must("sha256sum /dev/shm/blob")
            frames = move(machine, [address for address, _ in found])
            check_in_reserve(frames, boot)
            for address, content in found:
                check(machine.memory.read(frames[address], PAGE) == content, f"page {address:#x}: the new frame has another content")
                check(machine.memory.read(address, PAGE) == content, f"page {address:#x}: its home frame has changed")
                machine.memory.write(address, ONES)
            check_equal(machine.must("sha256sum /dev/shm/blob"), before, "digest of the file, its pages displaced")
            machine.must(f"i=0; while [ $i -lt {BLOB_PAGES} ]; do printf 'scrim%03d' $i; dd if=/dev/zero bs={PAGE - 8} count=1 2>/dev/null; "
                         "i=$((i + 1)); done | dd of=/dev/shm/blob conv=notrunc bs=4096 2>/dev/null")
            new = {}
            for address, _ in found:
                new[address] = machine.memory.read(frames[address], PAGE)
                check(re.fullmatch(rb"scrim\d{3}\0{4088}", new[address]), f"page {address:#x}: what the OS wrote is not in the new frame")
                check(machine.memory.read(address, PAGE) == ONES, f"page {address:#x}: the OS wrote to the home frame")
            machine.must("scrimctl check && scrimctl devirtualize")
            for address, content in new.items():
                check(machine.memory.read(address, PAGE) == content, f"page {address:#x}: came home with another content")
        check_equal(machine.must("sha256sum /bin/busybox"), digest, "digest of busybox")
        check_home(machine, boot)
    print(f"figure: {len(found)} pages of a file moved, written while displaced, and home, each compared in RAM; "
          "home frames overwritten meanwhile")


# --- under load -------------------------------------------------------------------------------------------------------


def pages_of_load(machine, rng, count):
    """Physical addresses of pages that `load` has written."""
    pid = min(machine.must("pidof load").split(), key=int)  # the others are children that end by themselves
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw-[ps] ", machine.must(f"cat /proc/{pid}/maps"), re.MULTILINE)
    largest = sorted(((int(start, 16) // PAGE, int(end, 16) // PAGE) for start, end in ranges), key=lambda part: part[0] - part[1])[:16]
    raw = machine.must("(" + "; ".join(f"dd if=/proc/{pid}/pagemap bs=8 skip={start} count={min(1024, end - start)} 2>/dev/null"
                                       for start, end in largest) + ") | base64")
    entries = [entry for entry, in struct.iter_unpack("<Q", base64.b64decode(raw))]
    pages = sorted({(entry & ((1 << 55) - 1)) * PAGE for entry in entries if entry >> 63 and entry & ((1 << 55) - 1)})
    check(len(pages) >= count, f"only {len(pages)} pages of load are in RAM")
    return rng.sample(pages, count)


def kernel_code(machine):
    """[physical addresses] of all whole pages of the kernel's code."""
    match = re.search(r"([0-9a-f]+)-([0-9a-f]+) : Kernel code", machine.must("cat /proc/iomem"))
    start, end = (int(text, 16) for text in match.groups())
    return list(range(start, end & ~(PAGE - 1), PAGE))


def table_pages(machine, rng, count):
    """Page tables that a CPU uses now, the top one among them."""
    cr3 = max(cpu["CR3"] for cpu in page_tables.registers(machine)) & page_tables.ADDRESS
    tables = page_tables.Tree(machine, cr3).tables - {cr3}
    return [cr3] + rng.sample(sorted(tables), count - 1)


def random_pages(machine, rng, count):
    """Any RAM."""
    ram = iomem.ram(machine.must("cat /proc/iomem"))
    pages = [page for start, end in ram for page in range(-(-start // PAGE) * PAGE, end & ~(PAGE - 1), PAGE)]
    return rng.sample(pages, count)


def one_round(machine, rng, boot, code):
    """Moves pages of each kind, spoils their homes, lets the load run, brings all home. Returns the number of pages."""
    chosen = {*pages_of_load(machine, rng, 64), *rng.sample(code, 32), *table_pages(machine, rng, 16), *random_pages(machine, rng, 64)}
    machine.must("scrimctl virtualize")
    frames = move(machine, sorted(chosen, key=lambda _: rng.random()))
    check_in_reserve(frames, boot)
    for page in frames:
        machine.memory.write(page, ONES)
    machine.must("scrimctl check; sleep 1; scrimctl check")
    check_equal(machine.status()["pages"]["displaced"], len(frames), "displaced pages")
    for page in set(code) & set(frames):
        check(machine.memory.read(page, PAGE) == ONES, f"somebody wrote to the home frame of {page:#x}")
    machine.must("scrimctl devirtualize")
    check_home(machine, boot)
    return len(frames)


@test("move-under-load", cost=20)
def move_under_load(t):
    rng = random.Random(3)
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=8M") as machine:
        machine.wait_ready()
        boot = machine.status()
        code = kernel_code(machine)
        content = [machine.memory.read(page, PAGE) for page in code]
        moved = 0
        with quiet_log(machine), under_load(machine, mib=24, stress=t.pick(None, STRESS)) as load:
            for _ in range(t.pick(2, 200)):
                moved += one_round(machine, rng, boot, code)
        changed = [hex(page) for page, was in zip(code, content) if machine.memory.read(page, PAGE) != was]
        check(not changed, f"kernel code has changed at {changed[:8]}")
        kicks = machine.status()["counters"]["kicks"]
        check_equal(machine.status()["counters"]["cpus_lost"], 0, "CPUs lost")
    print(f"figure: {moved} pages moved and brought home under load: user memory, kernel code, page tables, any; "
          f"homes overwritten meanwhile; {kicks} kicks")
    print(f"figure: {load.figures()}")


@test("move-under-writes", cost=20)
def move_under_writes(t):
    """Pages move and come home under CPUs that never stop writing to them: no write is lost, so no TLB was left as it was."""
    with t.machine(cpus=4, memory="512M", options="dma-free=all") as machine:
        machine.wait_ready()
        boot = machine.status()
        with quiet_log(machine):
            machine.must("scrimctl virtualize")
            for seed in range(t.pick(1, 20)):
                status, output = machine.run(f"hammer --seconds {t.pick(8, 60)} --seed {seed}", timeout=900)
                check_equal(status, 0, f"exit status of hammer ({output})")
                report = json.loads(output)
                check(min(report["moves"], report["came_home"], report["fewest_passes"]) > 100, f"hammer did little: {report}")
            status = machine.status()
            machine.must("scrimctl devirtualize")
        check_equal(status["counters"]["cpus_lost"], 0, "CPUs lost")
        check_home(machine, boot)
    print(f"figure: {report['moves']} moves and {report['came_home']} pages home in {report['steps']} steps under {report['threads']} CPUs "
          f"that wrote to them without a pause: {report['verified']} writes verified, 0 wrong; {status['counters']['kicks']} kicks")


# --- refused ----------------------------------------------------------------------------------------------------------


def fingerprint(status):
    """All of the status that a refused request must not change. What it costs is counted: exits, and a flush where tables have run out,
    behind which the one that could be had is given back."""
    kept = {key: value for key, value in status.items() if key not in ("exits", "cpus", "counters", "pause_us")}
    return kept, status["counters"]["switches"], status["counters"]["cpus_lost"], [cpu["mode"] for cpu in status["cpus"]]


def check_refused(machine, address, reason):
    """The move fails with status 1 for this reason, and nothing has changed."""
    before = fingerprint(machine.status())
    status, output = machine.run(f"scrimctl move {address:#x}")
    check_equal(status, 1, f"exit status of move {address:#x} ({output.strip()})")
    said = re.search(rf"move {address:#x} refused after 0 of 1 page\(s\): .*{reason}", output)
    check(said, f"move {address:#x}: no /{reason}/ in: {output}")
    check_equal(fingerprint(machine.status()), before, f"status after the refused move of {address:#x}")


NO_RAM = "no RAM of the OS's is at this address"
NO_PAGE = "not the start of a page"
DEVICE = "a device may write to this page.*dma-free="
DISPLACED = "displaced already"
NOT_VIRTUALIZED = "in state native memory is not virtualized; run scrimctl virtualize first"


def addresses_outside_ram(machine, status):
    """{what: address}: everything that is no RAM of the OS's."""
    own = [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["own"]]
    ram = iomem.ram(machine.must("cat /proc/iomem"))
    return {
        "Scrim's image": own[0][0],
        "Scrim's last page": own[0][1] - PAGE,
        "Scrim's start-up page": own[1][0],
        "a free frame": frame_ranges(status)[0][0],
        "the VGA window": 0xA0000,
        "firmware": 0xF0000,
        "a page that is RAM in part": 0x9F000,
        "behind the last RAM": max(end for _, end in ram),
        "the hole below 4 GiB": 0xA0000000,
        "ECAM": 0xB0000000,
        "a BAR": 0xFD000000,
        "the IOAPIC": 0xFEC00000,
        "the local APIC": 0xFEE00000,
        "flash": 0xFFFFF000,
        "behind the machine": 1 << 36,
        "MAXPHYADDR": 1 << 40,
        "bit 48": 1 << 48,
        "bit 52": 1 << 52,
        "bit 63": 1 << 63,
        "the last page": (1 << 64) - PAGE,
    }


def refuse_all(machine):
    """In a machine that may move anything. Returns the number of refusals."""
    some = 0x4000000
    check_refused(machine, some, NOT_VIRTUALIZED)
    machine.must("scrimctl virtualize")
    outside = addresses_outside_ram(machine, machine.status())
    for address in outside.values():
        check_refused(machine, address, NO_RAM)
    for address in (some + 1, some + 0x800, some + 0xFFF, 0xFEE00001):
        check_refused(machine, address, NO_PAGE)
    frame = move(machine, [some])[some]
    check_refused(machine, some, DISPLACED)
    check_refused(machine, frame, NO_RAM)
    status, output = machine.run(f"scrimctl move 0x5000000 {some:#x} 0x5001000")
    check_equal(status, 1, "exit status of a move of which the second page is refused")
    check("refused after 1 of 3 page(s)" in output, f"scrimctl does not say how far it came: {output}")
    check_equal(machine.status()["pages"]["displaced"], 2, "displaced pages")
    for word in ("0x", "-4096", "12q", "0x10000000000000000"):
        status, output = machine.run(f"scrimctl move -- {word}")
        check_equal(status, 2, f"exit status of move {word} ({output.strip()})")
    machine.must("scrimctl devirtualize && scrimctl check")
    check_refused(machine, some, NOT_VIRTUALIZED)
    return len(outside) + 8


@test("move-refused", cost=12)
def move_refused(t):
    with t.machine(cpus=2, memory="512M", options="dma-free=all") as machine:
        machine.wait_ready()
        with quiet_log(machine):
            refused = refuse_all(machine)
    print(f"figure: {refused} moves refused, each with its reason and nothing changed")


@test("move-dma", cost=10)
def move_dma(t):
    """No page moves but where no device writes: in the ranges of dma-free=, and without that nowhere."""
    start, end = 0x8000000, 0x8200000
    with t.machine(memory="512M", options=f"dma-free={start:#x}-{end:#x}") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize")
        check_equal(machine.status()["pages"]["managed"], (end - start) // PAGE, "pages that may move")
        move(machine, [start, end - PAGE])
        for address in (start - PAGE, end, 0x1000000, 0x1000):
            check_refused(machine, address, DEVICE)
        machine.must("scrimctl check && scrimctl devirtualize && scrimctl check")
    with t.machine(memory="512M") as machine:
        machine.wait_ready()
        check_equal(machine.status()["dma_free"], False, "dma_free")
        machine.must("scrimctl virtualize")
        check_equal(machine.status()["pages"]["managed"], 0, "pages that may move")
        for address in (start, 0x1000000, 0x1000):
            check_refused(machine, address, DEVICE)
        machine.must("scrimctl devirtualize && scrimctl check")
    print("figure: with dma-free=A-B pages move from A to B and nowhere else; without it none does")


# --- until nothing is left --------------------------------------------------------------------------------------------


def move_many(machine, first, step, count):
    """Moves pages at a distance, until one is refused. Returns (exit status, pages moved, what scrimctl said)."""
    before = machine.status()["pages"]["displaced"]
    last = first + (count - 1) * step
    status, output = machine.run(f"scrimctl move $(seq {first} {step} {last}) 2>&1 >/dev/null")
    machine.must("scrimctl check")
    return status, machine.status()["pages"]["displaced"] - before, output


def all_come_home(machine, boot, moved):
    """One copy a page, however many homes were others' frames, and nothing is left."""
    machine.must("scrimctl devirtualize")
    last = machine.status()["last_operation"]
    check_equal((last["pages_moved"], last["copies"]), (moved, moved), "pages and copies on the way home")
    check_home(machine, boot)


@test("move-until-empty", cost=8)
def move_until_empty(t):
    """More pages move than the reserve has frames: the homes of others serve. Then the tables give out, and all come home."""
    with t.machine(cpus=2, memory="512M", options="dma-free=all") as machine:
        machine.wait_ready()
        boot = machine.status()
        free = boot["pages"]["free_frames"]
        with quiet_log(machine):
            machine.must("scrimctl virtualize")
            status, moved, said = move_many(machine, 0x4000000, PAGE, 2 * free)
            check_equal((status, moved), (0, 2 * free), f"exit status and pages of a move of twice the reserve ({said.strip()})")
            check_equal(machine.status()["pages"]["free_frames"], free, "free frames: each page took one and left one")
            print(f"figure: {moved} pages moved with {free} frames")
            all_come_home(machine, boot, moved)

            machine.must("scrimctl virtualize")
            reason = "no memory is left for Scrim's own tables"
            status, moved, said = move_many(machine, 0x4000000, CHUNK, 200)
            check_equal(status, 1, f"exit status of a move of more than the tables serve ({said.strip()})")
            check(reason in said and "devirtualize" in said and "reserve=" in said, f"the refusal does not say what to do: {said}")
            check_refused(machine, 0x3E00000, reason)
            tables = machine.status()["memory"]["map_bytes"] - boot["memory"]["map_bytes"]
            print(f"figure: {moved} pages moved, {tables} bytes of tables for {moved} chunks; then: {reason}")
            all_come_home(machine, boot, moved)
