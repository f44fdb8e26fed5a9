# SPDX-License-Identifier: BSD-2-Clause
"""Images of all RAM as of one instant: no page from the future, byte for byte what the machine has, and nothing left of one that is ended."""

import contextlib
import re

import frame_graph
import gdb_stub
from core_file import Basin, CoreFile
from machine import memory_file
from registry import check, check_equal, test
from under_load import quiet_log, under_load

THREADS, PAGES = 4, 512
RESERVE = "dma-free=all reserve=64M"
CHAIN_SECONDS = 3000  # longer than any test
VERDICT = re.compile(r"pages (\d+) missing (\d+) records (\d+) future (\d+) furthest (\d+)")


def start_chain(machine):
    """Starts the chain. Returns (its job, the mark of its pages)."""
    job = machine.spawn(f"chain run {THREADS} {PAGES} {CHAIN_SECONDS}")
    mark = machine.must("for i in $(seq 200); do grep -h mark /tmp/job.*.out 2>/dev/null && exit; sleep 0.1; done; exit 1").split()[1]
    return job, mark


def judge(machine, script, what):
    """Runs a check of the chain. Returns (records, records from the future)."""
    status, output = machine.run(script, 600)
    match = VERDICT.search(output)
    check(match and match[2] == "0" and status == (1 if match[4] != "0" else 0), f"{what}: exit status {status}: {output}")
    return int(match[3]), int(match[4])


@test("snapshot-consistent", cost=60)
def snapshot_consistent(t):
    """A causal chain over 4 CPUs: no image, taken under load, has a page from the future; a plain copy of memory does, each time."""
    images = t.pick(3, 50)
    with t.machine(cpus=4, memory="512M", options=RESERVE) as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=16, stress=None) as load:
            chain, mark = start_chain(machine)
            smeared = [judge(machine, f"chain check-kcore {mark} {PAGES}", "plain copy") for _ in range(t.pick(1, 5))]
            for number in range(images):
                seen = judge(machine, f"scrimctl snapshot -o - 2>/tmp/words | chain check {mark} {PAGES}", f"image {number}")
                check_equal(seen[1], 0, f"records from the future in image {number}")
                words = machine.must("cat /tmp/words")
                check(re.search(r"image of .* as of one instant", words), f"what snapshot said: {words}")
                check_equal(machine.status()["state"], "native", "state after an image")
            check(chain.poll() is None, f"the chain has ended: {chain.output()}")
            machine.must("killall chain && scrimctl check")
    check(all(future > 0 for _, future in smeared), f"a plain copy shows no violation: {smeared}")
    print(f"figure: {images} images under load, {seen[0]} records each, 0 from the future; plain copies: {[future for _, future in smeared]} from the future")
    print(f"figure: {next(line for line in words.splitlines() if line.startswith('image of'))}; {load.figures()}")


PAGE = 4096
VMCB_RSP = 0x5D8  # AMD APM vol. 2, appendix B
BASIN = 256 << 20


@contextlib.contextmanager
def basin():
    """A basin in the host's shared memory, gone behind the block."""
    made = Basin(memory_file(BASIN), BASIN)
    try:
        yield made
    finally:
        made.remove()


def image_and_memory(machine, made, frames=None):
    """Takes an image; at its instant the machine's memory is copied from outside. Returns (core, {range: bytes}, frames, VMCBs' RSP)."""
    status = machine.status()
    job = machine.spawn(f"scrimctl snapshot -o - | {made.pour()}")
    with gdb_stub.stopped_at(machine, status, "watch_instant"):
        memory = [(start, machine.memory.read(start, end - start)) for start, end in machine.memory.ranges()]
        frames = frame_graph.frames(machine, status) if frames is None else frames
        stacks = sorted(machine.memory.read_u64(int(cpu["vmcb"], 16) + VMCB_RSP) for cpu in status["cpus"])
    code, output = job.wait(600)
    check(code == 0, f"snapshot: {code}: {output}")
    return CoreFile(made.read()), memory, frames, stacks


def check_equal_memory(core, memory, frames):
    """Every byte of the image is what the machine had at the page's frame. Returns pages compared, and those that lay elsewhere."""
    compared = moved = 0
    for physical, offset, count in core.ranges():
        for at in range(0, count, PAGE):
            page = (physical + at) // PAGE
            address = frames.get(page, (page, True))[0] * PAGE
            start, content = max(part for part in memory if part[0] <= address)
            if core.data[offset + at:offset + at + PAGE] != content[address - start:address - start + PAGE]:
                raise AssertionError(f"page {page * PAGE:#x}, frame {address:#x}: the image differs from the machine's memory")
            compared += 1
            moved += address != page * PAGE
    return compared, moved


def bytes_test(prepare, backend="nested"):
    """`prepare`: commands that displace pages, which stay where they are then."""
    def body(t):
        with basin() as made, t.machine(cpus=2, memory="256M", options="dma-free=all reserve=48M", extra=made.arguments()) as machine:
            machine.wait_ready()
            machine.must(f"scrimctl virtualize >/dev/null && {prepare}", 300)
            with quiet_log(machine):
                job = machine.spawn(f"chain run 2 256 {CHAIN_SECONDS}")
                frames = None
                if backend != "nested":
                    frames = frame_graph.frames(machine, machine.status())
                    machine.must(f"scrimctl virtualize --backend {backend} >/dev/null")
                core, memory, frames, stacks = image_and_memory(machine, made, frames)
                check(job.poll() is None, f"the load has ended: {job.output()}")
            compared, moved = check_equal_memory(core, memory, frames)
            ram = machine.status()["pages"]["ram"]
            check(ram - 2 <= compared <= ram, f"{compared} pages in the image, {ram} of RAM")
            check((moved > 0) == (prepare != "true"), f"{moved} pages lay elsewhere")
            check_equal(sorted(cpu["rsp"] for cpu in core.cpus()), stacks, "stack pointers in the notes, against the control blocks")
            machine.must("scrimctl check && scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
        print(f"figure: {backend}: {compared} pages equal byte for byte, {moved} of them lay elsewhere")
    return body


SCATTER = "scrimctl scatter --range 16M-96M --seed 5 --batch 256 >/dev/null"
SHARE = "scrimctl share --range 96M-160M --batch 256 >/dev/null"
test("snapshot-bytes", cost=20)(bytes_test("true"))
test("snapshot-bytes-moved", cost=25)(bytes_test(f"{SCATTER} && {SHARE}"))
test("snapshot-bytes-shadow", cost=25)(bytes_test(SCATTER, "shadow"))
