# SPDX-License-Identifier: BSD-2-Clause
"""What watches the machine and changes nothing: metrics, the picture of RAM, the live figures, the trace."""

import json
import re

from registry import check, check_equal, test
from under_load import under_load

PAGE = 4096
HEAD = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"'
SAMPLE = re.compile(rf"(scrim_[a-z0-9_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+(?:\.\d+)?)")


def metrics(text):
    """
    All samples as {(name, labels): value}. The text exposition format 0.0.4, and of it no more than Scrim needs: each family begins with HELP and
    TYPE, its samples stand together, a counter's name and no other ends in _total, each sample comes once.
    """
    samples, families = {}, {}
    check("\n\n" not in text, "an empty line")
    lines = iter(text.splitlines())
    for line in lines:
        head = HEAD.fullmatch(line)
        if head:
            kind = HEAD.fullmatch(next(lines))
            check(kind and (head[1], kind[1]) == ("HELP", "TYPE") and head[2] == kind[2], f"no HELP and TYPE at {line}")
            check(head[2] not in families and kind[3] in ("counter", "gauge"), f"the family {head[2]} comes twice, or is a {kind[3]}")
            check_equal(kind[3] == "counter", head[2].endswith("_total"), f"{head[2]} is a {kind[3]}; a counter's name ends in _total")
            family = families.setdefault(head[2], [])
            continue
        sample = SAMPLE.fullmatch(line)
        check(sample and sample[1] == list(families)[-1], f"no sample of the family: {line}")
        key = sample[1], tuple(sorted(tuple(label.split("=")) for label in (sample[2] or "").replace('"', "").split(",") if label))
        check(key not in samples, f"{key} comes twice")
        samples[key] = float(sample[3])
        family.append(key)
    check(all(families.values()), "a family without a sample")
    return samples


@test("watch-prometheus", cost=8)
def watch_prometheus(t):
    """The metrics say what status --json says, in the format that Prometheus reads."""
    with t.machine(cpus=2, options="dma-free=all") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize && scrimctl move 0x2000000 0x2001000 0x2002000 >/dev/null")
        before = metrics(machine.must("scrimctl status --prometheus"))
        status = machine.status()
        check_equal(before["scrim_displaced_bytes", ()], 3 * PAGE, "bytes displaced")
        check_equal(before["scrim_ram_bytes", ()], status["pages"]["ram"] * PAGE, "bytes of RAM")
        check_equal([state for (name, state), value in before.items() if name == "scrim_state" and value], [(("state", "virtualized"),)], "state")
        check_equal(before["scrim_switches_total", ()], status["counters"]["switches"], "switches")
        for cpu in range(2):
            key = "scrim_exits_total", (("cause", "iret"), ("cpu", str(cpu)))
            check_equal(before[key], status["cpus"][cpu]["exits"]["by_cause"]["iret"], f"exits of CPU {cpu} by IRET")
        machine.must("scrimctl devirtualize")
        after = metrics(machine.must("scrimctl status --prometheus"))
        check_equal(after["scrim_displaced_bytes", ()], 0, "bytes displaced at home")
        check_equal(set(after), set(before), "samples, whatever the state")
        lower = [key for key in before if key[0].endswith("_total") and after[key] < before[key]]
        check(not lower, f"counters that have become less: {lower}")
    print(f"figure: {len(after)} samples")


def cells_with(picture, kind):
    return [(int(cell["start"], 16), int(cell["end"], 16)) for cell in picture["cells"] if cell["pages"][kind]]


