#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The demonstration: memory of a running Debian is virtualized, moved and devirtualized under verified load.

    demo.py [--record FILE]     (after `make demo`, which builds what it needs)

Whatever is claimed is looked at: by programs in the OS, and from outside in the machine's RAM, past every map. A check that
fails is printed in its place, and the exit status is then 1. --record writes the same text, without colour, to FILE.
"""

import argparse
import json
import os
import pathlib
import random
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))

import frame_graph  # noqa: E402
from machine import BUILD, Machine, MachineError, end_with_parent  # noqa: E402

CPUS = 4
MEMORY = "1G"
OPTIONS = "dma-free=all reserve=16M"
LOAD = "load --threads 4 --mib 96 --seconds 0"
STRESS = "stress-ng --vm 2 --vm-bytes 32M --vm-method all --verify --fork 1 --switch 1 --timer 1 --timer-freq 1000 --timeout 0"
NATIVE_SECONDS = 8
MOVED_SECONDS = 8
PAGE = 4096
SCATTERED = "16M-48M"  # Linux's own image lies there
SHARED = "512M-544M"
TEXT_PAGES, TABLE_PAGES, DATA_PAGES = 32, 32, 64
SEED = 1

# Offsets in AMD's VMCB (APM vol. 2, appendix B) and bits of its tables.
VMCB_NESTED_CONTROL, VMCB_NESTED_CR3 = 0x90, 0xB0
PRESENT, LARGE = 1, 1 << 7
ADDRESS = 0x000FFFFFFFFFF000
KERNEL_HALF = 256  # first entry of a top-level table that maps the kernel
KERNEL_MAP = 0xFFFFFFFF80000000  # where Linux maps its own image (Documentation/x86/x86_64/mm.rst); nokaslr

TROUBLE = re.compile(
    r"BUG|WARNING|Oops|Call Trace|Uhhuh|general protection|segfault|Machine [Cc]heck|stall|lockup|hung|Bad page|corrupt", re.ASCII)


class Story:
    """What is told: on the terminal, in colour where it is one, and without colour in a list for --record."""

    def __init__(self):
        self._colour = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
        self._start = time.monotonic()
        self._chapter = 0
        self.lines = []
        self.failures = []

    def _print(self, text, code=""):
        self.lines.append(text)
        print(f"\x1b[{code}m{text}\x1b[0m" if code and self._colour and text else text, flush=True)

    def chapter(self, title):
        self._chapter += 1
        self._print("")
        self._print(f"{self._chapter}. {title}  [{time.monotonic() - self._start:.0f} s]", "1;36")

    def title(self, text):
        self._print(text, "1")

    def say(self, text):
        self._print(f"   {text}")

    def show(self, text):
        """What a program has printed."""
        for line in text.splitlines():
            self._print(f"   | {line}", "2")

    def check(self, truth, text, otherwise=""):
        """A line that says what holds; where it does not, the demonstration has failed."""
        if truth:
            self._print(f"   ok    {text}", "32")
        else:
            self.failures.append(text)
            self._print(f"   WRONG {text}{': ' + otherwise if otherwise else ''}", "1;31")

    def table(self, head, rows):
        widths = [max(len(str(row[i])) for row in [head] + rows) for i in range(len(head))]
        for number, row in enumerate([head] + rows):
            cells = [str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                     for i, (cell, width) in enumerate(zip(row, widths))]
            self._print("   " + "  ".join(cells).rstrip(), "1" if number == 0 else "")

    def facts(self, rows):
        width = max(len(row[0]) for row in rows)
        for name, value in rows:
            self._print(f"   {name.ljust(width)}  {value}")


class Stage:
    """The machine with the verified load in it, and what is measured on the way."""

    def __init__(self, machine, story):
        self.machine = machine
        self.story = story
        self.random = random.Random(SEED)
        self.status_requests = 0  # exits that one `scrimctl status` costs
        self.native_exits = {}    # name of the watch: exits beyond those of looking
        self.costs = []           # rows of the table
        self.ram = None           # ranges of the OS's RAM
        self.moved = {}           # physical address: machine address
        self.kernel_pages = []    # of these, what is never free: text and page tables
        self.copies_home = 0
        self.home = None
        self.frames_seen = 0
        self.job_load = self.job_stress = None

    # --- looking ------------------------------------------------------------------------------------------------------

    def status(self):
        """Always asked from one CPU, the last one: a look then costs the same exits each time."""
        return json.loads(self.machine.must(f"taskset {1 << (CPUS - 1):x} scrimctl status --json"))

    def control_block_words(self, status, offset):
        return [self.machine.memory.read_u64(int(cpu["vmcb"], 16) + offset) for cpu in status["cpus"]]

    def check_from_outside(self, expected):
        """The nested paging bit of every VMCB, read in the machine's RAM."""
        status = self.status()
        bits = [word & 1 for word in self.control_block_words(status, VMCB_NESTED_CONTROL)]
        roots = {word for word in self.control_block_words(status, VMCB_NESTED_CR3)}
        word = "virtualized" if expected else "native"
        self.story.check(status["state"] == word, f"scrimctl status says: state {word}, {status['cpus_translating']} of {CPUS} CPUs translate")
        self.story.check(bits == [expected] * CPUS, f"from outside: nested paging in the {CPUS} VMCBs: {' '.join('on' if bit else 'off' for bit in bits)}")
        tables = len(roots) == 1 and (roots != {0}) == bool(expected)
        self.story.check(tables, f"from outside: nested CR3 {'0x%x in all' % roots.pop() if expected else '0 in all: no table of Scrim is walked'}",
                         str(roots))
        return status

    def calibrate(self):
        """Looking costs exits too: `status` asks by the control port. Two looks in a row tell how many."""
        first, second = self.status(), self.status()
        self.status_requests = second["exits"]["total"] - first["exits"]["total"]
        self.story.say(f"one look by scrimctl status costs {self.status_requests} exits, its requests; they are left out below")

    def exits_between(self, before, after):
        """{cause: exits} without those of the look itself."""
        causes = {cause: count - before["exits"]["by_cause"][cause] for cause, count in after["exits"]["by_cause"].items()}
        causes["request"] -= self.status_requests
        return {cause: count for cause, count in causes.items() if count}

    def watch_native(self, name, seconds):
        """The load runs; nothing may exit."""
        before = self.status()
        time.sleep(seconds)
        after = self.status()
        exits = self.exits_between(before, after)
        self.native_exits[name] = sum(exits.values())
        self.story.check(not exits, f"{seconds} s of the load in native: {sum(exits.values())} exits on {CPUS} CPUs", str(exits))

    # --- switching ----------------------------------------------------------------------------------------------------

    def measured(self, name, command, times=True):
        """Runs a command of scrimctl and notes what it cost."""
        before = self.status()
        output = self.machine.must(command, timeout=300)
        after = self.status()
        exits = self.exits_between(before, after)
        requests = exits.pop("request", 0)
        counters = {key: after["counters"][key] - before["counters"][key] for key in ("flushes", "kicks")}
        last = after["last_operation"]
        others = ", ".join(f"{count} {cause}" for cause, count in sorted(exits.items())) or "0"
        # Scrim times the last operation: of a command that moves many pages, the last page.
        pause, whole = (f"{last['longest_pause_us']:.0f}", f"{last['seconds'] * 1e6:.0f}") if times else ("-", "-")
        self.costs.append((name, requests, others, counters["flushes"], counters["kicks"], pause, whole))
        return output, last, counters


