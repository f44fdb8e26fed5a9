# SPDX-License-Identifier: BSD-2-Clause
"""Writes cpio archives in the "newc" form that Linux takes as an initramfs. No root needed: device nodes are only bytes."""

import stat

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"


class Archive:
    """Collects entries in order; `bytes()` closes the archive. Times are 0, owners root: the same input gives the same bytes."""

    def __init__(self):
        self._parts = []
        self._directories = set()
        self._inode = 0

    def directory(self, path, mode=0o755):
        """Adds a directory and, first, the directories above it; one that is there already is left as it is."""
        path = path.strip("/")
        if not path or path in self._directories:
            return
        self.directory(path.rpartition("/")[0])
        self._directories.add(path)
        self._entry(path, stat.S_IFDIR | mode)

    def file(self, path, content, mode=0o644):
        """Adds a file; `content` is bytes, or text to be encoded."""
        self._in_directory(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def symlink(self, path, target):
        """Adds a symbolic link at `path` that points to `target`."""
        self._in_directory(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path, major, minor, mode=0o600):
        """Adds a character device node."""
        self._in_directory(path, stat.S_IFCHR | mode, b"", (major, minor))

    def bytes(self):
        """The whole archive, padded so that another one may follow it."""
        return b"".join(self._parts) + _entry_bytes(0, _TRAILER, 0, b"", (0, 0))

    def _in_directory(self, path, mode, content, device=(0, 0)):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self._entry(path, mode, content, device)

    def _entry(self, path, mode, content=b"", device=(0, 0)):
        self._inode += 1
        self._parts.append(_entry_bytes(self._inode, path, mode, content, device))


def _entry_bytes(inode, path, mode, content, device):
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(name), 0)
    header = _MAGIC.encode() + b"".join(b"%08x" % field for field in fields)
    return _pad(header + name) + _pad(content)


def _pad(data):
    return data + b"\0" * (-len(data) % 4)
