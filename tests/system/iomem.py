# SPDX-License-Identifier: BSD-2-Clause
"""Reads /proc/iomem, and subtracts one list of ranges from another. Ranges are (start, end), the end excluded."""

import re


def entries(text):
    """[(start, end, name)] of the top-level lines: what firmware and boot loader said, without the kernel's own parts."""
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : (.*)$", text, re.MULTILINE)
    return [(int(start, 16), int(end, 16) + 1, name) for start, end, name in found]


def ram(text):
    """Ranges of System RAM."""
    return [(start, end) for start, end, name in entries(text) if name == "System RAM"]


def total(ranges):
    """Bytes in all."""
    return sum(end - start for start, end in ranges)


def subtract(ranges, holes):
    """What is left of `ranges` without `holes`."""
    for hole_start, hole_end in holes:
        ranges = [
            piece
            for start, end in ranges
            for piece in ((start, min(end, hole_start)), (max(start, hole_end), end))
            if piece[0] < piece[1]
        ]
    return ranges


def show(ranges):
    """For messages."""
    return " ".join(f"{start:#x}-{end:#x}" for start, end in ranges) or "none"
