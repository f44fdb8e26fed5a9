# SPDX-License-Identifier: BSD-2-Clause
"""What every machine of the tests is, whatever emulates it: a console in a file, and an agent in the guest that runs commands.

`machine.py` is QEMU's, `bochs.py` Bochs's. They start the emulator and say how the machine is looked at from outside.
"""

import base64
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import time

import newc

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
IMAGES = BUILD / "images"
KERNELS = ("cloud", "full", "686", "686-pae")  # by the names that fetch_kernels.sh gives them

TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")

READY_TIMEOUT = 300
RUN_TIMEOUT = 120
CONSOLE_TAIL_LINES = 60


class MachineError(Exception):
    """The machine did not do what was asked of it. The text has the console's tail and the CPUs' registers."""


class Emulated:
    """One virtual machine, started on entering the `with` block and ended on leaving it.

    A subclass gives EMULATOR, its name in messages; `_start()`, which sets `_process` and, once it has the line, `_agent`; `close()`; and
    `_last_words()`, what it knows of a machine that has failed.
    """

    EMULATOR = None

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.boot_id = None
        self._process = None
        self._agent = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def _start(self):
        raise NotImplementedError

    def close(self):
        """Ends the emulator, however it is, and gives back what it held."""
        raise NotImplementedError

    def _last_words(self):
        """Lines for an error: what the emulator has said, registers."""
        raise NotImplementedError

    # --- the guest ----------------------------------------------------------------------------------------------------

    def wait_ready(self, timeout=READY_TIMEOUT):
        """Waits until the agent of a newly booted kernel answers (also after a reboot or kexec). Returns self."""
        self.boot_id = self._ask(lambda: self._agent.wait_ready(timeout, self._check_alive), f"no agent after {timeout} s")
        return self

    def run(self, command, timeout=RUN_TIMEOUT):
        """Runs a shell script in the guest. Returns (exit status, output with standard error in it)."""
        return self._ask(
            lambda: self._agent.run(command, timeout, self._check_alive), f"no end after {timeout} s: {command}"
        )

    def must(self, command, timeout=RUN_TIMEOUT):
        """Runs a shell script that has to exit with 0. Returns its output without white space at the ends."""
        status, output = self.run(command, timeout)
        if status != 0:
            raise self.error(f"exit status {status}: {command}\n{output}")
        return output.strip()

    def spawn(self, command):
        """Starts a shell script in the background of the guest. Returns a Job: `poll()`, `wait(timeout)`, `output()`."""
        name = f"/tmp/job.{secrets.token_hex(4)}"
        script = base64.b64encode(command.encode()).decode()
        self.must(f"echo {script} | base64 -d >{name}.sh\n(sh {name}.sh >{name}.out 2>&1 </dev/null; echo $? >{name}.tmp; "
                  f"mv {name}.tmp {name}.rc) >/dev/null 2>&1 &")
        return Job(self, name)

    def send(self, command):
        """Sends a script that will not come back (reboot, kexec, power-off, panic): nothing is waited for."""
        self._agent.send(command)

    def dmesg(self):
        """The kernel's log as a list of lines."""
        return self.must("dmesg").splitlines()

    def status(self):
        """`scrimctl status --json`, parsed."""
        text = self.must("scrimctl status --json")
        try:
            return json.loads(text)
        except ValueError as reason:
            raise self.error(f"scrimctl status --json is not JSON ({reason}):\n{text}") from reason

    # --- its console and its end --------------------------------------------------------------------------------------

    @property
    def console_path(self):
        """File that the first serial port writes to."""
        return self.work / "console.log"

    @property
    def console(self):
        """All that the first serial port has said, Scrim's lines and the kernel's, as plain text."""
        return plain_text(self.console_path)

    @property
    def second_path(self):
        """File that the second serial port writes to where no agent is."""
        return self.work / "second.log"

    @property
    def second(self):
        """What /autorun (see `files`) has printed, and its last line: `autorun status N`."""
        return plain_text(self.second_path)

    def wait_console(self, pattern, timeout=READY_TIMEOUT):
        """Waits until the console matches the regular expression. Returns the match."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self._process.poll() is not None
            match = re.search(pattern, self.console, re.MULTILINE)
            if match:
                return match
            if ended:
                raise self.error(f"{self.EMULATOR} ended (status {self._process.returncode}), and the console never said: {pattern}")
            if time.monotonic() > deadline:
                raise self.error(f"the console did not say within {timeout} s: {pattern}")
            time.sleep(0.1)

    def wait_exit(self, timeout=READY_TIMEOUT):
        """Waits for the end of the emulator (power-off, reboot with reboot=False). Returns its exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.error(f"still running after {timeout} s, should have ended") from None

    @property
    def alive(self):
        """True while the emulator runs."""
        return self._process is not None and self._process.poll() is None

    def error(self, reason):
        """A MachineError with all that helps to see why: console's tail, the emulator's messages, registers of all CPUs."""
        lines = self.console.splitlines()
        parts = [reason, f"--- console, last of {len(lines)} lines", *lines[-CONSOLE_TAIL_LINES:]]
        if self._agent and self._agent.partial:
            parts += ["--- agent, last seen", TERMINAL_SEQUENCE.sub("", self._agent.partial[-2000:])]
        return MachineError("\n".join(parts + self._last_words()))

    def _ask(self, action, reason):
        try:
            return action()
        except TimeoutError:
            raise self.error(reason) from None
        except (OSError, EOFError) as failure:
            self._settle()
            ended = f"{self.EMULATOR} ended (status {self._process.returncode})" if not self.alive else f"lost the machine: {failure!r}"
            raise self.error(f"{ended}; {reason}") from None

    def _settle(self):
        """Its sockets close a moment before QEMU is gone."""
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass

    def _check_alive(self):
        """Called while waiting for the agent: a kernel that has panicked will never answer."""
        if not self.alive:
            raise EOFError(f"{self.EMULATOR} ended")
        if "---[ end Kernel panic" in self.console:
            raise EOFError("the kernel panicked")


