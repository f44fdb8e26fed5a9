# SPDX-License-Identifier: BSD-2-Clause
"""Images of all RAM as of one instant: no page from the future, byte for byte what the machine has, and nothing left of one that is ended."""

import contextlib
import json
import re
import statistics
import subprocess

import btf
import frame_graph
import gdb_stub
import switch_cost
from core_file import Basin, CoreFile
from machine import memory_file
from registry import check, check_equal, test
from under_load import quiet_log, under_load

THREADS, PAGES = 4, 512
RESERVE = "dma-free=all reserve=64M"
CHAIN_SECONDS = 3000  # longer than any test
VERDICT = re.compile(r"pages (\d+) missing (\d+) records (\d+) future (\d+) furthest (\d+)")


def start_chain(machine, threads=THREADS, pages=PAGES):
    """Starts the chain. Returns (its job, the mark of its pages)."""
    job = machine.spawn(f"chain run {threads} {pages} {CHAIN_SECONDS}")
    mark = machine.must("for i in $(seq 200); do grep -h mark /tmp/job.*.out 2>/dev/null && exit; sleep 0.1; done; exit 1").split()[1]
    return job, mark


def judge(machine, script, what):
    """Runs a check of the chain. Returns (records, records from the future)."""
    status, output = machine.run(script, 600)
    match = VERDICT.search(output)
    check(match and match[2] == "0" and status == (1 if match[4] != "0" else 0), f"{what}: exit status {status}: {output}")
    return int(match[3]), int(match[4])


@test("snapshot-consistent", cost=60)
def snapshot_consistent(t):
    """A causal chain over 4 CPUs: no image, taken under load, has a page from the future; a plain copy of memory does, each time."""
    images = t.pick(3, 50)
    with t.machine(cpus=4, memory="512M", options=RESERVE) as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=16, stress=None) as load:
            chain, mark = start_chain(machine)
            smeared = [judge(machine, f"chain check-kcore {mark} {PAGES}", "plain copy") for _ in range(t.pick(1, 5))]
            for number in range(images):
                seen = judge(machine, f"scrimctl snapshot -o - 2>/tmp/words | chain check {mark} {PAGES}", f"image {number}")
                check_equal(seen[1], 0, f"records from the future in image {number}")
                words = machine.must("cat /tmp/words")
                check(re.search(r"image of .* as of one instant", words), f"what snapshot said: {words}")
                check_equal(machine.status()["state"], "native", "state after an image")
            check(chain.poll() is None, f"the chain has ended: {chain.output()}")
            machine.must("killall chain && scrimctl check")
    check(all(future > 0 for _, future in smeared), f"a plain copy shows no violation: {smeared}")
    print(f"figure: {images} images under load, {seen[0]} records each, 0 from the future; plain copies: {[future for _, future in smeared]} from the future")
    print(f"figure: {next(line for line in words.splitlines() if line.startswith('image of'))}; {load.figures()}")


PAGE = 4096
VMCB_RSP = 0x5D8  # AMD APM vol. 2, appendix B
BASIN = 256 << 20


@contextlib.contextmanager
def basin():
    """A basin in the host's shared memory, gone behind the block."""
    made = Basin(memory_file(BASIN), BASIN)
    try:
        yield made
    finally:
        made.remove()


def image_and_memory(machine, made, frames=None):
    """Takes an image; at its instant the machine's memory is copied from outside. Returns (core, {range: bytes}, frames, VMCBs' RSP)."""
    status = machine.status()
    job = machine.spawn(f"scrimctl snapshot -o - | {made.pour()}")
    with gdb_stub.stopped_at(machine, status, "watch_instant"):
        memory = [(start, machine.memory.read(start, end - start)) for start, end in machine.memory.ranges()]
        frames = frame_graph.frames(machine, status) if frames is None else frames
        stacks = sorted(machine.memory.read_u64(int(cpu["vmcb"], 16) + VMCB_RSP) for cpu in status["cpus"])
    code, output = job.wait(600)
    check(code == 0, f"snapshot: {code}: {output}")
    return CoreFile(made.read()), memory, frames, stacks


