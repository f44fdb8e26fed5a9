# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's gdb stub: stops the whole machine at an instruction of Scrim's, so that its memory can be looked at as of then."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile

from machine import BUILD

TIMEOUT = 600
RIP = slice(256, 272)  # behind 16 general registers, in the answer to the packet that reads all


def symbol(name):
    """Address of a symbol of Scrim's, less that of the image's first byte."""
    lines = subprocess.run(["nm", str(BUILD / "scrim.debug")], check=True, capture_output=True, text=True).stdout.split("\n")
    table = {parts[2]: int(parts[0], 16) for parts in (line.split() for line in lines) if len(parts) == 3}
    return table[name] - table["image_start"]


def own_start(status):
    """Where Scrim's image lies: at the start of the largest of its ranges."""
    ranges = [(int(part["start"], 16), int(part["end"], 16)) for part in status["ranges"]["own"]]
    return max(ranges, key=lambda part: part[1] - part[0])[0]


class GdbStub:
    """A connection to the stub. While it is open the machine runs only in `run_to_breakpoint` and after `detach`."""

    def __init__(self, machine, directory):
        path = pathlib.Path(directory) / "gdb"
        machine.monitor(f"gdbserver unix:{path},server=on,wait=off")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(str(path))
        self._received = b""

    def command(self, text):
        """Sends a packet and returns the answer's text."""
        self._send(text)
        answer = self._packet()
        while text != "c" and answer.startswith("T"):  # that the machine stopped when the connection was made is told when it has
            answer = self._packet()
        return answer

    def run_to_breakpoint(self, address):
        """Runs the machine until some CPU executes the instruction at this linear address; it stands still then."""
        answer = self.command(f"Z0,{address:x},1")
        if answer != "OK":
            raise OSError(f"no breakpoint: {answer}")
        answer = self.command("c")
        if not answer.startswith("T05"):
            raise OSError(f"the machine stopped for another reason: {answer}")
        self.command(f"z0,{address:x},1")

    def count_steps(self, address, most):
        """Single steps of the CPU that has stopped until it is at this linear address; an error after `most` of them."""
        for count in range(1, most + 1):
            self._send("s")
            answer = self._packet()
            if not answer.startswith("T05"):
                raise OSError(f"a step ended otherwise: {answer}")
            if int.from_bytes(bytes.fromhex(self.command("g")[RIP]), "little") == address:
                return count
        raise OSError(f"not at {address:#x} after {most} steps")

    def detach(self):
        """The machine runs on, and nobody stops it."""
        self.command("D")
        self._socket.close()

    def _send(self, text):
        self._socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) % 256))

    def _packet(self):
        while not (b"$" in self._received and b"#" in self._received[self._received.index(b"$"):-2]):
            data = self._socket.recv(4096)
            if not data:
                raise EOFError("the stub's line closed")
            self._received += data
        start = self._received.index(b"$")
        end = self._received.index(b"#", start)
        packet, self._received = self._received[start + 1:end], self._received[end + 3:]
        self._socket.sendall(b"+")
        return packet.decode()


@contextlib.contextmanager
def stopped_at(machine, status, name):
    """Within the block the machine stands at the function of Scrim's with this name; behind it, it runs on. Yields the GdbStub."""
    directory = tempfile.mkdtemp(prefix="scrim-gdb-")
    try:
        stub = GdbStub(machine, directory)
        stub.run_to_breakpoint(own_start(status) + symbol(name))
        yield stub
        stub.detach()
        machine.monitor("gdbserver none")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