# --- chapters ---------------------------------------------------------------------------------------------------------


def boot(stage):
    machine, story = stage.machine, stage.story
    story.chapter("Debian boots on Scrim")
    machine.wait_ready()
    story.show("\n".join(line for line in machine.console.splitlines() if line.startswith("scrim: ")))
    story.say(f"Linux {machine.must('uname -r')}, unmodified, {machine.must('nproc')} CPUs; Scrim keeps "
              f"{stage.status()['memory']['vmm_bytes'] >> 10} KiB of {machine.memory_bytes >> 20} MiB")
    stage.check_from_outside(0)
    stage.calibrate()


def start_load(stage):
    machine, story = stage.machine, stage.story
    story.chapter("Verified load starts, and does not stop until the end")
    stage.job_load = machine.spawn(f"echo $$ >/run/load.pid; exec {LOAD}")
    stage.job_stress = machine.spawn(f"echo $$ >/run/stress.pid; exec {STRESS}")
    story.show(f"{LOAD}\n{STRESS}")
    story.say("every byte that load writes is a function of its seed; it is read back and compared all the time")
    stage.watch_native("before", NATIVE_SECONDS)


def virtualize(stage):
    story = stage.story
    story.chapter("Memory is virtualized under the load")
    output, _, counters = stage.measured("virtualize", "scrimctl virtualize")
    story.show(f"# scrimctl virtualize\n{output}")
    stage.check_from_outside(1)
    story.check(counters["kicks"] == 0, "no CPU was interrupted for it: 0 kicks", str(counters))


