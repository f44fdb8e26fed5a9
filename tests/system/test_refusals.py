# SPDX-License-Identifier: BSD-2-Clause
"""What the verbs that move memory refuse: one clear line, exit status 1 (refused) or 2 (usage), and the machine is as before."""

import re

import iomem
from registry import check, check_equal, test
from test_fuzz_port import lasting
from under_load import quiet_log

MANAGED = "64M-96M"

# Whatever the state is: (command, exit status, what must be said). None: usage, in words of its own.
ALWAYS = (
    ("scatter --fraction 0", 2, "no fraction above 0"),
    ("scatter --fraction 1.5", 2, "no fraction above 0"),
    ("scatter --fraction 25", 2, "no fraction above 0"),
    ("scatter --fraction 1/0", 2, "no fraction above 0"),
    ("scatter --seed x", 2, "no number"),
    ("scatter --batch 1", 2, "2 to 256"),
    ("scatter --batch 257", 2, "2 to 256"),
    ("scatter --range 64M-80M --range 80M-96M", 2, "takes one --range"),
    ("scatter 64M", 2, None),
    ("scatter --what", 2, "--what"),
    ("share --batch 0", 2, "1 to 256"),
    ("share --range 64M", 2, None),
    ("share --range 80M-64M", 2, None),
    ("share --seed 1", 2, "--seed"),
    ("devirtualize --remap sideways", 2, "sideways"),
    ("devirtualize --reverse none", 2, "none"),
    ("devirtualize --batch 0", 2, "1 to 256"),
    ("devirtualize --jobs 0", 2, "threads"),
    ("devirtualize --concurrent --paused", 2, "exclude each other"),
    ("devirtualize --force", 2, "--paused only"),
    ("devirtualize --abort --paused", 2, "--abort goes with no other option"),
    ("devirtualize --range 64M", 2, None),
    ("virtualize --range 64M-", 2, None),
    ("virtualize --range 0x1q-0x2q", 2, None),
    ("virtualize --backend none", 2, "no back-end"),
    ("lend", 2, "one size"),
    ("lend 1x", 2, "no size"),
    ("lend 1M 2M", 2, "one size"),
    ("move", 2, None),
)
NATIVE = (
    ("scatter", 1, "memory is not virtualized; run scrimctl virtualize first"),
    ("share", 1, "memory is not virtualized; run scrimctl virtualize first"),
    ("move 64M", 1, "memory is not virtualized; run scrimctl virtualize first"),
    ("devirtualize --abort", 1, "no unfinished devirtualize"),
)
BAD_RANGES = (  # of virtualize, and of devirtualize
    ("--range 0x4000800-80M", "does not start and end with a page"),
    ("--range 64M-0x5000001", "does not start and end with a page"),
    ("--range 64M-80M --range 72M-96M", "overlap"),
    ("--range 64M-80M --range 64M-80M", "overlap"),
    ("--range 64M-64G", "refused"),
    ("--range 0xfee00000-0xfee01000", "a hole, a device or firmware"),
    ("--range 0xb0000000-0xb0100000", "a hole, a device or firmware"),
    ("--range 0xa0000-0x100000", "a hole, a device or firmware"),
    ("--range 0x80000-2M", "refused"),
)
VIRTUALIZED = (
    ("devirtualize --range 16M-20M", 1, "not managed"),
    ("devirtualize --range 60M-68M", 1, "managed only in part"),
    ("scatter --range 0x4000800-80M", 1, "does not start and end with a page"),
    ("share --range 64M-0x5000001", 1, "does not start and end with a page"),
    ("move 16M", 1, None),
    ("devirtualize --abort", 0, "already"),
)


def say(machine, command, status, words, state):
    """One line with these words, that exit status, and nothing has changed."""
    before = lasting(machine.status())
    seen, output = machine.run(f"scrimctl {command}")
    check_equal(seen, status, f"exit status of {command} in {state} ({output.strip()})")
    check_equal(len(output.strip().splitlines()), 1, f"lines that {command} says in {state} ({output.strip()})")
    check(words is None or words in output, f"{command} in {state} does not say {words!r}: {output.strip()}")
    check_equal(lasting(machine.status()), before, f"status after {command} in {state}")
    return output


def own_ranges(status):
    """Ranges that reach into Scrim's own memory."""
    start, end = (int(status["ranges"]["own"][0][key], 16) for key in ("start", "end"))
    return [(f"--range {low:#x}-{high:#x}", "Scrim's own memory") for low, high in
            ((start, end), (start - 4096, start + 4096), (end - 4096, end), (start + 4096, start + 8192))]


