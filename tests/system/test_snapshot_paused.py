# SPDX-License-Identifier: BSD-2-Clause
"""Images for which writes wait: with fewer frames than the load writes pages, of one instant, and whatever happens meanwhile the machine goes on."""

import re
import subprocess

import cpus
import test_nmi
from machine import BUILD
from registry import check, check_equal, test
from test_snapshot import SLOW, STATUS, VERDICT, basin, start_chain
from under_load import quiet_log, under_load

THREADS, PAGES = 2, 6144
FEW = "dma-free=all reserve=8M"  # 1792 frames: a third of what the chain writes
WAITED = re.compile(r"writes waited for it for (\d+\.\d) s")
PAUSED = STATUS.replace("snapshot", "snapshot --paused")
BEGUN = "for i in $(seq 300); do scrimctl status --json | grep -q '\"kind\": *\"image\"' && exit 0; sleep 0.1; done; exit 1"


def check_over(machine, state="native"):
    """Nothing of an image is left."""
    status = machine.status()
    check_equal((status["state"], status["watch"]["kind"], status["counters"]["cpus_lost"]), (state, "none", 0), "state, watch, CPUs lost")
    machine.must("scrimctl check")


def judge_here(image, mark, what):
    """Checks the chain in an image on the host: in the guest the judge would write more pages than there are frames. Returns records."""
    found = subprocess.run([str(BUILD / "guest" / "chain"), "check", mark, str(PAGES)], input=bytes(image), capture_output=True, check=False)
    match = VERDICT.search(found.stdout.decode())
    check(found.returncode == 0 and match and match[2] == "0" and match[4] == "0", f"{what}: {found}")
    return int(match[3])


@test("snapshot-paused", cost=60)
def snapshot_paused(t):
    """A plain image runs out of frames; one for which writes wait does not, and has no page from the future."""
    images = t.pick(1, 20)
    with basin() as made, t.machine(cpus=2, memory="192M", options=FEW, extra=made.arguments()) as machine:
        machine.wait_ready()
        with quiet_log(machine):
            chain, mark = start_chain(machine, THREADS, PAGES)
            output = machine.must(STATUS.format("cat >/dev/null"), 300)
            check(output.splitlines()[0] == "1" and "the OS wrote more pages" in output and "--paused" in output, f"a plain image: {output}")
            check_over(machine)
            for number in range(images):
                machine.must(f"scrimctl snapshot --paused -o - 2>/tmp/words | {made.pour()}", 600)
                words = machine.must("cat /tmp/words")
                records = judge_here(made.read(), mark, f"image {number}: {words}")
                check(WAITED.search(words) and float(WAITED.search(words)[1]) > 0, f"what snapshot said: {words}")
                check_over(machine)
            check(chain.poll() is None, f"the chain has ended: {chain.output()}")
            machine.must("killall chain")
    print(f"figure: {images} images, {records} records each, 0 from the future")
    print(*(f"figure: {line}" for line in words.splitlines() if "image of" in line or "waited" in line), sep="\n")


LOST = "what does not wait wrote more pages"


def check_answer(output, what):
    """The image is complete, or lost with one line that does not advise what was tried. Returns which."""
    good = output.splitlines()[0] == "0" and "as of one instant" in output and "scrimctl:" not in output
    lost = output.splitlines()[0] == "1" and output.count("scrimctl:") == 1 and LOST in output and "scrimctl lend" in output.split(LOST)[1] \
        and "--paused" not in output
    check(good or lost, f"{what}: {output}")
    return "complete" if good else "lost"


@test("snapshot-paused-ended", cost=60)
def snapshot_paused_ended(t):
    """The reader stops, or is killed, or is slow while CPUs go and come and NMIs arrive: no write waits for ever, no CPU and no byte is lost."""
    rates, answers = t.pick((40000,), (40000, 2000) * 5), []  # bytes a millisecond
    with t.machine(cpus=2, memory="192M", options=FEW, args=test_nmi.ARGS) as machine:
        machine.wait_ready()
        machine.must(test_nmi.QUIET_CONSOLE)
        allowed = re.compile(f"{cpus.KNOWN_LINES.pattern}|{test_nmi.SAID_OF_NMIS.pattern}")
        with quiet_log(machine, allowed), under_load(machine, mib=4, stress=None):
            start_chain(machine, THREADS, PAGES)
            answers.append(check_answer(machine.must(PAUSED.format(SLOW.format(8)), 300), "a reader that stops"))
            check_over(machine)

            machine.must("scrimctl virtualize >/dev/null")
            job = machine.spawn(f"scrimctl snapshot --paused -o - | {SLOW.format(1000)}")
            machine.must(BEGUN)
            machine.must("killall -9 scrimctl; dd if=/dev/zero of=/tmp/zeros bs=1M count=16 2>/dev/null && rm /tmp/zeros")
            machine.must("scrimctl snapshot --cancel >/dev/null; killall sleep; scrimctl devirtualize >/dev/null")
            check_over(machine)
            job.wait(60)

            for rate in rates:
                nmis = test_nmi.interrupts(machine)
                job = machine.spawn(PAUSED.format(f"pacer drain {rate}"))
                machine.must(BEGUN)
                for on in (False, True, False, True):
                    cpus.set_online(machine, 1, on)
                    machine.qmp("inject-nmi")
                code, output = job.wait(300)
                check_equal(code, 0, f"exit status, CPUs that come and go: {output}")
                answers.append(check_answer(output[output.index("\n") + 1:], "CPUs that come and go"))
                check_over(machine)
                check(test_nmi.interrupts(machine)[0] >= nmis[0] + 4, f"NMIs: {nmis}, then {test_nmi.interrupts(machine)}")
    print(f"figure: reader stops: {answers[0]}; while CPUs go and come, at {', '.join(f'{rate // 1000} MB/s: {answer}' for rate, answer in zip(rates, answers[1:]))}")