def move(stage):
    machine, story = stage.machine, stage.story
    story.chapter("Pages move: kernel text, page tables, the load's own data")
    groups = {"kernel text": text_pages(stage), "page tables of the kernel": table_pages(stage), "the load's data": data_pages(stage)}
    for name, pages in groups.items():
        story.check(len(pages) > 0, f"{len(pages):3} pages of {name}, such as 0x{pages[0] if pages else 0:x}")
    pages = sorted({page for group in groups.values() for page in group})
    stage.kernel_pages = groups["kernel text"] + groups["page tables of the kernel"]
    command = "scrimctl move " + " ".join(f"0x{page:x}" for page in pages)
    output, _, _ = stage.measured(f"move, {len(pages)} pages", command, times=False)
    stage.moved = {int(a, 16): int(b, 16) for a, b in re.findall(r"^(0x\w+) -> (0x\w+)$", output, re.MULTILINE)}
    lines = output.splitlines()
    story.show("\n".join(["# scrimctl move 0x..."] + lines[:2] + [f"... {len(lines) - 3} more", lines[-1]]))
    story.check(sorted(stage.moved) == pages, f"{len(stage.moved)} pages moved, {stage.status()['pages']['displaced']} displaced now")
    root = stage.control_block_words(stage.status(), VMCB_NESTED_CR3)[0]
    agree = sum(nested_walk(machine.memory, root, page) == frame for page, frame in stage.moved.items())
    story.check(agree == len(pages), f"from outside: the nested page tables lead {agree} of {len(pages)} pages to their new frames")


def spoil(stage):
    machine, story = stage.machine, stage.story
    story.chapter("The old frames are overwritten with 0xff, from outside")
    for page in stage.moved:
        machine.memory.write(page, b"\xff" * PAGE)
    story.say(f"{len(stage.moved)} frames, {len(stage.moved) * PAGE} bytes: whoever still used one would read 0xff for code, tables or data")
    time.sleep(MOVED_SECONDS)
    story.check(stage.job_load.poll() is None and stage.job_stress.poll() is None, f"{MOVED_SECONDS} s later the load still runs and has found no wrong byte")
    stage.frames_seen = sum(machine.memory.read(page, PAGE) == b"\xff" * PAGE for page in stage.moved)
    story.check(stage.frames_seen == len(stage.moved), f"from outside: {stage.frames_seen} of {len(stage.moved)} old frames are 0xff throughout: nobody wrote there")
    status, output = machine.run("scrimctl check")
    story.show(f"# scrimctl check\n{output.strip()}")
    story.check(status == 0, "every invariant of the map holds")


def scatter(stage):
    machine, story = stage.machine, stage.story
    story.chapter("The kernel's memory is scattered to the last page, and equal pages share frames")
    for name, command in (("scatter, 32 MiB", f"scrimctl scatter --range {SCATTERED} --seed {SEED} --batch 256"),
                          ("share, 32 MiB", f"scrimctl share --range {SHARED} --batch 256")):
        output, _, _ = stage.measured(name, command, times=False)
        story.show(f"# {command}\n{output.splitlines()[-1]}")
    pages = stage.status()["pages"]
    story.check(pages["displaced"] > 8000 and pages["shared"] > 0, f"{pages['displaced']} pages are displaced now, {pages['shared']} of all share a frame")
    status, output = machine.run("scrimctl check")
    story.check(status == 0, "every invariant of the map holds", output)
    story.check(stage.job_load.poll() is None and stage.job_stress.poll() is None, "the load still runs and has found no wrong byte")