def refuse_all(machine):
    """Returns the number of refusals."""
    ranges = BAD_RANGES + tuple(own_ranges(machine.status()))
    number = 0

    def all_of(cases, state):
        for command, status, words in cases:
            say(machine, command, status, words, state)
        return len(cases)

    number += all_of(ALWAYS + NATIVE, "native")
    number += all_of([(f"virtualize {words}", 1, why) for words, why in ranges], "native")
    machine.must(f"scrimctl virtualize --range {MANAGED} && scrimctl move 64M")
    number += all_of(ALWAYS + VIRTUALIZED, "virtualized")
    number += all_of([(f"{verb} {words}", 1, why) for verb in ("virtualize", "devirtualize") for words, why in ranges], "virtualized")
    machine.must("ask 0 devirtualize")  # REMAPPING, one page to go
    busy = [(verb, 1, "devirtualize is unfinished") for verb in ("virtualize", "scatter", "share", "move 65M")]
    number += all_of(busy, "remapping")
    machine.must("scrimctl devirtualize --abort && scrimctl check && scrimctl devirtualize && scrimctl check")
    return number


@test("refused-arguments", cost=30)
def refused_arguments(t):
    with t.machine(cpus=2, memory="512M", options="dma-free=all") as machine:
        machine.wait_ready()
        boot = machine.status()
        with quiet_log(machine):
            number = refuse_all(machine)
        after = machine.status()
        check_equal((after["state"], after["pages"], after["memory"]), ("native", boot["pages"], boot["memory"]), "at the end")
    print(f"figure: {number} commands refused, each in one line, with nothing changed")


@test("refused-dma", cost=12)
def refused_dma(t):
    """Without dma-free= nothing is scattered or shared; with a range, nothing outside of it."""
    with t.machine(memory="512M") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize")
        check_equal(machine.status()["pages"]["managed"], 0, "pages that may move")
        for verb in ("scatter", "share"):
            status, output = machine.run(f"scrimctl {verb} --range 64M-68M")
            pages = machine.status()["pages"]
            check_equal((pages["displaced"], pages["shared"]), (0, 0), f"pages displaced and shared after {verb}")
            check(status in (0, 1) and re.search(r": 0 page\(s\)|refused|dma-free", output), f"{verb}: status {status}: {output}")
        say(machine, "move 64M", 1, "dma-free=", "virtualized")
        machine.must("scrimctl check && scrimctl devirtualize && scrimctl check")
    start, end = 0x4000000, 0x4200000
    with t.machine(memory="512M", options=f"dma-free={start:#x}-{end:#x}") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize && scrimctl scatter --range 60M-72M && scrimctl share --range 60M-72M && scrimctl check")
        moved = machine.status()["pages"]["displaced"]
        check(0 < moved <= (end - start) // 4096, f"{moved} pages displaced of a range of {(end - start) // 4096}")
        for address in (start - 4096, end):
            answer = machine.must(f"ask 0 translate {address:#x}").split()
            check_equal(int(answer[2], 16), 0, f"displaced, {address:#x}")
        machine.must("scrimctl devirtualize && scrimctl check")
    print(f"figure: scatter and share without dma-free= move nothing; with a range, {moved} pages in it and none outside")


@test("refused-tables", cost=15)
def refused_tables(t):
    """Too few tables: it stops in one line, the map is valid, and all comes home."""
    with t.machine(cpus=2, memory="512M", options="dma-free=all reserve=1M") as machine:
        machine.wait_ready()
        boot = machine.status()
        ram = sum(end - start for start, end in iomem.ram(machine.must("cat /proc/iomem")))
        with quiet_log(machine):
            machine.must("scrimctl virtualize")
            status, output = machine.run("scrimctl scatter --batch 256 2>&1 >/dev/null")
            last = re.split(r"[\r\n]+", output.strip())[-1]
            check_equal(status, 1, f"exit status of a scatter of {ram >> 20} MiB ({last})")
            for word in ("scatter stopped after", "no memory is left for Scrim's own tables", "reserve=", "devirtualize"):
                check(word in last, f"scatter does not say {word!r}: {last}")
            displaced = machine.status()["pages"]["displaced"]
            check(displaced > 0, "nothing was scattered")
            machine.must("scrimctl check && scrimctl devirtualize && scrimctl check")
        after = machine.status()
        check_equal((after["state"], after["pages"], after["memory"]), ("native", boot["pages"], boot["memory"]), "at the end")
    print(f"figure: with reserve=1M: {displaced} pages scattered, then: {last}")
