# SPDX-License-Identifier: BSD-2-Clause
"""The guest program `twins`, as tests use it: verified memory of its own, full of equal pages, in whole physical ranges."""

import json
import re

from registry import check, check_equal

POOL = 3  # so many more huge pages than wanted: where the kernel finds them is not one range


def pool(mib):
    return int(mib * POOL) // 2 * 2


def arguments(mib):
    """What the kernel must be told so that `mib` MiB in one range are to be had."""
    return f"hugepages={pool(mib) // 2}"


class Twins:
    """Runs from now until stop(). `start` and `end`: `mib` MiB of physical memory that are all its own."""

    def __init__(self, machine, mib, of_a_kind=4, writes=0):
        self._machine = machine
        self.of_a_kind = of_a_kind
        self._job = machine.spawn(f"exec twins --mib {mib} --pool {pool(mib)} --of-a-kind {of_a_kind} --writes {writes}")
        said = machine.must("while [ ! -e /tmp/job.*.rc ] && ! grep -qs ready /tmp/job.*.out; do sleep 0.1; done; cat /tmp/job.*.out")
        match = re.search(r"^0x(\w+)-0x(\w+)$", said, re.MULTILINE)
        check(match and "ready" in said, "twins did not start:", said)
        self.start, self.end = (int(word, 16) for word in match.groups())

    @property
    def words(self):
        """As scrimctl takes a range."""
        return f"{self.start:#x}-{self.end:#x}"

    def check_running(self):
        """Fails if it has found a wrong byte."""
        check(self._job.poll() is None, "twins has ended:", self._job.output())

    def stop(self):
        """All is verified once more. Returns its report."""
        self._machine.must("kill $(pidof twins)")
        status, output = self._job.wait(300)
        check_equal(status, 0, f"exit status of twins ({output})")
        return json.loads(output.splitlines()[-1])
