# SPDX-License-Identifier: BSD-2-Clause
"""Where every page lies, read from outside out of the tables that the hardware walks, and what the way home costs at least.

Nothing here asks Scrim but for the address of a CPU's control block.
"""

import dataclasses
import struct

PAGE_SHIFT = 12
PAGE = 1 << PAGE_SHIFT
CHUNK_PAGES = 512
NCR3 = 0xB0  # N_CR3 in the VMCB (AMD APM vol. 2, appendix B)
PRESENT, WRITABLE, LARGE = 1, 2, 1 << 7
ADDRESS = 0x000FFFFFFFFFF000
LEVELS = (39, 30, 21, 12)


def _table(machine, address):
    return struct.unpack("<512Q", machine.memory.read(address, PAGE))


def frames(machine, status, settled=True):
    """{page: (frame, writable)} of every page that is not, with its whole large entry, where Identity has it. Numbers of pages.

    Unless `settled`, pages may be on their way at this moment, and are left out.
    """
    root = machine.memory.read_u64(int(status["cpus"][0]["vmcb"], 16) + NCR3) & ADDRESS
    top = max(int(part["end"], 16) for part in status["portions"])
    found = {}
    _read(machine, root, 0, 0, top, settled, found)
    return found


def _read(machine, table, level, base, top, settled, found):
    """Adds what lies below `table`, whose first entry is for address `base`. Entries that are large must be Identity."""
    shift = LEVELS[level]
    for index, entry in enumerate(_table(machine, table)):
        address = base + (index << shift)
        if address >= top:
            return
        if not entry & PRESENT:
            if level == len(LEVELS) - 1 and settled:
                raise AssertionError(f"page {address:#x} is absent, and nothing is in flight")
        elif level == len(LEVELS) - 1:
            found[address >> PAGE_SHIFT] = ((entry & ADDRESS) >> PAGE_SHIFT, bool(entry & WRITABLE))
        elif entry & LARGE:
            if entry & ADDRESS & ~((1 << shift) - 1) != address:
                raise AssertionError(f"the large entry for {address:#x} says {entry:#x}")
        else:
            _read(machine, entry & ADDRESS, level + 1, address, top, settled, found)


@dataclasses.dataclass
class Bound:
    """Copies that bring pages home, at least: one for each page that has to move, one more for each cycle that is closed."""

    displaced: int
    moving: int
    cycles: int
    closed: int
    longest: int
    sharing: int

    @property
    def copies(self):
        return self.moving + self.closed


def bound(found, first=0, last=1 << 52):
    """Of the pages and frames [first, last).

    Page p lies in frame f(p), the home of page f(p). Drawn as p -> f(p), each page has one arrow out, so displaced pages form
    trees and cycles with trees on them. Each displaced page needs a copy: nothing else writes its contents into its home. In
    a tree that is enough: a page to whose home no arrow comes goes first. On a cycle every home is occupied, so some page has
    to leave a frame for another than its home, one copy more; but not if a frame of the cycle has an occupant beside the
    cycle's own: that one hangs on a tree, so it comes home, and its sharer on the cycle can read it there with no copy.
    Of a range only pages that are in it, or in frames of it, have to move; a cycle that leaves it is opened by who leaves.
    """
    away = {page: frame for page, (frame, _) in found.items() if frame != page}
    occupants = {}
    for frame, _ in found.values():
        occupants[frame] = occupants.get(frame, 0) + 1

    def inside(number):
        return first <= number < last

    result = Bound(len(away), sum(inside(page) or inside(frame) for page, frame in away.items()), 0, 0, 0,
                   sum(1 for frame, _ in found.values() if occupants[frame] > 1))
    walked = {}
    for start in away:
        page = start
        while page in away and page not in walked:
            walked[page] = start
            page = away[page]
        if page not in away or walked[page] != start:
            continue
        cycle, at = [page], away[page]
        while at != page:
            cycle.append(at)
            at = away[at]
        result.cycles += 1
        result.closed += all(inside(at) and occupants[at] == 1 for at in cycle)
        result.longest = max(result.longest, len(cycle))
    return result
