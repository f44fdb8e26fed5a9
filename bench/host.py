#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the measurements of the memory engine on this host (bench/engine.c) and publishes what they print: host.py ENGINE GIB."""

import subprocess
import sys

from results import publish


def main():
    said = subprocess.run(sys.argv[1:3], check=True, capture_output=True, text=True).stdout
    publish("host", "On the host that printed this page:\n\n" + "".join(f"    {line}\n" for line in said.splitlines()))


if __name__ == "__main__":
    main()