def check_equal_memory(core, memory, frames):
    """Every byte of the image is what the machine had at the page's frame. Returns pages compared, and those that lay elsewhere."""
    compared = moved = 0
    for physical, offset, count in core.ranges():
        for at in range(0, count, PAGE):
            page = (physical + at) // PAGE
            address = frames.get(page, (page, True))[0] * PAGE
            start, content = max(part for part in memory if part[0] <= address)
            if core.data[offset + at:offset + at + PAGE] != content[address - start:address - start + PAGE]:
                raise AssertionError(f"page {page * PAGE:#x}, frame {address:#x}: the image differs from the machine's memory")
            compared += 1
            moved += address != page * PAGE
    return compared, moved


def bytes_test(prepare, backend="nested"):
    """`prepare`: commands that displace pages, which stay where they are then."""
    def body(t):
        with basin() as made, t.machine(cpus=2, memory="256M", options="dma-free=all reserve=48M", extra=made.arguments()) as machine:
            machine.wait_ready()
            machine.must(f"scrimctl virtualize >/dev/null && {prepare}", 300)
            with quiet_log(machine):
                job = machine.spawn(f"chain run 2 256 {CHAIN_SECONDS}")
                frames = None
                if backend != "nested":
                    frames = frame_graph.frames(machine, machine.status())
                    machine.must(f"scrimctl virtualize --backend {backend} >/dev/null")
                core, memory, frames, stacks = image_and_memory(machine, made, frames)
                check(job.poll() is None, f"the load has ended: {job.output()}")
            compared, moved = check_equal_memory(core, memory, frames)
            ram = machine.status()["pages"]["ram"]
            check(ram - 2 <= compared <= ram, f"{compared} pages in the image, {ram} of RAM")
            check((moved > 0) == (prepare != "true"), f"{moved} pages lay elsewhere")
            check_equal(sorted(cpu["rsp"] for cpu in core.cpus()), stacks, "stack pointers in the notes, against the control blocks")
            machine.must("scrimctl check && scrimctl devirtualize --batch 256 >/dev/null && scrimctl check", 300)
        print(f"figure: {backend}: {compared} pages equal byte for byte, {moved} of them lay elsewhere")
    return body


SCATTER = "scrimctl scatter --range 16M-96M --seed 5 --batch 256 >/dev/null"
SHARE = "scrimctl share --range 96M-160M --batch 256 >/dev/null"
test("snapshot-bytes", cost=20)(bytes_test("true"))
test("snapshot-bytes-moved", cost=25)(bytes_test(f"{SCATTER} && {SHARE}"))
test("snapshot-bytes-shadow", cost=25)(bytes_test(SCATTER, "shadow"))


SLOW = "(sleep {}; cat >/dev/null)"  # a reader that lets the image wait
STATUS = "sh -c 'scrimctl snapshot -o - 2>/tmp/words; echo $? >/tmp/rc' | {}; cat /tmp/rc /tmp/words"


def refused(machine, command, words):
    """One line, exit status 1."""
    status, output = machine.run(command + " 2>&1 >/dev/null")
    check(status == 1 and output.count("\n") == 1 and words in output, f"{command}: {status}: {output}")