def bound_of_the_way_home(stage):
    """From outside, with the machine stopped for the moment: what the nested page tables say takes so many copies at least."""
    status = stage.status()
    stage.machine.qmp("stop")
    bound = frame_graph.bound(frame_graph.frames(stage.machine, status, settled=False))
    stage.machine.qmp("cont")
    return bound


def devirtualize(stage):
    story = stage.story
    story.chapter("Every page comes home, and the map goes, under the load")
    stage.home = bound_of_the_way_home(stage)
    story.say(f"from outside: {stage.home.displaced} pages are not at home, on {stage.home.closed} cycles that only one copy more opens: "
              f"{stage.home.copies} copies at least")
    output, last, _ = stage.measured("devirtualize", "scrimctl devirtualize")
    stage.copies_home = last["copies"]
    story.show(f"# scrimctl devirtualize\n{output.splitlines()[-1]}")
    written = stage.home.copies - last["copies"]
    story.check(0 <= written < stage.home.copies // 10, f"they came home by {last['copies']} copies: no more than the bound"
                + (f", and {written} that shared a frame had been written to before" if written else ""))
    after = stage.check_from_outside(0)
    story.check(after["pages"]["displaced"] == 0, "0 pages displaced")
    lost = sum(stage.machine.memory.read(page, PAGE) == b"\xff" * PAGE for page in stage.kernel_pages)
    story.check(lost == 0, f"from outside: the {len(stage.kernel_pages)} frames of kernel text and page tables hold their pages again, no more 0xff")
    stage.watch_native("after", NATIVE_SECONDS)


def end_load(stage):
    """Returns what `load` has counted."""
    machine, story = stage.machine, stage.story
    story.chapter("The load ends: what it has verified")
    machine.must("kill -TERM $(cat /run/load.pid) $(cat /run/stress.pid)")
    status, output = stage.job_load.wait(120)
    counts = json.loads(output.splitlines()[-1]) if output.startswith("{") else {}
    story.check(status == 0 and counts.get("wrong") == 0, f"load: exit status {status}, wrong {counts.get('wrong', '?')}", output[-300:])
    status, output = stage.job_stress.wait(120)
    trouble = [line for line in output.splitlines() if re.search(r"fail|error", line, re.IGNORECASE) and not re.search(r"failed: 0", line)]
    story.check(status == 0 and not trouble, f"stress-ng --verify: exit status {status}, {len(trouble)} complaints", output[-300:])
    bad = [line for line in machine.dmesg() if TROUBLE.search(line)]
    story.check(not bad, f"the kernel's log: {len(bad)} lines of trouble", "\n".join(bad[:5]))
    return counts


def summary(stage, counts):
    story = stage.story
    story.chapter("In figures")
    moved = len(stage.moved)
    story.facts([
        ("bytes of memory verified", f"{counts.get('bytes_verified', 0):,} ({counts.get('pages_verified', 0):,} pages), wrong {counts.get('wrong', '?')}"),
        ("other checks", f"{counts.get('checks', 0):,} of order and time, {counts.get('messages', 0):,} messages, {counts.get('forks', 0):,} forks, "
                         f"lost timer ticks {counts.get('lost_ticks', '?')}"),
        ("exits in native under load", f"{stage.native_exits.get('before', '?')} before, {stage.native_exits.get('after', '?')} after ({NATIVE_SECONDS} s each)"),
        ("copies on the way home", f"{stage.copies_home}, lower bound {stage.home.copies} for {stage.home.displaced} pages"),
        ("old frames nobody used", f"{stage.frames_seen} of {moved}"),
    ])
    story.say("")
    story.table(("what each cost", "requests", "other exits", "flushes", "kicks", "longest exit us", "all us"), stage.costs)
    story.say("")
    story.say("Times are those of an emulated machine (QEMU TCG) on this host; counts are not.")


# --- which pages ------------------------------------------------------------------------------------------------------


