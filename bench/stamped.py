# SPDX-License-Identifier: BSD-2-Clause
"""A machine that stamps each line of its second serial port with the CPU time that QEMU has used by then.

Instructions do not feel a TLB flush, a walk of page tables in two dimensions or a world switch; the emulator's CPU time does. So
it is taken in the same runs. A load is bracketed by lines of counters: two looks right before it, one right after it. Between the
last two lie the load and a look, between the first two a look alone.

Another process on the same core, and a move to another core, cost the emulator CPU time of its own: caches that are cold. So QEMU
is kept to one core, and this process to the others, as far as there are any.
"""

import contextlib
import os
import threading
import time

from emulated import TERMINAL_SEQUENCE
from machine import Machine


CORES = os.sched_getaffinity(0)
CORE_OF_QEMU = max(CORES)
SILENCE_S = 240  # a machine says something at each load, which takes seconds; the longest boot takes half a minute


class StampedMachine(Machine):
    """A Machine without an agent. `stamped` has (seconds of CPU time, line) for each line of the second serial port."""

    def __init__(self, work, **how):
        super().__init__(work, **how)
        self.stamped = []
        self._reader = None

    def _start(self):
        self.work.mkdir(parents=True, exist_ok=True)
        self.second_path.unlink(missing_ok=True)
        os.mkfifo(self.second_path)
        pipe = os.open(self.second_path, os.O_RDWR)  # opened for both ends: neither side waits for the other
        try:
            os.sched_setaffinity(0, {CORE_OF_QEMU})  # which QEMU inherits
            super()._start()
            self._reader = threading.Thread(target=self._read, args=(os.open(self.second_path, os.O_RDONLY),), daemon=True)
            self._reader.start()
        finally:
            os.sched_setaffinity(0, CORES - {CORE_OF_QEMU} or CORES)
            os.close(pipe)

    def _read(self, pipe):
        """QEMU has the only other end: after it nothing comes."""
        # Linux's number for the CPU-time clock of a process (clock_getcpuclockid(3)).
        clock = ~self._process.pid << 3 | 2
        seconds, rest = 0.0, b""
        with os.fdopen(pipe, "rb", buffering=0) as file:
            while data := file.read(65536):
                with contextlib.suppress(OSError):  # QEMU has ended: its last lines are stamped with what it had used
                    seconds = time.clock_gettime(clock)
                *lines, rest = (rest + data).split(b"\n")
                self.stamped += [(seconds, TERMINAL_SEQUENCE.sub("", line.decode("utf-8", "replace").replace("\r", ""))) for line in lines]

    def wait_exit(self, timeout=0):
        """As Machine's; all lines have been stamped then. A machine that says nothing for SILENCE_S waits for ever, and is not waited for."""
        deadline = time.monotonic() + timeout
        while self._reader.is_alive() and time.monotonic() < deadline:
            lines = len(self.stamped)
            self._reader.join(SILENCE_S)
            if self._reader.is_alive() and len(self.stamped) == lines:
                raise self.error(f"said nothing for {SILENCE_S} s")
        status = super().wait_exit(max(1, deadline - time.monotonic()))
        self._reader.join()
        return status

    @property
    def second(self):
        """All lines so far."""
        return "\n".join(line for _, line in self.stamped)


def load_seconds(stamped):
    """{(phase, load): [seconds of CPU time of each pass]}, of loads with looks around them."""
    seconds, looks, current = {}, [], None
    for at, line in stamped:
        word, _, rest = line.partition(" ")
        if word == "load":
            current, looks = tuple(rest.split()), []
        elif word == "counters":
            looks.append(at)
            if len(looks) == 3:
                seconds.setdefault(current, []).append((looks[2] - looks[1]) - (looks[1] - looks[0]))
    return seconds
