# SPDX-License-Identifier: BSD-2-Clause
"""Devices go on while all RAM that Scrim may move goes away and comes home: an e1000e under full traffic, an NVMe disk under fio."""

import amdvi
import disk
import vtd
from registry import check, check_equal, test
from test_net import MOVES_TIMEOUT, bring_up, net_machine, under_traffic
from test_nvme import HOLD, SCRIMCTL, nvme_machine, prepare, under_fio
from under_load import quiet_log

RESERVE = "reserve=64M"
PAGE = 4096
PIECE = 32 << 20
NO_AHCI = ["-machine", "sata=off"]  # QEMU's keeps host pointers for as long as its driver is there
STAY = 16  # a random permutation leaves about one page at home
BACKENDS = ("shadow", "vtlb", "nested")


def check_scattered(machine, what):
    """All pages that may be moved are displaced. Returns their number."""
    pages = machine.status()["pages"]
    check(pages["managed"] - STAY * what <= pages["displaced"] <= pages["managed"], f"{pages} after scatter")
    return pages["displaced"]


def net_moves(t, unit, rounds):
    """No wrong byte, no packet lost, no reset of the card, no fault of the IOMMU."""
    with net_machine(t, options=RESERVE, extra=unit.arguments()) as machine:
        bring_up(machine.wait_ready())
        with quiet_log(machine), under_traffic(machine) as traffic:
            for number in range(rounds):
                machine.must("scrimctl virtualize")
                machine.must(f"scrimctl scatter --seed {number + 1} >/dev/null && scrimctl check", MOVES_TIMEOUT)
                displaced = check_scattered(machine, 1)
                traffic.check_running()
                machine.must("scrimctl devirtualize >/dev/null && scrimctl check", MOVES_TIMEOUT)
                check_equal(machine.status()["state"], "native", f"state, round {number}")
                traffic.check_running()
        unit.check_quiet(machine, "under moves")
    print(f"figure: {unit.KIND}: {displaced} pages displaced in each of {rounds} rounds")


@test("net-under-moves", cost=100)
def net_under_moves(t):
    """All RAM goes away and comes home under full traffic of a card behind VT-d."""
    net_moves(t, vtd, t.pick(3, 30))


@test("net-under-moves-amdvi", cost=80)
def net_under_moves_amdvi(t):
    """The same behind AMD-Vi."""
    net_moves(t, amdvi, t.pick(2, 30))


def pieces(machine):
    """The portions that may be moved, cut so that the disks are not held for long each time."""
    portions = [(int(part["start"], 16), int(part["end"], 16)) for part in machine.status()["portions"]]
    whole = [(start // PAGE * PAGE, end // PAGE * PAGE) for start, end in portions]
    return [(start, min(start + PIECE, end)) for low, end in whole for start in range(low, end, PIECE)]


def each_piece(machine, parts, verb):
    """Does it to one piece after another, the disks held for each and let go between."""
    machine.must("".join(f"{HOLD} {SCRIMCTL} {verb} --range {start:#x}-{end:#x} >/dev/null && " for start, end in parts) + "true", MOVES_TIMEOUT)


@test("nvme-under-moves", cost=200)
def nvme_under_moves(t):
    """No wrong byte, no I/O error, no fault of the IOMMU. QEMU's NVMe takes a host pointer when a request is submitted: none may be under way."""
    with nvme_machine(t, disk.scrim_entry(RESERVE), extra=[*vtd.arguments(), *NO_AHCI]) as machine:
        prepare(machine)
        with quiet_log(machine), under_fio(machine, t.pick(2, 60)):
            for number in range(t.pick(1, 30)):
                machine.must(f"{SCRIMCTL} virtualize")
                parts = pieces(machine)
                each_piece(machine, parts, f"scatter --seed {number + 1}")
                displaced = check_scattered(machine, len(parts))
                for backend in BACKENDS:
                    machine.must(f"{SCRIMCTL} virtualize --backend {backend}")
                each_piece(machine, parts, "devirtualize")
                check_equal(machine.status()["pages"]["displaced"], 0, f"pages displaced, round {number}")
                machine.must(f"{SCRIMCTL} devirtualize && {SCRIMCTL} check")
                check_equal(machine.status()["state"], "native", f"state, round {number}")
        vtd.check_quiet(machine, "under moves")
    print(f"figure: {displaced} pages displaced in each of {number + 1} rounds, {len(parts)} pieces a round, on {', '.join(BACKENDS)}")
