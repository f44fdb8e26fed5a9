# SPDX-License-Identifier: BSD-2-Clause
"""The queues of an NVMe disk move again and again while requests are under way, the time between copy and switch made long (tests/broken/slow.c).

QEMU's NVMe reads and writes its queues by the IOMMU each time; of data it takes a host pointer when a request is submitted. So the
queues move under requests, and all of it has to come along; Scrim that does not merge is found out, and with pages of data among those
that move, one that lets the disk go on with the old frames.
"""

import json
import re
import struct

import vtd
from machine import BUILD, MachineError
from registry import check, check_equal, test
from test_net_moves import DIED, runs, scatter
from under_load import quiet_log

OPTIONS = "reserve=40M"
CPUS = 2
MEMORY = "512M"
DISK_MIB = 64
PAGE = 4096
# NVM Express Base Specification 1.4: registers (3.1), Create I/O Completion Queue and Submission Queue (5.3, 5.4), a command (4.2).
AQA, ASQ = 0x24, 0x28
CREATE_SQ, CREATE_CQ, WRITE, READ = 0x01, 0x05, 0x01, 0x02
COMMAND, COMPLETION = 64, 16
TIMEOUT_S = 10  # what a lost completion takes to be seen; Linux's own is 30 s
BROKEN_ROUNDS_MAX = 60
END_TIMEOUT = 120


def disk_machine(t, extra=(), **how):
    """A machine with an NVMe disk, and the cloud kernel, which has the driver built in."""
    disk = vtd.nvme(t.work / "disk", DISK_MIB)
    return t.machine(cpus=CPUS, memory=MEMORY, options=how.pop("options", OPTIONS), extra=[*extra, *disk], **how)


def start_load(machine):
    """Every byte that it reads back is compared."""
    machine.must(f"echo {TIMEOUT_S}000 >/sys/block/nvme0n1/queue/io_timeout")
    return machine.spawn("exec diskload /dev/nvme0n1")


def stop_load(machine, job):
    """Returns how many bytes were right; none may be wrong."""
    machine.must("kill $(pidof diskload)")
    status, output = job.wait(END_TIMEOUT)
    check_equal(status, 0, f"exit status of diskload ({output})")
    said = json.loads(output.splitlines()[-1])
    check(said["wrong"] == 0 and said["bytes_verified"] > 0, f"diskload says: {output}")
    return said["bytes_verified"]


def commands(machine, queue, entries):
    """(opcode, first address of data, second, parameters) of what stands in a submission queue. In NATIVE."""
    raw = machine.memory.read(queue, entries * COMMAND)
    return [(raw[at], *struct.unpack_from("<QQI", raw, at + 24)) for at in range(0, len(raw), COMMAND)]


def queues(machine):
    """{"submission": [(address, entries)], "completion": [...]} of the disk's queues for requests, as the OS made them. In NATIVE."""
    bar = int(machine.must("head -n 1 /sys/class/nvme/nvme0/device/resource").split()[0], 16)
    words = [int(re.search(r": (0x[0-9a-f]+)", machine.monitor(f"xp /1wx {bar + at:#x}"))[1], 16) for at in (AQA, ASQ, ASQ + 4)]
    made = {CREATE_SQ: [], CREATE_CQ: []}
    for opcode, address, _, parameters in commands(machine, words[2] << 32 | words[1], (words[0] & 0xFFF) + 1):
        if opcode in made and address:
            made[opcode].append((address, (parameters >> 16) + 1))
    check(all(len(found) == CPUS for found in made.values()), f"commands that made queues, in the admin queue: {made}")
    return {"submission": made[CREATE_SQ], "completion": made[CREATE_CQ]}


def pages_of(found):
    """The pages in which the queues lie."""
    parts = [(at, entries * COMMAND) for at, entries in found["submission"]] + [(at, entries * COMPLETION) for at, entries in found["completion"]]
    return [page for at, length in parts for page in range(at & -PAGE, at + length, PAGE)]


def buffers(machine, found):
    """Pages that the requests in the queues have the disk read or write."""
    requests = [request for at, entries in found["submission"] for request in commands(machine, at, entries) if request[0] in (WRITE, READ)]
    return {address & -PAGE for request in requests for address in request[1:3] if address}


def home(machine):
    """All pages that are away, and NATIVE."""
    machine.must("scrimctl devirtualize >/dev/null && scrimctl check", 600)


@test("nvme-queues-move", cost=30)
def nvme_queues_move(t):
    """With 2 ms for the disk to write behind each copy, no completion is lost, and no byte is wrong."""
    moved = 0
    with disk_machine(t, scrim=BUILD / "broken/slow.elf", extra=vtd.arguments()) as machine:
        machine.wait_ready()
        ranges = runs(pages_of(queues(machine)))
        with quiet_log(machine):
            load = start_load(machine)
            for number in range(t.pick(8, 200)):
                machine.must("scrimctl virtualize")
                moved += scatter(machine, ranges, number)
                home(machine)
                check(load.poll() is None, "diskload has ended:", load.output() if load.poll() is not None else "")
            verified = stop_load(machine, load)
        vtd.check_quiet(machine, "while queues moved")
    print(f"figure: {moved} pages of the disk's queues scattered and brought home, {verified >> 20} MiB read back and right")


def signs(machine, job, before):
    """What is wrong so far: bytes, requests that ended with an error, requests that did not end."""
    check(job.poll() in (None, 1), "diskload has ended:", job.output())
    found = [line for line in job.output().splitlines() if line.startswith("diskload: ")]
    return found + [line for line in machine.dmesg()[len(before):] if re.search(r"nvme.*(timeout, (aborting|reset)|invalid id|I/O Error)", line)]


def find_wrong(t, displace, **how):
    """Rounds of displace(machine, queues, number of the round), which Scrim undoes, until something is wrong. Prints what."""
    with disk_machine(t, **how) as machine:
        machine.wait_ready()
        before = machine.dmesg()
        found, number, load = [], 0, start_load(machine)
        try:
            machine.must("sleep 1")
            made = queues(machine)
            while not found and number < BROKEN_ROUNDS_MAX:
                displace(machine, made, number)
                found = signs(machine, load, before)
                home(machine)
                number += 1
        except MachineError:
            found += DIED.findall(machine.console)
        check(found, f"nothing was wrong in {number} rounds")
    print(f"figure: after {number} rounds: {found[0]}")


def scatter_queues(machine, made, number):
    """As nvme-queues-move does."""
    machine.must("scrimctl virtualize")
    scatter(machine, runs(pages_of(made)), number)


def move_buffers(machine, made, _):
    """Pages of data go to free frames: what the disk writes to the old ones then is nobody else's."""
    pages = " ".join(f"{page:#x}" for page in sorted(buffers(machine, made)))
    machine.must(f"scrimctl virtualize && scrimctl move {pages} >/dev/null && sleep 1")


@test("nvme-shows-lost-merge", cost=25)
def nvme_shows_lost_merge(t):
    """The test can fail: without the merge completions are lost."""
    find_wrong(t, scatter_queues, scrim=BUILD / "broken/slow-no-merge.elf", extra=vtd.arguments())


@test("nvme-shows-lost-update", cost=20)
def nvme_shows_lost_update(t):
    """The test can fail: told that no device writes anywhere, Scrim moves pages under a disk that goes on with the old frames."""
    find_wrong(t, move_buffers, options=f"{OPTIONS} dma-free=all")
