# SPDX-License-Identifier: BSD-2-Clause
"""Every way home, from every kind of map, under verified load: direct or indirect, with each reverse, concurrent or paused, all
memory or a portion, scattered, shared or both.

How many copies the way home costs at least is computed from the nested tables, read from outside just before it begins.
"""

import itertools
import time

import frame_graph
import twins
from registry import check, check_equal, test
from under_load import quiet_log, under_load

REMAPS = ("direct", "indirect")
REVERSES = ("backmap", "refcount", "search")
WAYS = ("concurrent", "paused")
CONTENTS = ("scattered", "shared", "both")
EXTENTS = ("whole", "portion")

STANDING = (0x2000000, 0x2400000)  # another portion, which stays where it is while one comes home
STANDING_MOVED = 24
BATCH = 256

QUIETLY = """
quietly() { "$@" >/tmp/said 2>&1 || { status=$?; echo "$*: exit status $status"; cat /tmp/said; exit 1; }; }
"""


def run(machine, *commands):
    """Commands that all must end with 0, in one shell."""
    return machine.must(QUIETLY + "\n".join(f"quietly {command}" for command in commands), 600)


def run_then_status(machine, *commands):
    run(machine, *commands)
    return machine.status()


def check_native(machine, boot):
    """NATIVE, and all memory, frames and pages as after boot."""
    status = machine.status()
    check_equal(status["state"], "native", "state")
    check_equal(status["memory"], boot["memory"], "memory, against that after boot")
    check_equal(status["pages"], boot["pages"], "pages, against those after boot")


