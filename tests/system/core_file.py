# SPDX-License-Identifier: BSD-2-Clause
"""Reads an ELF64 core as `scrimctl snapshot` writes it, and takes one out of a machine without any device that writes to its RAM."""

import mmap
import os
import struct

LOAD, NOTE = 1, 4
EHDR, PHDR, NHDR = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<III"
IVSHMEM = ("0x1af4", "0x1110")  # PCI vendor and device
QEMU_STATE = "<II16QQQ" + "IIIIQ" * 10 + "5QQ"
QEMU_NAMES = ["version", "size", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", *(f"r{i}" for i in range(8, 16)), "rip", "rflags"]


class CoreFile:
    """`loads`: [(physical, linear, offset, bytes)] in the file's order; `notes`: [(name, type, bytes)]."""

    def __init__(self, data):
        self.data = data
        header = struct.unpack_from(EHDR, data, 0)
        if header[0][:6] != b"\x7fELF\x02\x01" or header[1] != 4:
            raise ValueError(f"no ELF64 core: {header}")
        entries = [struct.unpack_from(PHDR, data, header[5] + number * header[9]) for number in range(header[10])]
        self.loads = [(entry[4], entry[3], entry[2], entry[5]) for entry in entries if entry[0] == LOAD]
        self.notes = [note for entry in entries if entry[0] == NOTE for note in self._read_notes(entry[2], entry[2] + entry[5])]
        self.end = max(offset + count for _, _, offset, count in self.loads)

    def _read_notes(self, at, end):
        while at < end:
            name_size, size, kind = struct.unpack_from(NHDR, self.data, at)
            at += 12
            name = bytes(self.data[at:at + name_size - 1]).decode()
            at += (name_size + 3) // 4 * 4
            yield name, kind, bytes(self.data[at:at + size])
            at += (size + 3) // 4 * 4

    def ranges(self):
        """The loads that are RAM ranges: each byte of the file once. [(physical, offset, bytes)]"""
        found, seen = [], 0
        for physical, _, offset, count in self.loads:
            if offset >= seen:
                found.append((physical, offset, count))
                seen = offset + count
        return found

    def cpus(self):
        """[{register: value}] of the QEMU notes, with cr0 to cr4."""
        states = [struct.unpack(QEMU_STATE, content) for name, _, content in self.notes if name == "QEMU"]
        return [{**dict(zip(QEMU_NAMES, state)), **{f"cr{i}": state[-6 + i] for i in range(5)}} for state in states]

    def read(self, linear, count):
        """`count` bytes at a virtual address that a load has."""
        for _, start, offset, size in self.loads:
            if start <= linear and linear + count <= start + size:
                return bytes(self.data[offset + linear - start:offset + linear - start + count])
        raise ValueError(f"{linear:#x} is in no load")


class Basin:
    """Memory of the host's that the guest sees as a BAR, for what `pour` pours into it. Not written by any device."""

    def __init__(self, path, size):
        self.path, self.size = path, size
        with open(path, "wb") as file:
            file.truncate(size)

    def arguments(self):
        """QEMU arguments."""
        return ["-object", f"memory-backend-file,id=basin,size={self.size},mem-path={self.path},share=on",
                "-device", "ivshmem-plain,memdev=basin"]

    def pour(self):
        """The guest's command that reads its standard input into the basin."""
        return (f"pour $(for d in /sys/bus/pci/devices/*; do [ $(cat $d/vendor) = {IVSHMEM[0]} ] && [ $(cat $d/device) = {IVSHMEM[1]} ] && "
                "echo 1 >$d/enable && echo $d/resource2; done)")

    def read(self):
        """What was poured in, as a map of the file."""
        with open(self.path, "rb") as file:
            return mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)

    def remove(self):
        """Gives the host its memory back."""
        os.unlink(self.path)