@test("snapshot-ended", cost=40)
def snapshot_ended(t):
    """Killed, interrupted, out of frames, the reader gone, ended by others: each says its line, and the load's memory is right."""
    with t.machine(cpus=2, memory="256M", options="dma-free=all reserve=16M") as machine:
        machine.wait_ready()
        with quiet_log(machine), under_load(machine, mib=4, stress=None):
            machine.must("scrimctl virtualize >/dev/null")
            machine.spawn(f"scrimctl snapshot -o - | {SLOW.format(1000)}")
            machine.must("for i in $(seq 300); do scrimctl status --json | grep -q '\"kind\": *\"image\"' && exit 0; sleep 0.1; done; exit 1")
            for verb in ("move 0x1800000", "scatter --range 16M-17M", "share", "virtualize --backend shadow", "snapshot -o /tmp/image", "dirty"):
                refused(machine, f"scrimctl {verb}", "scrimctl snapshot --cancel")
            machine.must("killall -9 scrimctl; sleep 0.2")
            refused(machine, "scrimctl move 0x1800000", "scrimctl snapshot --cancel")
            machine.must("scrimctl snapshot --cancel | grep 'the image is ended' && scrimctl move 0x1800000 && scrimctl check")
            machine.must("scrimctl devirtualize >/dev/null && scrimctl check")

            ended = {"interrupted": f"{SLOW.format(4)} & sleep 2; killall -TERM scrimctl; wait", "cannot be written": "true",
                     "another program ended it": f"{SLOW.format(4)} & sleep 2; scrimctl snapshot --cancel >/dev/null; wait"}
            for words, reader in ended.items():
                output = machine.must(f"({STATUS.format(reader)})", 300)
                check(output.splitlines()[0] == "1" and output.count("scrimctl:") == 1 and words in output, f"{words}: {output}")
                check_equal((machine.status()["state"], machine.status()["watch"]["kind"]), ("native", "none"), f"state, watch: {words}")
            chain = machine.spawn(f"chain run 2 8192 {CHAIN_SECONDS}")
            output = machine.must(STATUS.format(SLOW.format(8)), 300)
            check(output.splitlines()[0] == "1" and output.count("scrimctl:") == 1 and "the OS wrote more pages" in output, f"out of frames: {output}")
            check_equal((machine.status()["state"], machine.status()["watch"]["kind"]), ("native", "none"), "state, watch, out of frames")
            check(chain.poll() is None, "the chain has ended")
            machine.must("scrimctl check; killall chain")
            machine.must("ls /tmp/image* 2>/dev/null && exit 1; true")


MEMBERS = "/sys/kernel/btf/vmlinux"
GDB = """
set pagination off
set language c
core-file {image}
info threads
set $first = (unsigned long){init_task}
set $task = $first
while 1
  printf "task %d %s\\n", *(int *)($task + {pid}), (char *)($task + {comm})
  set $task = *(unsigned long *)($task + {tasks}) - {tasks}
  if $task == $first
    loop_break
  end
end
x/s {linux_banner}
"""


PASSING = ("sh", "exe", "scrimctl", "pour", "cat")  # of the command that takes the image, and of the one that lists


def listed(machine):
    """{(pid, name)} as ps would show them. A kernel thread's name is longer there than in its task: with its work, and uncut."""
    lines = machine.must("cat /proc/[0-9]*/stat | sed -E 's/^([0-9]+) .(.*). [A-Z] .*/\\1 \\2/'").splitlines()
    tasks = (line.split(" ", 1) for line in lines)
    return {(pid, (name.split("-")[0] if name.startswith("kworker") else name)[:15]) for pid, name in tasks if name not in PASSING}


def check_tasks(tasks, before, after):
    """What an image lists is what /proc had before and after it. Returns how many of it were there both times."""
    check(before & after <= tasks, f"tasks that the image lacks: {before & after - tasks}")
    strange = {task for task in tasks - before - after if task[1] not in PASSING}
    check_equal(strange, set(), "tasks that are in the image alone")
    return len(before & after)


@test("snapshot-gdb", cost=30)
def snapshot_gdb(t):
    """gdb opens the image, shows each CPU, and by the kernel's own type information walks its list of tasks, which is what ps shows."""
    with basin() as made, t.machine(cpus=2, memory="256M", options=RESERVE, extra=made.arguments()) as machine:
        machine.wait_ready()
        machine.must(f"{made.pour()} <{MEMBERS}")
        types = btf.Types(bytes(made.read()))
        places = {name: types.offset("task_struct", name) for name in ("tasks", "pid", "comm")}
        symbols = machine.must("grep -E ' (init_task|linux_banner)$' /proc/kallsyms")
        places.update({line.split()[2]: "0x" + line.split()[0] for line in symbols.splitlines()})
        before = listed(machine)
        machine.must(f"scrimctl snapshot -o - | {made.pour()}", 300)
        after = listed(machine)
        banner = machine.must("cat /proc/version")
        core = CoreFile(made.read())
        script = t.work / "gdb"
        script.write_text(GDB.format(image=made.path, **places))
        output = subprocess.run(["gdb", "-nx", "-batch", "-x", str(script)], capture_output=True, text=True, check=True).stdout
    tasks = {tuple(line.split(" ", 2)[1:]) for line in output.splitlines() if line.startswith("task ")} - {("0", "swapper/0")}
    check(len(re.findall(r"^\*? +\d+ +", output, re.MULTILINE)) == 2, f"gdb does not show two CPUs: {output[:2000]}")
    both = check_tasks(tasks, before, after)
    check(banner[:60] in output, f"no banner of the kernel: {output[-300:]}")
    check(any(name == "VMCOREINFO" and b"OSRELEASE=" in content for name, _, content in core.notes), "no note VMCOREINFO")
    print(f"figure: gdb lists {len(tasks)} tasks, {both} of them in /proc before and after, on {len(core.cpus())} CPUs")


