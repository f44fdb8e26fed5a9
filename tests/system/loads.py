# SPDX-License-Identifier: BSD-2-Clause
"""Loads that are programs of Debian's, for the machines that want them: stress-ng, memtester, redis with a client of our own."""

import json
import os
import pathlib
import re
import sys

from registry import check, check_equal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "initramfs"))

import build  # noqa: E402  pylint: disable=wrong-import-position

PROGRAMS = ("memtester", "redis-server")
STRESS = "stress-ng --quiet --verify --temp-path /tmp --vm 2 --vm-bytes 24M --vm-method all --fork 1 --switch 1"
MEMTESTER = "memtester 2M 100000"
SOCKET = "/tmp/redis.socket"
REDIS = f"redis-server --port 0 --unixsocket {SOCKET} --save '' --appendonly no --dir /tmp"
END_TIMEOUT = 300


def files():
    """{path: content} for the initramfs."""
    wanted = {f"bin/{name}": build.needed_program(name) for name in PROGRAMS}
    for program in list(wanted.values()):
        for library in build.shared_libraries(program):
            if not os.path.basename(library).startswith("ld-linux"):
                wanted[f"lib/{os.path.basename(library)}"] = library
    return {path: pathlib.Path(source).read_bytes() for path, source in wanted.items()}


class Loads:
    """All of them from now until stop()."""

    def __init__(self, machine):
        self._machine = machine
        self._redis = machine.spawn(f"exec {REDIS}")
        machine.must(f"while [ ! -S {SOCKET} ]; do sleep 0.1; done")
        self._client = machine.spawn(f"exec redisload {SOCKET}")
        self._stress = machine.spawn(f"exec {STRESS}")
        self._memtester = machine.spawn(f"exec {MEMTESTER}")

    def check_running(self):
        """One that has found an error has ended."""
        for name, job in (("redis", self._redis), ("its client", self._client), ("stress-ng", self._stress), ("memtester", self._memtester)):
            check(job.poll() is None, f"{name} has ended:", job.output() if job.poll() is not None else "")

    def memtester_loops(self):
        """Loops that memtester has ended."""
        return len(re.findall(r"^Loop \d+/", self._memtester.output(), re.MULTILINE)) - 1

    def stop(self):
        """All checked once more. Returns a line of figures."""
        self.check_running()
        machine = self._machine
        machine.must("kill $(pidof redisload); kill -INT $(pidof stress-ng | tr ' ' '\\n' | sort -n | head -n 1)")
        status, output = self._client.wait(END_TIMEOUT)
        check_equal(status, 0, f"exit status of the client of redis ({output})")
        report = json.loads(output.splitlines()[-1])
        check(report["answers"] > 1000, f"redis has answered little: {report}")
        status, output = self._stress.wait(END_TIMEOUT)
        check_equal(status, 0, f"exit status of stress-ng ({output})")
        loops, said = self.memtester_loops(), self._memtester.output()
        check("FAILURE" not in said and loops > 0, f"memtester, {loops} loops: {said[-2000:]}")
        machine.must("kill -9 $(pidof memtester); kill $(pidof redis-server)")
        return (f"redis gave {report['answers']} answers in {report['bytes'] >> 20} MiB, each as it had to be; memtester ended {loops} loops; "
                "stress-ng --verify found nothing")
