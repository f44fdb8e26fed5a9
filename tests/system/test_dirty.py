# SPDX-License-Identifier: BSD-2-Clause
"""What is written over an interval: for pages of a program's own exactly those that it wrote, whatever translates."""

import json

from registry import check, check_equal, test
from under_load import quiet_log

PAGES = 900
BACKENDS = ("nested", "shadow", "vtlb")
WAIT = "for i in $(seq 600); do {} && exit 0; sleep 0.1; done; exit 1"


def written_by(machine, seed, seconds):
    """Lets a program write while `dirty` looks. Returns (its pages {address: written}, what dirty printed)."""
    machine.must("rm -f /tmp/go /tmp/dirty.json")
    program = machine.spawn(f"writer {PAGES} {seed} /tmp/go")
    machine.must(WAIT.format("grep -q ready /tmp/job.*.out 2>/dev/null"))
    watch = machine.spawn(f"scrimctl dirty --seconds {seconds} --json >/tmp/dirty.json")
    machine.must(WAIT.format("scrimctl status --json | grep -q '\"kind\": *\"dirty\"'"))
    machine.must("touch /tmp/go")
    machine.must(WAIT.format("grep -q written /tmp/job.*.out"))
    check(watch.poll() is None, "dirty ended before the program had written")
    check_equal(watch.wait(300)[0], 0, "exit status of dirty")
    machine.must("rm /tmp/go")
    code, output = program.wait(300)
    check_equal(code, 0, "exit status of the program")
    machine.must("rm -f /tmp/job.*.out")
    pages = {int(line.split()[0], 16): line.endswith("w") for line in output.splitlines() if line.startswith("0x")}
    return pages, json.loads(machine.must("cat /tmp/dirty.json"))


def seen_written(found):
    """The set of written pages' addresses."""
    return {page for run in found["ranges"] for page in range(int(run["start"], 16), int(run["end"], 16), 4096)}


@test("dirty-exact", cost=40)
def dirty_exact(t):
    """On each back-end, with pages displaced too: a program's written pages and no other of its pages."""
    with t.machine(cpus=2, memory="256M", options="dma-free=all reserve=32M") as machine:
        machine.wait_ready()
        with quiet_log(machine):
            pages, found = written_by(machine, 1, 6)
            check_equal(machine.status()["state"], "native", "state after dirty from native")
            machine.must("scrimctl virtualize >/dev/null && scrimctl scatter --range 16M-64M --batch 256 >/dev/null", 300)
            for number, backend in enumerate(BACKENDS):
                machine.must(f"scrimctl virtualize --backend {backend} >/dev/null")
                pages, found = written_by(machine, number + 2, 6)
                seen = seen_written(found)
                check_equal(len(pages), PAGES, "pages of the program")
                wrong = [hex(page) for page, wrote in pages.items() if wrote != (page in seen)]
                check_equal(wrong, [], f"{backend}: pages that were seen otherwise than written")
                check_equal((len(seen), sum(block["written"] for block in found["blocks"])), (found["written"],) * 2, "counts")
                check(found["pages"] <= machine.status()["pages"]["ram"], f"{found['pages']} pages looked at")
                check_equal([machine.status()["watch"]["kind"], machine.status()["state"]], ["none", "virtualized"], "watch, state")
                print(f"figure: {backend}: {sum(pages.values())} of {PAGES} pages written, exactly these seen; {found['written']} of {found['pages']} in all")
            machine.must("scrimctl check && scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
            picture = machine.must("scrimctl dirty --seconds 1 --range 16M-64M")
    check("one cell is 2.0 MiB" in picture and "working set of writes:" in picture, picture)