class Case:
    """One machine's way through its combinations."""

    def __init__(self, machine, own, mib, backend="nested"):
        self.machine, self.own, self.mib = machine, own, mib
        self.remap = self.extent = None
        self.boot = machine.status()
        self.seed = 0
        self.exact = True
        self.backend = backend
        self.figures = []

    def begin(self, reverse):
        """VIRTUALIZED, with the reverse that the map is made under."""
        virtualize = f"scrimctl virtualize --backend {self.backend}"
        run(self.machine, virtualize, f"scrimctl devirtualize --reverse {reverse}")
        check_equal(self.machine.status()["reverse"], reverse, "reverse")
        if self.extent == "whole":
            run(self.machine, virtualize)
            check_equal(self.machine.status()["backend"], self.backend, "back-end")
            return
        start, end = STANDING
        moved = " ".join(hex(start + number * frame_graph.PAGE) for number in range(STANDING_MOVED))
        run(self.machine, f"{virtualize} --range {start:#x}-{end:#x} --range {self.own.words}", f"scrimctl move {moved}")

    def away(self, content):
        """The map is made. Returns what the way home has to cost, by a look from outside."""
        commands = []
        self.seed += 1
        if content != "shared":
            what = f"--range {self.own.words}" if self.extent == "portion" else f"--fraction {self.mib << 20}/{self.machine.memory_bytes}"
            commands.append(f"scrimctl scatter --seed {self.seed} --batch {BATCH} {what}")
        if content != "scattered":
            commands.append(f"scrimctl share --batch {BATCH} --range {self.own.words}")
        status = run_then_status(self.machine, *commands, "scrimctl check")
        limits = (self.own.start // frame_graph.PAGE, self.own.end // frame_graph.PAGE) if self.extent == "portion" else ()
        found = frame_graph.bound(frame_graph.frames(self.machine, status, self.exact), *limits)
        self.check_made(content, status["pages"], found)
        return found

    def check_made(self, content, pages, found):
        """It is the map that was asked for, and the same seen from inside and from outside."""
        wanted = (self.mib << 20) // frame_graph.PAGE
        if self.exact:
            check_equal(pages["displaced"], found.displaced, "pages displaced, of which the tables tell")
        if content != "shared":
            check(found.displaced >= wanted * (0.98 if self.extent == "portion" else 0.85), f"only {found.displaced} of {wanted} pages displaced")
        if content != "scattered":
            at_least = wanted * (self.own.of_a_kind - 1) // self.own.of_a_kind
            check(pages["saved"] >= at_least * 0.5, f"only {pages['saved']} frames saved, {at_least} could be")

    def home(self, reverse, way, jobs):
        options = f"--remap {self.remap} --reverse {reverse} --{way}"
        options += " --force" if way == "paused" else f" --jobs {jobs}"
        if self.extent == "portion":
            options += f" --range {self.own.words}"
        status = run_then_status(self.machine, f"scrimctl devirtualize {options}", "scrimctl check")
        last = status["last_operation"]
        check_equal(last["name"], "devirtualize", "last operation")
        if self.extent == "portion":
            check_equal(status["state"], "virtualized", "state, with another portion managed")
            check_equal([(part["start"], part["end"]) for part in status["ranges"]["managed"]],
                        [tuple(f"{address:#x}" for address in STANDING)], "portions still managed")
            check_equal(status["pages"]["displaced"], STANDING_MOVED, "pages displaced in the other portion")
            run(self.machine, "scrimctl devirtualize", "scrimctl check")
        check_native(self.machine, self.boot)
        self.own.check_running()
        return last

    def combination(self, reverse, way, content, jobs=1, made_under="backmap"):
        begin = time.monotonic()
        self.begin(made_under)
        found = self.away(content)
        last = self.home(reverse, way, jobs)
        name = f"{self.remap} {reverse} {way} {self.extent} {content}"
        ratio = last["copies"] / found.copies
        self.figures.append((name, found, last, ratio, time.monotonic() - begin))
        check_equal(last["copies"], last["pages_moved"], f"{name}: copies, one a move")
        if self.exact:
            check(last["copies"] >= found.copies, f"{name}: {last['copies']} copies, fewer than the bound of {found}: it is none")
            check_equal(last["direct"], found.moving, f"{name}: pages straight home")
        if self.exact and self.remap == "direct":
            check_equal(last["copies"], found.copies, f"{name}: copies, against the bound ({found})")
        check(self.remap == "direct" or last["indirect"] > 0 or content == "shared", f"{name}: no page moved indirectly")

    def print_figures(self):
        for name, found, last, ratio, seconds in self.figures:
            print(f"figure: {name}: {last['copies']} copies of {found.copies} at least ({found.moving} pages, {found.cycles} cycles, "
                  f"{found.closed} closed, the longest of {found.longest}; {found.sharing} pages sharing): {ratio:.3f}; "
                  f"home in {last['seconds']:.2f} s, all in {seconds:.1f} s")


def remap_machine(t, how, mib, combinations, writes=0, backend="nested"):
    """All combinations on one machine. `combinations`: [(remap, extent, reverse, way, content)]."""
    with t.machine(args=twins.arguments(mib), **how) as machine:
        machine.wait_ready()
        own = twins.Twins(machine, mib, writes=writes)
        with quiet_log(machine), under_load(machine, mib=32, stress=None, threads=1) as load:
            case = Case(machine, own, mib, backend)
            case.exact = writes == 0
            for number, (remap, extent, *rest) in enumerate(combinations):
                case.remap, case.extent = remap, extent
                # Looking for equal pages by search takes its time: in the short run those maps are made under the back map.
                natural = t.soak or rest[2] == "scattered"
                case.combination(*rest, jobs=1 + number % 2, made_under=rest[0] if natural else "backmap")
            own_report = own.stop()
        check_equal(machine.status()["counters"]["cpus_lost"], 0, "CPUs lost")
    case.print_figures()
    print(f"figure: {len(combinations)} combinations, {mib} MiB each, {how['cpus']} CPUs; {own_report['passes']} passes over "
          f"{own_report['mib']} MiB of equal pages, {own_report['written']} written, 0 wrong; {load.figures()}")


SMALL = {"cpus": 2, "memory": "512M", "options": "dma-free=all reserve=32M"}
LARGE = {"cpus": 2, "memory": "1536M", "options": "dma-free=all reserve=96M"}
LARGE_SOAK = {**LARGE, "cpus": 4}


def group(remap, extent):
    def body(t):
        combinations = [(remap, extent, *rest) for rest in itertools.product(REVERSES, WAYS, CONTENTS)]
        remap_machine(t, SMALL, 64, combinations)
        if t.soak:
            remap_machine(t, LARGE_SOAK, 256, combinations)

    return body


for _remap, _extent in itertools.product(REMAPS, EXTENTS):
    test(f"remap-{_remap}-{_extent}", cost=75)(group(_remap, _extent))


SHORT = (("direct", "whole", "backmap", "concurrent", "both"), ("indirect", "portion", "refcount", "paused", "scattered"),
         ("direct", "portion", "search", "concurrent", "shared"), ("indirect", "whole", "backmap", "paused", "both"))


def on_backend(backend):
    """A few of the combinations in `make test`, all of them in `make soak`, without nested paging."""

    def body(t):
        every = list(itertools.product(REMAPS, EXTENTS, REVERSES, WAYS, CONTENTS))
        remap_machine(t, SMALL, 24 if not t.soak else 64, t.pick(list(SHORT), every), backend=backend)

    return body


for _backend in ("shadow", "vtlb"):
    test(f"{_backend}-remap", cost=45)(on_backend(_backend))


@test("remap-256", cost=90)
def remap_256(t):
    """256 MiB, and equal pages are written to all the time: a share that ends on the way home costs no copy of the plan's."""
    remap_machine(t, t.pick(LARGE, LARGE_SOAK), 256, [
        ("direct", "portion", "search", "concurrent", "scattered"),
        ("direct", "whole", "backmap", "paused", "both"),
        ("direct", "whole", "refcount", "concurrent", "scattered"),
        ("indirect", "whole", "search", "paused", "scattered"),
        ("indirect", "portion", "refcount", "paused", "scattered"),
        ("indirect", "portion", "backmap", "concurrent", "shared"),
    ], writes=64)
