#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Draws bench/results/*.svg by gnuplot, of the CSV files that are there: what being there costs, the pause of a switch, coming home."""

import csv
import subprocess
import sys

from results import RESULTS

HEAD = """set terminal svg size 900,480 dynamic enhanced background "white"
set datafile separator ","
set output "{name}.svg"
set title "{title}" noenhanced
set key outside right top noenhanced
set grid ytics
set ylabel "{ylabel}" noenhanced
"""
PHASES = ("native", "nested", "nested-scattered", "shadow", "vtlb", "kvm-npt", "kvm-shadow", "xen-pv", "xen-pvh")


def main():
    drawn = [draw(*plot) for name, plot in (("backends", being_there), ("switch", pause), ("homecoming", coming_home))
             if (RESULTS / f"{name}.csv").exists() for plot in plot(rows(name))]
    if not drawn:
        sys.exit(f"plot: there is no CSV file in {RESULTS}: run `make bench`, or one of its parts, before")
    print("\n".join(drawn))


def rows(name):
    with open(RESULTS / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def being_there(figures):
    """Two pictures: bars of each load, a colour a system; instructions, and the emulator's CPU time."""
    for name, column, title in (("instructions", "ratio_to_bare", "Instructions of a load, as a multiple of the bare machine's"),
                                ("cpu", "cpu_ratio_to_bare", "CPU time of the emulator, as a multiple of the bare machine's")):
        by = {(row["system"], row["load"]): row[column] for row in figures}
        systems = [phase for phase in PHASES if any(system == phase for system, _ in by)]
        loads = list(dict.fromkeys(row["load"] for row in figures))
        lines = [[load, *(by[system, load] for system in systems)] for load in loads]
        bars = ", ".join(f"$data using {number + 2}{':xtic(1)' if number == 0 else ''} title '{system}'" for number, system in enumerate(systems))
        yield name, title, "times the bare machine", lines, f"set style data histogram\nset style fill solid\nset logscale y 2\nplot {bars}\n"


def pause(figures):
    """The longest pause of a switch by memory, a line for each time at which the map is made."""
    memories = list(dict.fromkeys(row["memory"] for row in figures))
    maps = list(dict.fromkeys(row["map="] for row in figures))
    by = {(row["memory"], row["map="]): row["longest pause"] for row in figures}
    lines = [[memory, *(by[memory, when] for when in maps)] for memory in memories]
    curves = ", ".join(f"$data using 0:{number + 2}:xtic(1) with linespoints title 'map={when}'" for number, when in enumerate(maps))
    yield "pause", "Longest pause of a switch, one CPU", "instructions", lines, f"set yrange [0:*]\nset xlabel 'memory'\nplot {curves}\n"


def coming_home(figures):
    """Instructions a page beyond its copy, and the longest step, by pages displaced."""
    same = [row for row in figures if (row["backend"], row["batch"], row["reverse"]) == ("nested", "64", "backmap")]
    lines = [[row["displaced"], row["beyond_copy"], row["copy_instructions"]] for row in sorted(same, key=lambda row: int(row["displaced"]))]
    yield ("homecoming", "Bringing a page home, batches of 64", "instructions a page", lines,
           "set logscale x 2\nset yrange [0:*]\nset xlabel 'pages displaced'\n"
           "plot $data using 1:2 with linespoints title 'beyond the copy', $data using 1:3 with linespoints title 'the copy'\n")


def draw(name, title, ylabel, lines, commands):
    """Hands gnuplot the data and the commands. Returns the picture's path."""
    data = "$data << END\n" + "".join(",".join(str(cell) for cell in line) + "\n" for line in lines) + "END\n"
    subprocess.run(["gnuplot"], input=data + HEAD.format(name=name, title=title, ylabel=ylabel) + commands, text=True, check=True, cwd=RESULTS)
    return str(RESULTS / f"{name}.svg")


if __name__ == "__main__":
    main()
