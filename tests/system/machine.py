# SPDX-License-Identifier: BSD-2-Clause
"""A test machine: QEMU with Debian's kernel, bare or on Scrim, and every way the tests have to look at it.

    with Machine(work, scrim=True, cpus=4, memory="2G") as machine:
        machine.wait_ready()
        status, output = machine.run("nproc")

`work` is a directory of the test's own: console.log (first serial port) and qemu.log are left there. The guest is reached by
an agent on its second serial port (initramfs/agent); from outside by QMP, and by `machine.memory`, its RAM by machine
address. Nothing is tried twice: a machine that is late or gone raises MachineError, which tells what it last said.
"""

import json
import mmap
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

from agent import Agent
from emulated import BUILD, IMAGES, READY_TIMEOUT, Emulated, MachineError, initrd_with, kernel_path, size_bytes
from emulated import ROOT, end_with_parent  # noqa: F401 (for those who use a machine)

I386_INITRAMFS = IMAGES / "initramfs-i386.cpio.gz"

# Pinned, and free of everything that QEMU's TCG would warn about.
CPU_MODEL = (
    "EPYC,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-nrip-save,-xsavec,enforce"
)
# No commas here: QEMU's multiboot loader splits its module list at them.
KERNEL_ARGS = "console=ttyS0 loglevel=7 cryptomgr.notests nokaslr mitigations=off panic=-1"
ICOUNT_ARGS = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01T00:00:00,clock=vm"]

QMP_TIMEOUT = 60
VECTOR_REGISTERS = re.compile(r"([XY]MM|FPR|ZMM|k\d)")  # left out of what a failure prints

GIB = 1 << 30
Q35_LOW_MAX = 0xB0000000  # q35 keeps all RAM below this address if it fits ...
Q35_LOW_SPLIT = 0x80000000  # ... and otherwise only so much of it


