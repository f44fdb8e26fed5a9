#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds src/ to the house's rules that a compiler does not know. Each complaint is one line, FILE:LINE: what and why.

    check_layers.py                 layers (mk/layers.txt), form of headers, length of functions
    check_layers.py --headers CC    each header compiles alone

The exit status is 1 when there was a complaint.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
FUNCTION_LINES_MAX = 60
SPDX = "SPDX-License-Identifier: BSD-2-Clause"
ABI = "scrim_abi.h"
TARGET_FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fsyntax-only", "-Isrc", "-Iabi"]
HOST_FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-fsyntax-only", "-Iabi", "-Itools/scrimctl"]
HOST_HEADERS = ("abi/*.h", "tools/scrimctl/*.h")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headers", metavar="CC", help="compile each header alone with this compiler")
    options = parser.parse_args()
    complaints = check_headers_alone(options.headers) if options.headers else check_sources()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def check_sources():
    rooms, system = read_layers()
    complaints = check_order(rooms) + check_unique_names()
    for path in sources():
        lines = path.read_text().splitlines()
        complaints += check_includes(path, lines, rooms, system) + check_license(path, lines)
        if path.suffix == ".h":
            complaints += check_header(path, lines)
        if path.suffix in (".c", ".h"):
            complaints += check_lengths(path, lines)
    return complaints


def sources():
    return sorted(path for path in SRC.rglob("*") if path.suffix in (".c", ".h", ".S", ".ld"))


def shown(path, number=1):
    return f"{path.relative_to(ROOT)}:{number}"


# --- layers -----------------------------------------------------------------------------------------------------------


def read_layers():
    """({room: rooms that it may include}, headers of the compiler's)."""
    rooms = {}
    for line in (ROOT / "mk" / "layers.txt").read_text().splitlines():
        words = line.partition("#")[0].replace(":", " : ").split()
        if words:
            rooms[words[0]] = set(words[2:])
    return rooms, rooms.pop("system")


def check_order(rooms):
    """The list itself goes from the bottom up: so there is no circle in it."""
    seen, complaints = set(), []
    for room, below in rooms.items():
        for other in sorted(below - seen):
            complaints.append(f"mk/layers.txt:1: {room} may include {other}, which is not below it")
        seen.add(room)
    return complaints


def check_includes(path, lines, rooms, system):
    room = path.relative_to(SRC).parts[0]
    if room not in rooms:
        return [f"{shown(path)}: there is no room {room} in mk/layers.txt"]
    complaints = []
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', line)
        if match:
            why = why_not(match[1], match[2], room, rooms, system)
            complaints += [f"{shown(path, number)}: {why}"] if why else []
    return complaints


def why_not(own, foreign, room, rooms, system):
    """Why this room may not include this header; None when it may."""
    if foreign:
        return None if foreign in system else f"<{foreign}> is no header of a freestanding program"
    if own == ABI:
        return None
    other = own.partition("/")[0]
    if not (SRC / own).is_file():
        return f'"{own}" is no header: write it from src/ on, as ROOM/FILE.h'
    if other != room and other not in rooms[room]:
        return f"{room} may not include {other}: {own} (mk/layers.txt)"
    return None


def check_unique_names():
    """A name tells the file: no two of one name, in whatever rooms."""
    seen, complaints = {}, []
    for path in sources():
        if path.name in seen:
            complaints.append(f"{shown(path)}: {shown(seen[path.name])} has the same name")
        seen[path.name] = path
    return complaints


# --- form -------------------------------------------------------------------------------------------------------------


def check_license(path, lines):
    return [] if lines and SPDX in lines[0] else [f"{shown(path)}: the first line does not say {SPDX}"]


def check_header(path, lines):
    text = "\n".join(lines[1:])
    complaints = []
    if not re.match(r"/\*\s*(\*\s*)?Provides ", text):
        complaints.append(f'{shown(path, 2)}: the comment under the licence does not begin with "Provides "')
    if lines.count("#pragma once") != 1:
        complaints.append(f"{shown(path)}: there is not one #pragma once")
    return complaints


def check_lengths(path, lines):
    """Functions begin with a brace in the first column and end with one: the style of .clang-format."""
    complaints, begin = [], None
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
        elif line == "}" and begin is not None:
            if number - begin - 1 > FUNCTION_LINES_MAX:
                name = re.findall(r"(\w+)\(", " ".join(lines[max(0, begin - 4):begin - 1])) or ["?"]
                complaints.append(f"{shown(path, begin)}: {name[-1]}() has {number - begin - 1} lines; {FUNCTION_LINES_MAX} is the most")
            begin = None
    return complaints


# --- headers alone ----------------------------------------------------------------------------------------------------


def check_headers_alone(compiler):
    jobs = [(path, TARGET_FLAGS) for path in sources() if path.suffix == ".h"]
    jobs += [(path, HOST_FLAGS) for pattern in HOST_HEADERS for path in sorted(ROOT.glob(pattern))]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda job: compile_alone(compiler, *job), jobs)
    return [result for result in results if result]


def compile_alone(compiler, path, flags):
    """None, or the complaint. Included by an otherwise empty file: compiled as a file itself, it would warn of its pragma."""
    text = f'#include "{path.relative_to(ROOT)}"\n'
    result = subprocess.run([compiler, *flags, "-I.", "-x", "c", "-"], input=text, cwd=ROOT, capture_output=True, text=True, check=False)
    return f"{shown(path)}: does not compile alone:\n{result.stderr.rstrip()}" if result.returncode else None


if __name__ == "__main__":
    sys.exit(main())
