#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The second machine: Bochs, booted by GRUB from an ISO. It has VMX or SVM by its model, and is slow, deterministic and exact.

    with Bochs(work, cpu="ryzen", cpus=2) as machine:
        machine.wait_ready()
        status, output = machine.run("nproc")

As a program it boots a machine, shows its console live, and runs commands in it (`bochs.py --help`).

From outside there is Bochs's debugger: `machine.debugger("r")`, `machine.read(address, count)`. Its log (`work`/bochs.log) says why it
ended, and explains each VM entry that it refused. An idle machine's clock runs ahead: HLT takes no time there.
"""

import argparse
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import grub
from agent import Agent
from emulated import BUILD, IMAGES, READY_TIMEOUT, Emulated, MachineError, end_with_parent, initrd_with, kernel_path, size_bytes

SMALL_INITRAMFS = IMAGES / "initramfs-small.cpio"
# Bochs's MWAITX (ryzen) never wakes by its timer, and Linux delays by that.
KERNEL_ARGS = "console=ttyS0,115200 quiet cryptomgr.notests nokaslr mitigations=off panic=-1 clearcpuid=mwaitx"
START_TIMEOUT = 30
DEBUGGER_TIMEOUT = 30
LOG_TAIL_LINES = 20

# `ips` is also the rate of the TSC. Serial ports take the time of their bytes, so a slow clock is cheap; `clock: sync=none` ties it to
# nothing of the host's.
# Without a dummy for sound Bochs ends at once. A triple fault is a panic, and a panic the end.
_RC = """\
display_library: term
cpu: model={cpu}, count={cpus}, ips=20000000, quantum=16, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={console}
com2: enabled=1, {second}
clock: sync=none, time0=1577836800
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
panic: action=fatal
error: action=report
info: action=ignore
log: {log}
debugger_log: {debugger}
"""


class Bochs(Emulated):
    """One virtual machine, started on entering the `with` block and ended on leaving it.

    work         directory for logs and the ISO; made if absent
    scrim        True: GRUB loads scrim.elf, which starts the kernel; False: GRUB loads the kernel; a path: that image in scrim.elf's place
    kernel       a name of emulated.KERNELS, or the path of an image
    cpus, memory 1 to 15, and as "512M"
    options      Scrim's own options, a string
    args         kernel arguments added to KERNEL_ARGS
    initrd       a path; default: few programs, see initramfs/build.py
    cpu          Bochs's model: "ryzen", "zambezi" have SVM, "corei7_haswell_4770", "broadwell_ult" VMX; `bochs --help cpu` has all
    agent        False for guests that have no agent; their second serial port is written to a file, see `second`
    files        {path: bytes or text} added to the initramfs
    boot         replaces kernel and initrd: GRUB commands, and the files that they name: [(path in the image, path on the host)]
    """

    EMULATOR = "Bochs"

    def __init__(self, work, scrim=True, kernel="cloud", cpus=1, memory="512M", options="", args="", initrd=SMALL_INITRAMFS, cpu="ryzen",
                 agent=True, files=None, boot=None):
        super().__init__(work)
        self.cpus = cpus
        self._scrim = BUILD / "scrim.elf" if scrim is True else scrim
        self._kernel = kernel_path(kernel)
        self._memory_bytes = size_bytes(memory)
        self._options = options
        self._args = f"{KERNEL_ARGS} {args}".strip()
        self._initrd = initrd
        self._cpu = cpu
        self._has_agent = agent
        self._files = files or {}
        self._boot = boot

    # --- life ---------------------------------------------------------------------------------------------------------

    def close(self):
        """Ends Bochs. It ignores SIGTERM."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process:
            self._process.stdin.close()
        if self._agent:
            self._agent.close()
        self._agent = None

    def _start(self):
        self.work.mkdir(parents=True, exist_ok=True)
        for old in (self.console_path, self.second_path, self._log_path, self._debugger_path):
            old.unlink(missing_ok=True)
        iso = self._make_iso()
        listener = socket.create_server(("127.0.0.1", 0)) if self._has_agent else None
        (self.work / "bochsrc").write_text(self._rc(iso, listener))
        # Its own session: it has no terminal, and ^C for the test is not for it. setpriv ends it with whoever started it.
        command = ["setpriv", "--pdeathsig", "KILL", "bochs-bin", "-q", "-f", str(self.work / "bochsrc")]
        with open(self.work / "bochs.out", "wb") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True,
                                             env={**os.environ, "TERM": "xterm"})
        self._tell("c")
        if listener:
            with listener:
                self._agent = Agent(self._accept(listener))

    def _make_iso(self):
        if self._boot is not None:
            return grub.make_text_iso(self.work, *self._boot)
        initrd = initrd_with(self._files, self._initrd, self.work / "initrd") if self._files else self._initrd
        files = [(grub.KERNEL, self._kernel), (grub.INITRD, initrd)]
        if not self._scrim:
            return grub.make_text_iso(self.work, grub.linux_commands(self._args), files)
        return grub.make_text_iso(self.work, grub.scrim_commands(self._args, self._options), files + [(grub.SCRIM, self._scrim)])

    def _rc(self, iso, listener):
        second = f"mode=socket-client, dev=127.0.0.1:{listener.getsockname()[1]}" if listener else f"mode=file, dev={self.second_path}"
        return _RC.format(cpu=self._cpu, cpus=self.cpus, memory=self._memory_bytes >> 20, iso=iso, console=self.console_path, second=second,
                          log=self._log_path, debugger=self._debugger_path)

    def _accept(self, listener):
        deadline = time.monotonic() + START_TIMEOUT
        listener.settimeout(0.2)
        while True:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise self.error(f"Bochs did not start (status {self._process.poll()})") from None

    # --- from outside -------------------------------------------------------------------------------------------------

    @property
    def _log_path(self):
        return self.work / "bochs.log"

    @property
    def _debugger_path(self):
        return self.work / "debugger.log"

    @property
    def log(self):
        """What Bochs has said of the machine: lines with the tick, `e` for errors, `p` for the panic that ended it."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    @property
    def panic(self):
        """Why it ended, in Bochs's words ("soft power off", "3rd (13) exception with no resolution"); None while it has not."""
        found = re.findall(r">>PANIC<< (.*)", self.console + self.log)
        return found[-1] if found else None

    def debugger(self, *lines, timeout=DEBUGGER_TIMEOUT):
        """Stops the machine, gives Bochs's debugger the commands ("r", "xp /8wx 0x1000", "info cpu"), lets it go on. Returns what they said."""
        token = secrets.randbits(32)
        start = len(self._debugger_text())
        self._process.send_signal(signal.SIGINT)
        self._wait_debugger(r"^\(0\)", start, timeout)
        answer = len(self._debugger_text())
        self._tell(*lines, f"calc {token}", "c")
        end = self._wait_debugger(rf"^calc {token}\n.*\n", answer, timeout)
        text = self._debugger_text()[answer : answer + end].partition(f"calc {token}")[0]
        return "\n".join(line for line in text.splitlines() if line not in lines)

    def read(self, address, count):
        """`count` bytes of RAM at a machine address, past every map, of the stopped machine."""
        text = self.debugger(f"xp /{count}bx {address:#x}")
        rows = re.findall(r"^0x[0-9a-f]+ .*?:((?:\t0x[0-9a-f]{2})+)$", text, re.MULTILINE)
        data = bytes(int(byte, 16) for row in rows for byte in row.split())
        if len(data) != count:
            raise self.error(f"{count} bytes at {address:#x} could not be read; the debugger says:\n{text}")
        return data

    def _tell(self, *lines):
        try:
            self._process.stdin.write("".join(line + "\n" for line in lines).encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.error("Bochs has ended") from None

    def _debugger_text(self):
        return self._debugger_path.read_text(errors="replace") if self._debugger_path.exists() else ""

    def _wait_debugger(self, pattern, start, timeout):
        """Where a match ends, counted from `start`."""
        deadline = time.monotonic() + timeout
        while not (match := re.search(pattern, self._debugger_text()[start:], re.MULTILINE)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"Bochs's debugger does not answer; its last words:\n{self._debugger_text()[start:]}")
            time.sleep(0.02)
        return match.end()

    def _last_words(self):
        lines = self.log.splitlines()
        out = self.work / "bochs.out"
        said = lines[-LOG_TAIL_LINES:] if lines else out.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if out.exists() else []
        parts = [f"--- Bochs says (its log has {len(lines)} lines)", *said]
        if self.alive:
            try:
                parts += ["--- registers", self.debugger(*[line for cpu in range(self.cpus) for line in (f"set $cpu={cpu}", "r", "sreg", "creg")])]
            except MachineError as reason:
                parts += [str(reason)]
        return parts


# --- the program ------------------------------------------------------------------------------------------------------


def main():
    options = parse_arguments()
    end_with_parent()
    work = options.work or BUILD / f"bochs-{os.getpid()}"
    status = boot_and_serve(options, work)
    if status == 0 and not options.work:
        shutil.rmtree(work)
    return status


def boot_and_serve(options, work):
    machine = Bochs(work, scrim=options.scrim, cpu=options.cpu, cpus=options.cpus, memory=f"{options.memory}M", kernel=options.kernel,
                    options=options.options, args=f"loglevel={options.loglevel} {options.args}", files=host_files(options.file))
    try:
        with machine:
            follow(machine)
            begin = time.monotonic()
            machine.wait_ready(options.limit)
            print(f"[ready after {time.monotonic() - begin:.1f} s]", flush=True)
            return serve(machine, options.command, options.limit)
    except MachineError as reason:
        print(reason)
        return 1


def parse_arguments():
    parser = argparse.ArgumentParser(description="Boots Debian in Bochs, bare or on Scrim, and runs commands in it as root.",
                                     epilog="At the prompt a line that begins with ! is for Bochs's debugger: !r, !info cpu, !xp /8wx 0x1000.")
    parser.add_argument("--cpu", default="ryzen", help="Bochs's CPU model (default %(default)s; `bochs --help cpu` lists them)")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=512, metavar="MIB")
    parser.add_argument("--kernel", default="cloud", help="cloud, full, or a path")
    parser.add_argument("--scrim", nargs="?", const=True, default=False, metavar="IMAGE", help="on Scrim: build/scrim.elf, or this image")
    parser.add_argument("--options", default="", help="Scrim's boot options")
    parser.add_argument("--args", default="", help="more kernel arguments")
    parser.add_argument("--loglevel", type=int, default=7, help="of the kernel's console; 4 boots quicker (default %(default)s)")
    parser.add_argument("--file", action="append", default=[], metavar="HOST:GUEST", help="a file for the initramfs")
    parser.add_argument("--limit", type=int, default=READY_TIMEOUT, metavar="SECONDS", help="for the boot, and for each command (default %(default)s)")
    parser.add_argument("--work", type=pathlib.Path, help="directory for logs, which stay (default: one in the build directory, which stays when something fails)")
    parser.add_argument("-c", "--command", action="append", help="run this and end, with the status of the first that fails")
    return parser.parse_args()


def host_files(pairs):
    return {guest: pathlib.Path(host).read_bytes() for host, _, guest in (pair.rpartition(":") for pair in pairs)}


def follow(machine):
    """Prints the console as it grows, until this program ends."""
    def copy():
        shown = 0
        while True:
            text = machine.console
            sys.stdout.write(text[shown:])
            sys.stdout.flush()
            shown = max(shown, len(text))
            time.sleep(0.1)
    threading.Thread(target=copy, daemon=True).start()


def prompted():
    while True:
        try:
            yield input("# ")
        except EOFError:
            return


def serve(machine, commands, limit):
    """Runs the commands, until one fails; or, without any, those that are typed."""
    for command in commands or prompted():
        if command.startswith("!"):
            print(machine.debugger(command[1:]), flush=True)
            continue
        status, output = machine.run(command, limit)
        print(f"$ {command}\n{output}[status {status}]", flush=True)
        if commands and status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