class Job:
    """A script in the background of the guest."""

    def __init__(self, machine, name):
        self._machine = machine
        self._name = name

    def poll(self):
        """Exit status, or None while it runs."""
        text = self._machine.must(f"cat {self._name}.rc 2>/dev/null || true")
        return int(text) if text else None

    def output(self):
        """What it has printed so far."""
        return self._machine.must(f"cat {self._name}.out")

    def wait(self, timeout=RUN_TIMEOUT):
        """Waits for its end in the guest, by the host's clock. Returns (status, output)."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise self._machine.error(f"background job still runs after {timeout} s; it said:\n{self.output()}")
            time.sleep(0.3)
        return status, self.output()


def kernel_path(kernel):
    """The image of a kernel by its name in KERNELS, or by its path."""
    return IMAGES / f"vmlinuz-{kernel}" if kernel in KERNELS else pathlib.Path(kernel)


def initrd_with(files, initrd, target):
    """Writes `initrd` with an archive of `files` behind it: Linux unpacks one after the other. Returns its path."""
    archive = newc.Archive()
    for path, content in files.items():
        archive.file(path, content, 0o755)
    base = pathlib.Path(initrd).read_bytes()
    target.write_bytes(base + b"\0" * (-len(base) % 4) + archive.bytes())
    return target


def size_bytes(text):
    """"512M" or "6G" in bytes."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match:
        raise ValueError(f"not a memory size: {text}")
    return int(match.group(1)) << {"M": 20, "G": 30}[match.group(2)]


def plain_text(path):
    """A serial port's file without carriage returns and terminal control sequences; empty while there is none."""
    if not path.exists():
        return ""
    text = path.read_bytes().decode("utf-8", "replace").replace("\r", "")
    return TERMINAL_SEQUENCE.sub("", text)


def end_with_parent():
    """Turns SIGTERM into an exception, so that `with Machine` ends its QEMU when the test is told to stop."""
    def stop(_signal, _frame):
        raise SystemExit("stopped")
    signal.signal(signal.SIGTERM, stop)
