# SPDX-License-Identifier: BSD-2-Clause
"""crash opens an image by the kernel's debug symbols, and lists the tasks that ps lists in the guest."""

import re
import subprocess

from machine import IMAGES, KERNEL_ARGS
from registry import SOAK, check, check_equal, test
from test_snapshot import PASSING, RESERVE, THREADS, basin, start_chain

KERNEL = "full"  # crash does not get on without the machine-check stack, which the cloud kernel's configuration lacks
VMLINUX = IMAGES / f"vmlinux-{KERNEL}"
TREE = IMAGES / "crash"
LIBRARIES = TREE / "usr/lib/x86_64-linux-gnu"
# Debian 12's crash reads of struct pid what sizeof counts. The namespace lies in the array behind that, since a change of Linux
# 6.5 that Debian's 6.1 has too; so its ps leaves out every task as one of another namespace, in QEMU's own dumps as well.
CRASH_12 = ["/usr/bin/crash"]
CRASH_13 = [str(LIBRARIES / "ld-linux-x86-64.so.2"), "--library-path", str(LIBRARIES), str(TREE / "usr/bin/crash")]
LIST = "list task_struct.tasks -s task_struct.pid,comm -h init_task"
REST = "bt -a\nlog"
LISTED = re.compile(r'^  pid = (\d+),\n  comm = "([^"\\]*)', re.MULTILINE)
ACTIVE = re.compile(r'^PID: \d+ +TASK: [0-9a-f]{16} +CPU: (\d+) +COMMAND: "(.*)"', re.MULTILINE)
STAT = "cat {} | sed -E 's/^([0-9]+) .(.*). [A-Z] .*/\\1 \\2/'"


def crash(t, command, image, script):
    """What crash prints."""
    for path in (command[0], command[-1], VMLINUX):
        check(subprocess.run(["test", "-e", str(path)], check=False).returncode == 0, f"{path} is missing: make soak-parts")
    commands = t.work / "crash"
    commands.write_text(script + "\nquit\n")
    return subprocess.run([*command, "-s", "--no_scroll", "-i", str(commands), str(VMLINUX), str(image)],
                          capture_output=True, text=True, check=True).stdout


def in_proc(machine, files):
    """{(pid, name)} of these stat files. A kernel thread's name is longer there than in its task: with its work, and uncut."""
    tasks = (line.split(" ", 1) for line in machine.must(STAT.format(files)).splitlines())
    return {(pid, (name.split("-")[0] if name.startswith("kworker") else name)[:15]) for pid, name in tasks}


def tasks_now(machine):
    """(all threads, processes)."""
    return in_proc(machine, "/proc/[0-9]*/task/[0-9]*/stat"), in_proc(machine, "/proc/[0-9]*/stat")


def check_against(tasks, before, after):
    """Every task that /proc had before and after the image is in it, and none that /proc had neither time, but for the command's that took it."""
    check(before & after <= tasks, f"tasks that the image lacks: {sorted(before & after - tasks)}")
    strange = {task for task in tasks - before - after if task[1] not in PASSING}
    check_equal(strange, set(), "tasks that are in the image alone")
    return len(before & after)


def ps_tasks(output):
    """[(pid, name)] of crash's ps: PID PPID CPU TASK ST %MEM VSZ RSS COMM, a kernel thread in brackets."""
    rows = (line.lstrip("> ").split(None, 8) for line in output.splitlines())
    return [(row[0], row[8].strip("[]")) for row in rows if len(row) == 9 and row[0].isdigit()]


@test("snapshot-crash", cost=60, when=SOAK)
def snapshot_crash(t):
    """The load is stopped; then crash's ps lists every thread, its list every process, and bt what each CPU does. With KASLR."""
    args = KERNEL_ARGS.replace(" nokaslr", "")
    with basin() as made, t.machine(kernel=KERNEL, kernel_args=args, cpus=2, memory="256M", options=RESERVE, extra=made.arguments()) as machine:
        machine.wait_ready()
        start_chain(machine)
        machine.must("killall -STOP chain")
        before = tasks_now(machine)
        machine.must(f"scrimctl snapshot -o - | {made.pour()}", 300)
        after = tasks_now(machine)
        banner = machine.must("cat /proc/version")
        seen = {"12": crash(t, CRASH_12, made.path, f"{LIST}\n{REST}"), "13": crash(t, CRASH_13, made.path, f"ps\n{LIST}\n{REST}")}
    tasks = ps_tasks(seen["13"])
    idle = [name for pid, name in tasks if pid == "0"]
    check_equal(idle, ["swapper/0", "swapper/1"], "idle tasks of ps")
    check_equal([name for _, name in tasks].count("chain"), THREADS + 1, "threads of the load in ps")
    threads = {task for task in tasks if task[0] != "0"}
    check_equal(len(threads), len(tasks) - len(idle), "tasks that ps lists once")
    both = check_against(threads, before[0], after[0])
    for name, output in seen.items():
        processes = LISTED.findall(output)
        check_equal(processes[:1], [("0", "swapper/0")], f"where the list of Debian {name}'s crash begins")
        check_against(set(processes[1:]), before[1], after[1])
        active = dict(ACTIVE.findall(output))
        check_equal(sorted(active), ["0", "1"], f"CPUs that bt -a of Debian {name}'s crash shows")
        check("scrimctl" in active.values(), f"no CPU takes the image: {active}")
        check(banner[:60] in output, f"no banner in the kernel's log by Debian {name}'s crash")
    print(f"figure: crash's ps lists {len(threads)} tasks, {both} of them in /proc before and after; its list {len(processes) - 1} processes; CPUs run {active}")