class Machine(Emulated):
    """One virtual machine, started on entering the `with` block and ended on leaving it.

    work         directory for logs and sockets' files; made if absent
    scrim        True: scrim.elf is booted and starts the kernel; False: QEMU starts the kernel itself; a path: that image in its place
    kernel       "cloud", "full", "686", "686-pae" (the last two want initrd=I386_INITRAMFS), or the path of an image
    cpus, memory as QEMU's -smp and -m ("512M", "6G")
    options      Scrim's own options, a string
    args         kernel arguments added to KERNEL_ARGS (no commas)
    kernel_args  replaces KERNEL_ARGS altogether
    initrd       a path, None for no second module; default: the tests' initramfs
    kexec        True: the initramfs with /boot/vmlinuz and /boot/initramfs in it
    cpu          -cpu, default CPU_MODEL
    icount       seed of a run with counted instructions (cpus=1); None: none
    reboot       True: a reboot reboots; False: it ends QEMU
    boot         replaces -kernel, -append and -initrd: a list of QEMU arguments (an ISO)
    firmware     "bios" or "uefi"
    extra        more QEMU arguments
    threads      "single": QEMU runs all CPUs in turn in one thread; "multi": each in its own (docs/decisions/0011)
    agent        False for guests that have no agent; their second serial port is written to a file, see `second`
    files        {path: bytes or text} added to the initramfs; "autorun" is a script that runs instead of the agent
    """

    EMULATOR = "QEMU"

    def __init__(self, work, scrim=True, kernel="cloud", cpus=1, memory="512M", options="", args="", kernel_args=KERNEL_ARGS,
                 initrd=IMAGES / "initramfs.cpio.gz", kexec=False, cpu=CPU_MODEL, icount=None, reboot=False, boot=None,
                 firmware="bios", extra=(), threads="single", agent=True, files=None):
        super().__init__(work)
        self.scrim = scrim
        self.cpus = cpus
        self.memory_bytes = size_bytes(memory)
        self._kernel = kernel_path(kernel)
        self._args = " ".join(f"{kernel_args} {args}".split())
        self._initrd = IMAGES / "initramfs-kexec.cpio.gz" if kexec else initrd
        self._files = files or {}
        self._options = options
        self._cpu = cpu
        self._icount = icount
        self._reboot = reboot
        self._boot = boot
        self._firmware = firmware
        self._extra = list(extra)
        self._threads = threads
        self._has_agent = agent
        self._sockets = None
        self._memory_path = None
        self.memory = None
        self._qmp = None

    # --- life ---------------------------------------------------------------------------------------------------------

    def close(self):
        """Ends QEMU, however it is, and gives back the RAM file."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for part in (self._agent, self._qmp, self.memory):
            if part:
                part.close()
        self._agent = self._qmp = self.memory = None
        if self._memory_path:
            self._memory_path.unlink(missing_ok=True)
        if self._sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _start(self):
        self.work.mkdir(parents=True, exist_ok=True)
        if self._files:
            self._initrd = initrd_with(self._files, self._initrd, self.work / "initrd")
        self._sockets = tempfile.mkdtemp(prefix="scrim-")
        self._memory_path = memory_file(self.memory_bytes)
        self.memory = MachineMemory(self._memory_path, self.memory_bytes)
        qmp = listen(f"{self._sockets}/qmp")
        agent = listen(f"{self._sockets}/agent") if self._has_agent else None
        command = self._command()
        (self.work / "command").write_text(" ".join(shell_word(word) for word in command) + "\n")
        with open(self.work / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._ask(lambda: self._connect(qmp, agent), "it did not take its command line")

    def _connect(self, qmp, agent):
        self._qmp = Qmp(accept(qmp, self._process, self.work))
        if agent:
            self._agent = Agent(accept(agent, self._process, self.work))

    def _command(self):
        command = [
            "qemu-system-x86_64", "-accel", f"tcg,thread={self._threads}", "-nodefaults", "-vga", "std", "-display", "none",
            "-machine", "q35,smm=off,memory-backend=ram",
            "-object", f"memory-backend-file,id=ram,size={self.memory_bytes},mem-path={self._memory_path},share=on",
            "-cpu", self._cpu, "-smp", str(self.cpus), "-m", f"{self.memory_bytes >> 20}M",
            "-chardev", f"file,id=console,path={self.console_path}", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,path={self._sockets}/qmp", "-mon", "chardev=qmp,mode=control",
        ]
        if self._has_agent:
            command += ["-chardev", f"socket,id=agent,path={self._sockets}/agent", "-serial", "chardev:agent"]
        else:
            command += ["-chardev", f"file,id=second,path={self.second_path}", "-serial", "chardev:second"]
        if self._firmware == "uefi":
            command += uefi_arguments(self.work)
        if self._icount is not None:
            command += ["-seed", str(self._icount)] + ICOUNT_ARGS
        if not self._reboot:
            command += ["-no-reboot"]
        return command + self._boot_arguments() + self._extra

    def _boot_arguments(self):
        if self._boot is not None:
            return list(self._boot)
        if not self.scrim:
            initrd = ["-initrd", str(self._initrd)] if self._initrd else []
            return ["-kernel", str(self._kernel), "-append", self._args] + initrd
        elf = {} if self.scrim is True else {"elf": self.scrim}
        return scrim_arguments(self._options, [f"{self._kernel} {self._args}"] + ([str(self._initrd)] if self._initrd else []), **elf)

    # --- from outside -------------------------------------------------------------------------------------------------

    def qmp(self, command, **arguments):
        """A QMP command ("inject-nmi", "stop", "cont", ...). Returns what it returns."""
        return self._ask(lambda: self._qmp.command(command, arguments), f"QMP did not answer: {command}")

    def monitor(self, line):
        """A command of the human monitor ("info mtree", "xp /4gx 0x1000"). Returns its text."""
        return self.qmp("human-monitor-command", **{"command-line": line}).replace("\r", "")

    def wait_event(self, name, timeout=READY_TIMEOUT):
        """Waits for a QMP event ("RESET", "SHUTDOWN", "GUEST_PANICKED"), also one that came before and was not waited for."""
        return self._ask(lambda: self._qmp.wait_event(name, timeout), f"no event {name} within {timeout} s")

    def _last_words(self):
        path = self.work / "qemu.log"
        log = path.read_text(errors="replace").strip() if path.exists() else ""
        parts = ["--- QEMU says", log] if log else []
        if self.alive and self._qmp:
            parts += ["--- registers", self._registers()]
        return parts

    def _registers(self):
        """Of all CPUs, and what their APICs have pending and in service: a CPU that sleeps for ever may have lost an interrupt there."""
        try:
            lines = ["info registers -a"] + [f"info lapic {cpu}" for cpu in range(self.cpus)]
            text = "".join(self._qmp.command("human-monitor-command", {"command-line": line}) for line in lines).replace("\r", "")
            return "\n".join(line for line in text.splitlines() if not VECTOR_REGISTERS.match(line))
        except (OSError, EOFError, TimeoutError) as reason:
            return f"(the monitor does not answer: {reason!r})"


class Qmp:
    """QEMU's control socket. Events are kept until they are waited for."""

    def __init__(self, connection):
        self._connection = connection
        self._received = b""
        self.events = []
        self._read(QMP_TIMEOUT)
        self.command("qmp_capabilities", {})

    def close(self):
        self._connection.close()

    def command(self, name, arguments):
        self._connection.settimeout(QMP_TIMEOUT)
        self._connection.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._read(QMP_TIMEOUT)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise OSError(f"QMP {name}: {answer['error']['desc']}")
            self.events.append(answer)

    def wait_event(self, name, timeout):
        deadline = time.monotonic() + timeout
        while not (found := [event for event in self.events if event["event"] == name]):
            self.events.append(self._read(max(0.1, deadline - time.monotonic())))
        self.events.remove(found[0])
        return found[0]

    def _read(self, timeout):
        self._connection.settimeout(timeout)
        while b"\n" not in self._received:
            data = self._connection.recv(65536)
            if not data:
                raise EOFError("QMP closed")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)