PAUSE_MAX = 20000  # instructions
LARGE_MAX = 1.1  # times the pause at 512 MiB


def pause(t, memory):
    """Instructions of one CPU from the meeting's begin to the instant, behind which one store lets all go on."""
    with t.machine(cpus=1, memory=memory) as machine:
        machine.wait_ready()
        machine.must("scrimctl virtualize")
        status = machine.status()
        job = machine.spawn("ask 0 watch 1; ask 0 watch 0")
        with gdb_stub.stopped_at(machine, status, "meet_begin") as stub:
            count = stub.count_steps(gdb_stub.own_start(status) + gdb_stub.symbol("watch_instant"), PAUSE_MAX)
        check_equal(job.wait(300)[0], 0, "WATCH")
        return count


@test("snapshot-pause", cost=40)
def snapshot_pause(t):
    """How long CPUs stand still for an image, in instructions: the same whatever memory there is."""
    cost = {memory: pause(t, memory) for memory in ("512M", "6G")}
    print(f"figure: all CPUs stand still for {cost['512M']} instructions at 512M, {cost['6G']} at 6G")
    check(cost["6G"] <= LARGE_MAX * cost["512M"], f"pause: {cost}")


DISK = 100000  # bytes a millisecond
LOST_MAX = 0.10
PACED = f"""
pacer load 8192 14 >/tmp/rounds &
sleep 3
scrimctl snapshot -o - 2>/tmp/words | pacer drain {DISK} >/tmp/drained
sleep 1
dd if=/dev/zero bs=64k count=4280 2>/dev/null | pacer drain {DISK} >>/tmp/drained
wait
begun=$(pacer drain 1 </dev/null)
scrimctl snapshot -o - >/dev/null 2>&1
ended=$(pacer drain 1 </dev/null)
tail -n 2 /tmp/words | head -n 1; echo $begun $ended | cut -d ' ' -f 2,4; cat /tmp/drained /tmp/rounds
"""


def work_done(tenths, start, end):
    """Mean rounds of work in the tenths of a second that lie in between."""
    rounds = [rounds for at, rounds in tenths if start + 100_000_000 < at < end]
    check(len(rounds) > 10, f"too short beside the load: {start} to {end} of {tenths}")
    return statistics.mean(rounds)


@test("snapshot-cost", cost=45)
def snapshot_cost(t):
    """The work that one CPU gets done while an image of 256 MiB goes at 100 MB/s and one page a millisecond is written, counted in instructions.

    All of it counts: Scrim, scrimctl, the pipe, and a reader of the pipe that reads as a disk would. Told beside it: what it costs the OS to send
    as many zeros through a pipe by dd, and what the image costs with no reader, to /dev/null.
    """
    lines = switch_cost.counted(t.machine, 1, PACED, memory="304M", options="dma-free=all reserve=32M")
    nowhere, image, stream = (tuple(map(int, line.split())) for line in lines[1:4])
    tenths = [tuple(map(int, line.split())) for line in lines[4:]]
    alone = work_done(tenths, tenths[1][0], image[0] - 200_000_000)
    lost, piped = (1 - work_done(tenths, *part) / alone for part in (image, stream))
    print(f"figure: {lines[0]}")
    print(f"figure: {100 * lost:.1f} % less work on one CPU during the image, through a pipe; {100 * piped:.1f} % while dd sends as many zeros")
    print(f"figure: to /dev/null the image takes {(nowhere[1] - nowhere[0]) / 1e6:.0f} ms of one CPU, virtualize and devirtualize with it: "
          f"{100 * (nowhere[1] - nowhere[0]) / (image[1] - image[0]):.1f} % of the time that it took through the pipe")
    check(0 < lost <= LOST_MAX, f"{100 * lost:.1f} % lost to the image: {lines}")
