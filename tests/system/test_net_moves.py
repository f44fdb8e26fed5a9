# SPDX-License-Identifier: BSD-2-Clause
"""The very pages that a network card writes move again and again, the time between copy and switch made long (tests/broken/slow.c).

With it a device writes in nearly every move behind the copy, which it hardly ever does in a microsecond. All of it has to come along; and
Scrim that does not merge it is found out, as is one that lets the card go on with the old frames.
"""

import re
import struct

import vtd
from machine import BUILD, MachineError
from net_peer import Peer
from registry import check, test
from test_net import Traffic, bring_up, counters, net_machine, under_traffic
from under_load import quiet_log

OPTIONS = "reserve=40M"
PAGE = 4096
PAGES = 8  # that are scattered among themselves at a time
# e1000e (82574 data sheet, 10.2): address and length of the rings of descriptors.
RX_RING, TX_RING = 0x2800, 0x3800
BROKEN_ROUNDS_MAX = 60
DIED = re.compile(r"(BUG: .*|Oops: .*|general protection fault.*|Kernel panic .*)")


def ring(machine, base):
    """(address, bytes) of a ring, in P."""
    bar = int(machine.must("head -n 1 /sys/class/net/eth0/device/resource").split()[0], 16) + base
    low, high, length = (int(re.search(r": (0x[0-9a-f]+)", machine.monitor(f"xp /1wx {bar + 4 * i:#x}"))[1], 16) for i in range(3))
    return high << 32 | low, length


def buffers(machine):
    """Pages that descriptors of the receive ring point to now. In NATIVE."""
    at, length = ring(machine, RX_RING)
    words = struct.unpack(f"<{length // 8}Q", machine.memory.read(at, length))
    # What the card has given back carries no address any more: its first word is then no RAM.
    return sorted({word & -PAGE for word in words[::2] if (1 << 20) < word < machine.memory_bytes - PAGES * PAGE})


def around(pages):
    """Ranges of PAGES pages from each of these on, without overlap."""
    starts = []
    for page in sorted(pages):
        if not starts or page >= starts[-1] + PAGES * PAGE:
            starts.append(page)
    return [(start, start + PAGES * PAGE) for start in starts]


def runs(pages):
    """Ranges of these pages and no others, each of two or more."""
    found = []
    for page in sorted(pages):
        if found and found[-1][1] == page:
            found[-1][1] += PAGE
        else:
            found.append([page, page + PAGE])
    return [(start, end) for start, end in found if end - start > PAGE]


def scatter(machine, ranges, seed):
    """The pages of each range among themselves. Returns how many."""
    machine.must("; ".join(f"scrimctl scatter --range {start:#x}-{end:#x} --seed {seed} >/dev/null" for start, end in ranges), 600)
    return sum(end - start for start, end in ranges) // PAGE


@test("net-rings-move", cost=60)
def net_rings_move(t):
    """Rings and buffers of the card move under full traffic, with 2 ms for the card to write behind each copy: nothing is lost."""
    moved = 0
    with net_machine(t, scrim=BUILD / "broken/slow.elf", options=OPTIONS, extra=vtd.arguments()) as machine:
        bring_up(machine.wait_ready())
        rings = [ring(machine, base)[0] for base in (RX_RING, TX_RING)]
        with quiet_log(machine), under_traffic(machine) as traffic:
            for number in range(t.pick(8, 100)):
                pages = buffers(machine)[:: t.pick(8, 1)]
                machine.must("scrimctl virtualize")
                moved += scatter(machine, around(rings + pages), number)
                machine.must("scrimctl devirtualize >/dev/null && scrimctl check", 600)
                traffic.check_running()
        vtd.check_quiet(machine, "while rings moved")
    print(f"figure: {moved} pages of the card's rings and buffers scattered and brought home")


def signs(machine, peer, jobs):
    """What is wrong so far, at either end."""
    found = [line for job in jobs for line in job.output().splitlines() if "WRONG" in line] + peer.udp.places + peer.tcp.places
    now = counters(machine)
    return found + [f"{name}: {now[name]}" for name in ("rx_crc_errors", "Tcp.InCsumErrors", "Udp.InCsumErrors") if now[name]]


def find_wrong_bytes(t, **how):
    """Moves nothing but pages that the card receives into, until something is wrong. Prints what."""
    with net_machine(t, **how) as machine:
        bring_up(machine.wait_ready())
        with Peer(1) as peer:
            jobs = Traffic(machine, peer, 1).jobs.values()
            found, number = [], 0
            try:
                while not found and number < BROKEN_ROUNDS_MAX:
                    ranges = runs(buffers(machine))
                    machine.must("scrimctl virtualize")
                    scatter(machine, ranges, number)
                    found = signs(machine, peer, jobs)
                    machine.must("scrimctl devirtualize >/dev/null", 600)
                    number += 1
            except MachineError:
                # The kernel keeps what it knows of a packet behind it, in the same buffer.
                found += DIED.findall(machine.console)
        check(found, f"nothing was wrong in {number} rounds")
    print(f"figure: after {number} rounds: {found[0]}")


@test("net-shows-lost-merge", cost=40)
def net_shows_lost_merge(t):
    """The tests can fail: without the merge the same traffic finds wrong bytes."""
    find_wrong_bytes(t, scrim=BUILD / "broken/slow-no-merge.elf", options=OPTIONS, extra=vtd.arguments())


@test("net-shows-lost-update", cost=30)
def net_shows_lost_update(t):
    """The tests can fail: told that no device writes anywhere, Scrim moves pages under a card that goes on with the old frames."""
    find_wrong_bytes(t, options=f"{OPTIONS} dma-free=all")