class MachineMemory:
    """The machine's RAM, live, by machine-physical address: bytes as the hardware has them, whatever any map says."""

    def __init__(self, path, size):
        self.size = size
        self.low = size if size < Q35_LOW_MAX else Q35_LOW_SPLIT
        with open(path, "r+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)

    def close(self):
        self._map.close()

    def ranges(self):
        """[(start, end)] of RAM; ROMs and the VGA window lie over some of the first MiB and are not seen here."""
        high = [(4 * GIB, 4 * GIB + self.size - self.low)] if self.size > self.low else []
        return [(0, self.low)] + high

    def read(self, address, count):
        """`count` bytes of RAM at a machine address."""
        offset = self._offset(address, count)
        return self._map[offset : offset + count]

    def write(self, address, data):
        """Writes RAM behind the machine's back (a fault to be noticed)."""
        offset = self._offset(address, len(data))
        self._map[offset : offset + len(data)] = data

    def read_u64(self, address):
        """A little-endian 64-bit word of RAM."""
        return int.from_bytes(self.read(address, 8), "little")

    def _offset(self, address, count):
        for start, end in self.ranges():
            if start <= address and address + count <= end:
                return address if start == 0 else address - start + self.low
        raise ValueError(f"{address:#x}, {count} bytes: not RAM of this machine")


# --- QEMU's command line ----------------------------------------------------------------------------------------------


def scrim_arguments(options, modules, elf=BUILD / "scrim.elf"):
    """QEMU arguments that boot scrim.elf with modules, each "PATH ARGUMENTS". Commas inside a module are doubled."""
    arguments = ["-kernel", str(elf)]
    if options:
        arguments += ["-append", options]
    if modules:
        arguments += ["-initrd", ",".join(module.replace(",", ",,") for module in modules)]
    return arguments


def uefi_arguments(work):
    """OVMF with variables of its own, fresh for each machine."""
    code, variables = pathlib.Path("/usr/share/OVMF/OVMF_CODE.fd"), pathlib.Path("/usr/share/OVMF/OVMF_VARS.fd")
    for part in (code, variables):
        if not part.exists():
            raise MachineError(f"{part} is missing: install ovmf (`make setup`)")
    own = work / "ovmf_vars.fd"
    shutil.copy(variables, own)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={own}"]


def memory_file(size):
    """An empty file for the machine's RAM: in /dev/shm where that has the room, under the build directory otherwise."""
    shared = pathlib.Path("/dev/shm")
    directory = BUILD / "tmp"
    if shared.is_dir() and shutil.disk_usage(shared).free > size + GIB:
        directory = shared
    directory.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(prefix="scrim-ram-", dir=directory)
    os.close(handle)
    return pathlib.Path(path)


def shell_word(word):
    """A word as it has to be typed into a shell, so that the file `command` can be pasted."""
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def listen(path):
    """A listening UNIX socket that QEMU connects to before its first instruction."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    return listener


def accept(listener, process, work):
    """Takes QEMU's connection; a QEMU that refuses its command line says why instead."""
    deadline = time.monotonic() + QMP_TIMEOUT
    listener.settimeout(0.2)
    with listener:
        while True:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (work / "qemu.log").read_text(errors="replace")
                    raise MachineError(f"QEMU did not start (status {process.poll()}):\n{said}") from None
