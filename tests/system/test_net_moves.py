# SPDX-License-Identifier: BSD-2-Clause
"""The very pages that a network card writes move again and again, the time between copy and switch made long (tests/broken/slow.c).

With it a device writes in nearly every move behind the copy, which it hardly ever does in a microsecond. All of it has to come along; and
Scrim that does not merge it is found out.
"""

import re
import struct

import vtd
from machine import BUILD
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


def scatter(machine, pages, seed):
    """Each of these pages goes elsewhere, and the few behind it."""
    starts = []
    for page in sorted(pages):
        if not starts or page >= starts[-1] + PAGES * PAGE:
            starts.append(page)
    machine.must("; ".join(f"scrimctl scatter --range {start:#x}-{start + PAGES * PAGE:#x} --seed {seed} >/dev/null" for start in starts), 600)
    return len(starts) * PAGES


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
                moved += scatter(machine, rings + pages, number)
                machine.must("scrimctl devirtualize >/dev/null && scrimctl check", 600)
                traffic.check_running()
        vtd.check_quiet(machine, "while rings moved")
    print(f"figure: {moved} pages of the card's rings and buffers scattered and brought home")


def signs(machine, peer, jobs):
    """What is wrong so far, at either end."""
    found = [line for job in jobs for line in job.output().splitlines() if "WRONG" in line] + peer.udp.places + peer.tcp.places
    now = counters(machine)
    return found + [f"{name}: {now[name]}" for name in ("rx_crc_errors", "Tcp.InCsumErrors", "Udp.InCsumErrors") if now[name]]


@test("net-shows-lost-merge", cost=40)
def net_shows_lost_merge(t):
    """The test can fail: without the merge the same traffic finds wrong bytes."""
    with net_machine(t, scrim=BUILD / "broken/slow-no-merge.elf", options=OPTIONS, extra=vtd.arguments()) as machine:
        bring_up(machine.wait_ready())
        with Peer(1) as peer:
            jobs = Traffic(machine, peer, 1).jobs.values()
            found = []
            for number in range(BROKEN_ROUNDS_MAX):
                pages = buffers(machine)
                machine.must("scrimctl virtualize")
                scatter(machine, pages, number)
                machine.must("sleep 0.2; scrimctl devirtualize >/dev/null", 600)
                found = signs(machine, peer, jobs)
                if found:
                    break
        check(found, f"nothing was wrong in {BROKEN_ROUNDS_MAX} rounds")
    print(f"figure: in round {number + 1}: {found[0]}")
