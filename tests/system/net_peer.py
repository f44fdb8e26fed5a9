# SPDX-License-Identifier: BSD-2-Clause
"""The host's end of tests/guest/netload.c: traffic of which both ends know every byte.

    with Peer(seed=1) as peer:
        job = machine.spawn(f"netload udp {HOST} {peer.udp_port} --seed 1")
        ...
        peer.udp     # what came of it

The form of a datagram stands in tests/guest/netload_udp.c.
"""

import dataclasses
import select
import socket
import struct
import threading
import zlib

MASK = (1 << 64) - 1
POOL_SIZE = 65521
HEADER = struct.Struct("<QII")
LENGTH_MAX = 1472
AHEAD_MAX = 1 << 20  # datagrams that may be lost at a stretch before a number counts as wrong
PIECE = 32768
WRONG_SHOWN = 20
SOCKET_BUFFER = 1 << 20


def mix(x):
    """guest_mix() of tests/guest/guest_util.h."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def pool(seed):
    """Content of one direction, with its beginning once more behind its end."""
    words = (POOL_SIZE + 7) // 8
    numbers = (mix((seed + (i + 1) * 0x9E3779B97F4A7C15) & MASK) for i in range(words))
    data = struct.pack(f"<{words}Q", *numbers)[:POOL_SIZE]
    return data + data


def length_of(number):
    """As in netload_udp.c: every other one is as long as can be."""
    return LENGTH_MAX if number % 2 == 0 else HEADER.size + (mix(number) >> 32) % (LENGTH_MAX - HEADER.size + 1)


def content_of(content, number, length):
    """What a datagram carries behind its header."""
    begin = (mix(number) & 0xFFFFFFFF) % POOL_SIZE
    return content[begin : begin + length - HEADER.size]


@dataclasses.dataclass
class Traffic:
    """Of datagrams, or bytes of a stream. `places`: the first that were wrong."""

    received: int = 0
    sent: int = 0
    again: int = 0
    wrong: int = 0
    bytes_verified: int = 0
    next: int = 0
    missing: set = dataclasses.field(default_factory=set)
    places: list = dataclasses.field(default_factory=list)

    @property
    def dropped(self):
        """Datagrams that others have overtaken, and that have not come since."""
        return len(self.missing)

    def note_wrong(self, what):
        """Counts it, and keeps the first few for people."""
        self.wrong += 1
        if len(self.places) < WRONG_SHOWN:
            self.places.append(what)

    def note_number(self, number):
        """Whether it is new."""
        if number >= self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
        elif number in self.missing:
            self.missing.discard(number)
        else:
            self.again += 1
            return False
        self.received += 1
        return True


class Peer:
    """Listens on two ports of the loopback, one for datagrams, one for one stream. `spoil`: the datagram whose answer is sent wrong."""

    def __init__(self, seed=1, spoil=None):
        self._expected, self._answers = pool(mix(2 * seed)), pool(mix(2 * seed + 1))
        self._spoil = spoil
        self._end = False
        self.udp, self.tcp = Traffic(), Traffic()
        self.failure = None
        self._datagrams = bound(socket.SOCK_DGRAM)
        self._listener = bound(socket.SOCK_STREAM)
        self._listener.listen(1)
        self.udp_port, self.tcp_port = (part.getsockname()[1] for part in (self._datagrams, self._listener))
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in (self._serve_udp, self._serve_tcp)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._end = True
        for thread in self._threads:
            thread.join()
        self._datagrams.close()
        self._listener.close()

    def _guarded(self, work):
        try:
            work()
        except Exception as reason:  # pylint: disable=broad-except
            self.failure = reason  # told by whoever asks for the figures

    # --- datagrams ----------------------------------------------------------------------------------------------------

    def _serve_udp(self):
        self._datagrams.settimeout(0.2)
        while not self._end:
            try:
                data, sender = self._datagrams.recvfrom(65536)
            except TimeoutError:
                continue
            number = self._verify(data)
            if number is not None:
                self.udp.note_number(number)
                self._datagrams.sendto(self._answer(number), sender)
                self.udp.sent += 1

    def _verify(self, data):
        """The number of a datagram that is right in every byte, or None."""
        if len(data) < HEADER.size:
            return self.udp.note_wrong(f"a datagram of {len(data)} bytes")
        number, length, crc = HEADER.unpack_from(data)
        if length != len(data) or number >= self.udp.next + AHEAD_MAX or length != length_of(number):
            return self.udp.note_wrong(f"the header of a datagram of {len(data)} bytes: {data[:HEADER.size].hex()}")
        if data[HEADER.size :] != content_of(self._expected, number, length) or crc != checksum(number, data[HEADER.size :]):
            return self.udp.note_wrong(f"datagram {number}, after {self.udp.received}")
        self.udp.bytes_verified += length
        return number

    def _answer(self, number):
        length = length_of(number)
        content = content_of(self._answers, number, length)
        header = HEADER.pack(number, length, checksum(number, content))
        if number == self._spoil:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return header + content

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _serve_tcp(self):
        self._listener.settimeout(0.2)
        connection = None
        while connection is None and not self._end:
            try:
                connection = self._listener.accept()[0]
            except TimeoutError:
                continue
        if connection:
            with connection:
                self._stream(connection)

    def _stream(self, connection):
        connection.setblocking(False)
        while not self._end:
            readable, writable, _ = select.select([connection], [connection], [], 0.2)
            if writable:
                begin = self.tcp.sent % POOL_SIZE
                self.tcp.sent += connection.send(self._answers[begin : begin + PIECE])
            if readable and not self._take(connection.recv(PIECE)):
                break
        connection.shutdown(socket.SHUT_WR)

    def _take(self, data):
        """False at the end of the guest's stream."""
        begin = self.tcp.received % POOL_SIZE
        if data != self._expected[begin : begin + len(data)]:
            self.tcp.note_wrong(f"the stream, {len(data)} bytes from {self.tcp.received}")
        else:
            self.tcp.bytes_verified += len(data)
        self.tcp.received += len(data)
        return bool(data)


def checksum(number, content):
    """The CRC of a datagram with a CRC of 0 in it."""
    return zlib.crc32(content, zlib.crc32(HEADER.pack(number, len(content) + HEADER.size, 0)))


def bound(kind):
    """A socket on a free port of the loopback."""
    end = socket.socket(socket.AF_INET, kind)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    end.bind(("127.0.0.1", 0))
    return end