@test("watch-map", cost=10)
def watch_map(t):
    """The picture's blocks against where pages are; every page of RAM and of Scrim's is in it; live, so many times."""
    with t.machine(cpus=2, options="dma-free=all") as machine:
        machine.wait_ready()
        native = json.loads(machine.must("scrimctl map --json"))
        status = machine.status()
        ram, own = status["pages"]["ram"], sum(int(part["end"], 16) - int(part["start"], 16) for part in status["ranges"]["own"]) // PAGE
        check_equal((native["pages"]["home"], native["pages"]["own"], native["pages"]["displaced"]), (ram, own, 0), "pages in NATIVE")
        machine.must("scrimctl virtualize && scrimctl scatter --range 0x4000000-0x4400000 --seed 3 >/dev/null && scrimctl move 0x9000000 >/dev/null")
        picture = json.loads(machine.must("scrimctl map --json"))
        displaced = machine.status()["pages"]["displaced"]
        check(displaced > 900, f"only {displaced} pages are displaced")
        check_equal((picture["pages"]["displaced"], picture["pages"]["home"]), (displaced, ram - displaced), "pages while displaced")
        size = picture["cell_bytes"]
        where = {start for start, _ in cells_with(picture, "displaced")}
        check_equal(where, {address // size * size for address in (*range(0x4000000, 0x4400000, size), 0x9000000)}, "blocks with displaced pages")
        lines = machine.must("scrimctl map | cat").splitlines()
        letters = "".join(line[16:] for line in lines[:-3] if not line.startswith("..."))
        check_equal(letters.count("d") + letters.count("D"), len(where), f"letters for displaced blocks in {lines}")
        check("\033" not in "".join(lines), "colour where there is no terminal")
        check("\033[33m" in machine.must("scrimctl map"), "no colour on the agent's terminal")
        check("\033" not in machine.must("NO_COLOR=1 scrimctl map"), "colour in spite of NO_COLOR")
        frames = machine.must("scrimctl map --watch 0.1 --count 3")
        check_equal(frames.count("a letter is"), 3, "frames of map --watch --count 3")
        machine.must("scrimctl devirtualize")
        check_equal(json.loads(machine.must("scrimctl map --json"))["pages"], native["pages"], "pages at the end")
    print("figure: " + " ".join(lines[-2:]))


def check_event(event, cpus):
    """An event of the Trace Event Format, as Chrome's document of it has them: of its types, "X" and "M"."""
    check(isinstance(event, dict) and event["ph"] in ("X", "M"), f"no event: {event}")
    check(isinstance(event["name"], str) and event["name"], f"no name: {event}")
    check(event["pid"] == 1 and isinstance(event["tid"], int) and 0 <= event["tid"] < cpus, f"no thread: {event}")
    check(isinstance(event["args"], dict), f"no arguments: {event}")
    if event["ph"] == "M":
        check(event["name"] in ("process_name", "thread_name") and isinstance(event["args"]["name"], str), f"no metadata: {event}")
        return
    check(event["cat"] in ("exit", "switch", "batch", "stall"), f"no category: {event}")
    check(all(isinstance(event[key], (int, float)) and event[key] >= 0 for key in ("ts", "dur")), f"no times: {event}")


def check_trace(text, cpus):
    """The file as a whole. Returns its complete events by category."""
    trace = json.loads(text)
    check_equal(sorted(trace), ["displayTimeUnit", "otherData", "traceEvents"], "keys")
    check_equal(trace["displayTimeUnit"], "ns", "unit")
    for event in trace["traceEvents"]:
        check_event(event, cpus)
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    check_equal(names, [f"CPU {cpu}" for cpu in range(cpus)], "names of threads")
    kinds = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            kinds.setdefault(event["cat"], []).append(event)
    return trace["otherData"]["lost_events"], kinds


def check_nesting(kinds):
    """What happens in an exit lies in one of the same CPU. A thousandth of a microsecond is lost by each rounding."""
    exits = {}
    for event in kinds["exit"]:
        exits.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for kind in ("switch", "batch", "stall"):
        for event in kinds.get(kind, []):
            start, end = event["ts"], event["ts"] + event["dur"]
            check(any(first <= start + 0.002 and end <= last + 0.002 for first, last in exits[event["tid"]]), f"in no exit: {event}")


def counts(status):
    return status["counters"]["batches"], sum(cpu["stalls"]["count"] for cpu in status["cpus"]), status["counters"]["pages_moved"]


# As many pages as the reserve, and what the load uses meanwhile is among them: it has to wait.
SCATTER = "scrimctl scatter --range 0x4000000-0xc000000 --seed 5 --batch 64 >/dev/null"


@test("watch-trace", cost=25, weight=2)
def watch_trace(t):
    """Each batch and each stall of a devirtualize under load is in the file, and no other; it is a trace by the format's rules."""
    cpus = 4
    with t.machine(cpus=cpus, memory="512M", options="dma-free=all reserve=8M trace=1M") as machine:
        machine.wait_ready()
        with under_load(machine, mib=96, stress=None) as load:
            machine.must(f"scrimctl virtualize && {SCATTER}", 300)
            before = counts(machine.status())
            said = machine.must("scrimctl trace -o /tmp/home.json -- scrimctl devirtualize --batch 64 2>/dev/null", 300)
            status = machine.status()
            after = counts(status)
        lost, kinds = check_trace(machine.must("cat /tmp/home.json"), cpus)
        check_equal(status["state"], "native", "state")
        machine.must("scrimctl check")
    check_equal(lost, 0, f"events lost: {said}")
    batches, stalls = kinds["batch"], kinds.get("stall", [])
    check_equal(len(batches), after[0] - before[0], "batches in the file, against those counted")
    check_equal(len(stalls), after[1] - before[1], "stalls in the file, against those counted")
    check_equal(sum(event["args"]["pages"] for event in batches), status["last_operation"]["pages_moved"], "pages of all batches, against those moved")
    check_equal(after[2] - before[2], status["last_operation"]["pages_moved"], "pages moved since boot, against the last operation's")
    check(len(stalls) > 0, "no CPU waited for a page: the load does not touch what moves")
    check_equal(sorted(event["tid"] for event in kinds["switch"]), list(range(cpus)), "CPUs that switched")
    check_equal({event["name"] for event in kinds["switch"]}, {"switch to native"}, "switches")
    check_nesting(kinds)
    longest = max(event["dur"] for event in stalls)
    check(longest <= max(cpu["stalls"]["longest_us"] for cpu in status["cpus"]) + 0.01, f"a stall of {longest} us is longer than the longest counted")
    print(f"figure: {len(kinds['exit'])} exits, {len(batches)} batches, {len(stalls)} stalls (the longest {longest:.0f} us), 0 lost; {load.figures()}")


@test("watch-top", cost=12)
def watch_top(t):
    """The counts of an interval are those that status shows of it; a ring that is full loses events and says so."""
    with t.machine(cpus=2, options="dma-free=all trace=4K") as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize")
        top = machine.spawn("scrimctl top --json --count 1 --every 3")
        machine.must("sleep 1; scrimctl move 0x4000000 0x4001000 0x4002000 0x4003000 >/dev/null")
        status, output = top.wait(30)
        check_equal(status, 0, f"exit status of top ({output})")
        report = json.loads(output)
        check_equal((report["pages_moved"], report["batches"], report["pages_displaced"], report["state"]), (4, 4, 4, "virtualized"), "what top saw")
        check(3 <= report["seconds"] < 10, f"an interval of {report['seconds']} s")
        check_equal(sum(cpu["exits"]["total"] for cpu in report["cpus"]), report["all"]["exits"]["total"], "exits of all CPUs")
        check(report["all"]["exits"]["by_cause"]["request"] > 4, f"no requests: {report['all']}")
        # Nobody takes events out for a while. What is kept then are the first.
        said = machine.must("scrimctl trace -o /tmp/lost.json --seconds 2 & sleep 0.5; kill -STOP $!; "
                            "for i in $(seq 10); do scrimctl status >/dev/null; done; kill -CONT $!; wait $!")
        lost, kinds = check_trace(machine.must("cat /tmp/lost.json"), 2)
        check(lost > 0 and f"; {lost} lost" in said, f"{lost} events lost, and it says {said}")
        # A tracer that was killed leaves the trace on, with full rings: the next begins anew.
        machine.must("scrimctl trace -o /tmp/killed.json & sleep 0.5; kill -KILL $!; for i in $(seq 10); do scrimctl status >/dev/null; done")
        said = machine.must("scrimctl trace -o /tmp/trace.json -- scrimctl move 0x4004000")
        again, kinds = check_trace(machine.must("cat /tmp/trace.json"), 2)
        check(f"; {again} lost" in said and again < lost, f"what was lost before counts: {said}")
        check_equal([event["args"] for event in kinds["batch"]], [{"pages": 1}], "batches of one move")
        machine.must("scrimctl devirtualize")
    print(f"figure: {report['all']['exits']['total']} exits in {report['seconds']:.1f} s, 4 pages moved in 4 batches; {lost} events lost in rings of 256 while the tracer stood still")
