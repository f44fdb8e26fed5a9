# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's type information (/sys/kernel/btf/vmlinux): where the members of its structures lie. Linux, Documentation/bpf/btf.rst."""

import struct

INT, ARRAY, STRUCT, UNION, ENUM, PROTO, VAR, DATASEC, TAG, ENUM64 = 1, 3, 4, 5, 6, 13, 14, 15, 17, 19


class Types:
    """All types of one BTF blob, which may have anything behind it."""

    def __init__(self, data):
        magic, _, _, header, type_at, type_size, text_at, text_size = struct.unpack_from("<HBBIIIII", data, 0)
        if magic != 0xEB9F:
            raise ValueError("no BTF")
        self._text = data[header + text_at:header + text_at + text_size]
        self._types = [None]  # (name, kind, [(member's name, type, bits)])
        self._by_name = {}
        at, end = header + type_at, header + type_at + type_size
        while at < end:
            at = self._read(data, at)

    def _read(self, data, at):
        name, info, _ = struct.unpack_from("<III", data, at)
        kind, count, fields = info >> 24 & 31, info & 0xFFFF, info >> 31
        members = []
        at += 12
        if kind in (STRUCT, UNION):
            for number in range(count):
                member, of, bits = struct.unpack_from("<III", data, at + 12 * number)
                members.append((self._name(member), of, bits & 0xFFFFFF if fields else bits))
        if kind == STRUCT:
            self._by_name[self._name(name)] = len(self._types)
        self._types.append((self._name(name), kind, members))
        sizes = {INT: 4, ARRAY: 12, STRUCT: 12 * count, UNION: 12 * count, ENUM: 8 * count, PROTO: 8 * count, VAR: 4,
                 DATASEC: 12 * count, TAG: 4, ENUM64: 12 * count}
        return at + sizes.get(kind, 0)

    def _name(self, offset):
        return self._text[offset:self._text.index(b"\0", offset)].decode()

    def offset(self, structure, member):
        """Offset in bytes of a member, also of one in a structure or union without a name."""
        found = self._find(self._by_name[structure], member)
        if found is None:
            raise KeyError(f"{structure}.{member}")
        return found // 8

    def _find(self, number, member):
        for name, of, bits in self._types[number][2]:
            if name == member:
                return bits
            inner = self._find(of, member) if not name else None
            if inner is not None:
                return bits + inner
        return None
