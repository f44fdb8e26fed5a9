# SPDX-License-Identifier: BSD-2-Clause
"""How a system test is declared, and what it is handed.

    @test("boot-to-shell", cost=10)
    def boot_to_shell(t):
        with t.machine(cpus=2) as machine:
            check(machine.run("true")[0] == 0, "the shell does not answer")

README.md beside this file says more. tests/run.py finds the tests and runs each in a process of its own.
"""

import dataclasses
import importlib
import pathlib
import sys
import typing

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bochs import Bochs  # noqa: E402
from machine import Machine  # noqa: E402

TEST, SOAK, BOTH = {"test"}, {"soak"}, {"test", "soak"}


@dataclasses.dataclass(frozen=True)
class SystemTest:
    """One declared test. `cost` is in seconds on an idle machine; `weight` how many of the host's CPUs it keeps busy."""

    name: str
    function: typing.Callable
    cost: int
    weight: int
    when: frozenset
    timeout: int


_TESTS = {}


def test(name, cost, weight=1, when=BOTH, timeout=None):
    """Declares a system test. `when` is TEST, SOAK or BOTH; `timeout` defaults to a generous multiple of `cost`."""

    def declare(function):
        if name in _TESTS:
            raise ValueError(f"two tests are named {name}")
        limit = timeout or 300 + 15 * cost
        _TESTS[name] = SystemTest(name, function, cost, weight, frozenset(when), limit)
        return function

    return declare


def all_tests():
    """{name: SystemTest} of every tests/system/test_*.py."""
    for path in sorted(HERE.glob("test_*.py")):
        importlib.import_module(path.stem)
    return dict(_TESTS)


class Context:
    """What a test is handed: a directory of its own, its machines, and whether this is the long run."""

    def __init__(self, work, soak):
        self.work = pathlib.Path(work)
        self.soak = soak
        self._machines = 0

    def machine(self, **how):
        """A Machine in a directory below `work`. Enter it by `with`; see Machine for what it takes."""
        return Machine(self._directory(), **how)

    def bochs(self, **how):
        """A Bochs, the second machine, likewise."""
        return Bochs(self._directory(), **how)

    def _directory(self):
        self._machines += 1
        return self.work / f"machine{self._machines}"

    def pick(self, short, long):
        """`short` in `make test`, `long` in `make soak`."""
        return long if self.soak else short


def check(truth, *message):
    """Fails the test unless `truth`; the message says what was seen and what was expected."""
    if not truth:
        raise AssertionError(" ".join(str(part) for part in message))


def check_equal(seen, expected, what):
    """Fails the test unless both are equal."""
    check(seen == expected, f"{what}: {seen!r}, expected {expected!r}")
