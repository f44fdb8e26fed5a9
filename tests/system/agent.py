# SPDX-License-Identifier: BSD-2-Clause
"""The host's end of the line to the agent in the guest (initramfs/agent describes what goes over it)."""

import base64
import re
import secrets
import time

SEND_TIMEOUT = 60


class Agent:
    """The host's end of the protocol that initramfs/agent describes."""

    def __init__(self, connection):
        self._connection = connection
        self._received = b""

    @property
    def partial(self):
        """What has come and belongs to no finished answer."""
        return self._received.decode("utf-8", "replace")

    def close(self):
        self._connection.close()

    def wait_ready(self, timeout, check):
        return self._until(rb"@ready ([0-9a-f-]+)\r?\n", timeout, check).group(1).decode()

    def run(self, command, timeout, check):
        token = self.send(command)
        self._until(rb"@begin %s\r?\n" % token, timeout, check)
        end = self._until(rb"@end %s (\d+)\r?\n" % token, timeout, check)
        return int(end.group(1)), end.string[: end.start()].decode("utf-8", "replace").replace("\r\n", "\n")

    def send(self, command):
        token = secrets.token_hex(8).encode()
        self._connection.settimeout(SEND_TIMEOUT)
        self._connection.sendall(token + b" " + base64.b64encode(command.encode()) + b"\n")
        return token

    def _until(self, pattern, timeout, check):
        """Waits for the pattern and drops all up to its end. `check` raises when waiting has become vain."""
        deadline = time.monotonic() + timeout
        searched = 0
        expression = re.compile(pattern)
        while not (match := expression.search(self._received, searched)):
            searched = max(0, len(self._received) - 128)
            if time.monotonic() > deadline:
                raise TimeoutError
            self._receive(check)
        self._received = self._received[match.end() :]
        return match

    def _receive(self, check):
        self._connection.settimeout(1)
        try:
            data = self._connection.recv(65536)
        except TimeoutError:
            check()
            return
        if not data:
            raise EOFError("the agent's line closed")
        self._received += data