def text_pages(stage):
    start, end = re.search(r"(\w+)-(\w+) : Kernel code", stage.machine.must("cat /proc/iomem")).groups()
    first, last = -(-int(start, 16) // PAGE), (int(end, 16) + 1) // PAGE
    return [page * PAGE for page in sorted(stage.random.sample(range(first, last), TEXT_PAGES))]


def table_pages(stage):
    """Page tables of the kernel's half, found by walking in RAM from its own top-level table: nothing has moved, so P is M."""
    symbol = stage.machine.must("grep -w init_top_pgt /proc/kallsyms").split()[0]
    root = int(symbol, 16) - KERNEL_MAP
    tables, level = [], [root]
    for depth in range(3):
        below = []
        for table in level:
            first = KERNEL_HALF if depth == 0 else 0
            words = [stage.machine.memory.read_u64(table + 8 * index) for index in range(first, 512)]
            below += [word & ADDRESS for word in words if word & PRESENT and not word & LARGE and in_ram(stage, word & ADDRESS)]
        level = sorted(set(below))
        tables += level
    tables = sorted(set(tables))
    return sorted(stage.random.sample(tables, min(TABLE_PAGES, len(tables))))


def data_pages(stage):
    """Pages of load's largest anonymous mapping, by /proc/PID/pagemap."""
    machine = stage.machine
    maps = machine.must("cat /proc/$(cat /run/load.pid)/maps")
    regions = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"^(\w+)-(\w+) rw-p \w+ 00:00 0\s*$", maps, re.MULTILINE)]
    start, end = max(regions, key=lambda region: region[1] - region[0])
    block = -(-start // (512 * PAGE))  # a block of pagemap: 512 entries, 2 MiB
    count = max(1, end // (512 * PAGE) - block)
    text = machine.must(f"dd if=/proc/$(cat /run/load.pid)/pagemap bs=4096 skip={block} count={count} 2>/dev/null | od -An -v -tx8")
    frames = [int(word, 16) for word in text.split()]
    pages = sorted({(word & ((1 << 55) - 1)) * PAGE for word in frames if word >> 63})
    pages = [page for page in pages if in_ram(stage, page) and page >= 1 << 20]
    return sorted(stage.random.sample(pages, min(DATA_PAGES, len(pages))))


def in_ram(stage, page):
    return any(start <= page and page + PAGE <= end for start, end in os_ram(stage))


def os_ram(stage):
    if stage.ram is None:
        stage.ram = [(int(part["start"], 16), int(part["end"], 16)) for part in stage.status()["portions"]]
    return stage.ram


def nested_walk(memory, root, page):
    """Machine address of a physical page by AMD's nested page tables (APM vol. 2, 15.25), or None."""
    entry = root
    for shift in (39, 30, 21, 12):
        entry = memory.read_u64((entry & ADDRESS) + 8 * (page >> shift & 511))
        if not entry & PRESENT:
            return None
        if entry & LARGE and shift > 12:
            return (entry & ADDRESS & ~((1 << shift) - 1)) | (page & ((1 << shift) - 1))
    return entry & ADDRESS


# --- the whole --------------------------------------------------------------------------------------------------------


def tell(story):
    story.title("Scrim: memory of a running Debian is virtualized, moved and devirtualized")
    story.say(f"The machine: QEMU, AMD EPYC with SVM, emulated; {CPUS} CPUs, {MEMORY} of RAM. Scrim's options: {OPTIONS}.")
    with Machine(BUILD / "demo", scrim=True, cpus=CPUS, memory=MEMORY, options=OPTIONS) as machine:
        stage = Stage(machine, story)
        for step in (boot, start_load, virtualize, move, spoil, scatter, devirtualize):
            step(stage)
        summary(stage, end_load(stage))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", metavar="FILE", help="write the text to FILE as well")
    options = parser.parse_args()
    end_with_parent()
    story = Story()
    try:
        tell(story)
    except MachineError as reason:
        story.check(False, "the machine did what was asked of it", str(reason))
    story.say("")
    if story.failures:
        story.title(f"FAILED: {len(story.failures)} of what was checked does not hold.")
    else:
        story.title("Everything that was checked holds.")
    if options.record:
        pathlib.Path(options.record).write_text("\n".join(line.rstrip() for line in story.lines) + "\n")
    return 1 if story.failures else 0


if __name__ == "__main__":
    sys.exit(main())
