# SPDX-License-Identifier: BSD-2-Clause
"""256 MiB scattered to the last page on 4 CPUs, the kernel's code and page tables among it, under the loads that find wrong bytes."""

import re
import types

import frame_graph
import loads
import page_tables
from registry import check, check_equal, test
from under_load import quiet_log

PAGE = 4096
MIB = 1 << 20
KERNEL = (16 * MIB, 80 * MIB)
MORE = 196 * MIB  # from the end of RAM down: there the OS takes most of its pages from
KERNEL_MAP = 0xFFFFFFFF80000000
SAMPLES = 64


def ranges(status):
    """Two ranges of 260 MiB in all: not every page of them may be moved, and some permutations leave a page where it is."""
    last = max(int(part["end"], 16) for part in status["portions"] if int(part["end"], 16) - int(part["start"], 16) > MORE)
    check(last - MORE >= KERNEL[1], f"the RAM ends at {last:#x}")
    return KERNEL, (last - MORE, last)


class View:
    """The machine's memory by physical address, through the map as it was when the machine stopped: what the OS sees."""

    def __init__(self, machine, found):
        self._machine, self._found = machine, found
        self.memory = types.SimpleNamespace(read=self.read, read_u64=lambda address: int.from_bytes(self.read(address, 8), "little"))

    def frame(self, address):
        """Machine address."""
        return self._found.get(address // PAGE, (address // PAGE,))[0] * PAGE + address % PAGE

    def read(self, address, count):
        """Page by page."""
        here = min(count, PAGE - address % PAGE)
        data = self._machine.memory.read(self.frame(address), here)
        return data if here == count else data + self.read(address + here, count - here)


def code_pages(machine):
    match = re.search(r"([0-9a-f]+)-([0-9a-f]+) : Kernel code", machine.must("cat /proc/iomem"))
    start, end = (int(text, 16) for text in match.groups())
    return list(range(start, end // PAGE * PAGE, PAGE))


def banner(machine):
    """(virtual address of the kernel's banner, how it begins)."""
    symbol = machine.must("grep -w linux_banner /proc/kallsyms").split()[0]
    return int(symbol, 16), machine.must("cut -d ' ' -f 1-3 /proc/version").encode()


def look(machine, code, text):
    """With the OS stopped. Returns how many CPUs have their top page table in a frame that is not its home."""
    status = machine.status()
    where, begins = text
    machine.qmp("stop")
    found = frame_graph.frames(machine, status, settled=False)
    view = View(machine, found)
    displaced_tables = set()
    for address, content in code.items():
        check(view.frame(address) != address, f"the code page {address:#x} is at home")
        check(view.read(address, PAGE) == content, f"the code page {address:#x} has another content in its frame {view.frame(address):#x}")
    for registers in page_tables.registers(machine):
        top = registers["CR3"] & page_tables.ADDRESS
        if view.frame(top) != top:
            displaced_tables.add(top)
        physical = page_tables.translate(view, registers["CR3"], where)
        check(physical and view.read(physical, len(begins)) == begins, f"the kernel's banner is not where CR3 {top:#x} leads to by the map")
    machine.qmp("cont")
    for address in code:
        machine_address = int(machine.must(f"ask 0 translate {address:#x}").split()[1], 16)
        check_equal(machine_address, view.frame(address), f"what TRANSLATE says of {address:#x}, against the tables")
    return len(displaced_tables), found


@test("scatter-kernel", cost=90)
def scatter_kernel(t):
    with t.machine(cpus=4, memory="512M", options="dma-free=all reserve=32M", files=loads.files()) as machine:
        machine.wait_ready()
        boot = machine.status()
        parts = ranges(boot)
        code = code_pages(machine)
        check(KERNEL[0] <= code[0] and code[-1] < KERNEL[1], f"the kernel lies at {code[0]:#x}")
        before = {address: machine.memory.read(address, PAGE) for address in code}
        sample = {address: before[address] for address in code[:: len(code) // SAMPLES]}
        text = banner(machine)
        with quiet_log(machine):
            load = loads.Loads(machine)
            for number in range(t.pick(1, 10)):
                machine.must("scrimctl virtualize")
                for start, end in parts:
                    machine.must(f"scrimctl scatter --range {start:#x}-{end:#x} --seed {number + 1} --batch 256 >/dev/null", 600)
                machine.must("scrimctl check")
                still = {address: content for address, content in sample.items() if machine.must(f"ask 0 translate {address:#x}").endswith(" 1")}
                check(len(still) > len(sample) * 0.9, f"only {len(still)} of {len(sample)} pages of code are displaced")
                tables, found = look(machine, still, text)
                check(tables > 0, "no CPU's top page table is displaced")
                bound = frame_graph.bound(found)
                check(bound.displaced * PAGE >= 256 * MIB, f"only {bound.displaced} pages are displaced")
                load.check_running()
                machine.must("scrimctl devirtualize --batch 256 && scrimctl check", 600)
                last = machine.status()["last_operation"]
                check_equal(last["copies"], bound.copies, "copies, against the bound")
                load.check_running()
            while load.memtester_loops() < 1:
                machine.must("sleep 1")
            figures = load.stop()
        after = machine.status()
        check_equal((after["state"], after["memory"], after["pages"]), ("native", boot["memory"], boot["pages"]), "state, memory and pages at the end")
        changed = [hex(address) for address, content in before.items() if machine.memory.read(address, PAGE) != content]
        check(not changed, f"kernel code has changed at {changed[:8]}")
    print(f"figure: {bound.displaced} pages displaced ({len(still)} of {len(sample)} code pages looked at, the top tables of {tables} of 4 CPUs), "
          f"{last['copies']} copies home, {bound.copies} at least, in {last['seconds']:.1f} s")
    print(f"figure: {figures}")
