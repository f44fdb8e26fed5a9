# SPDX-License-Identifier: BSD-2-Clause
"""Where the tables go: bench/results/NAME.md and NAME.csv, standard output, and docs/performance.md between its marks.

In docs/performance.md a table NAME lies between the lines `<!-- bench NAME -->` and `<!-- /bench NAME -->`.
"""

import csv
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"


def markdown(head, rows):
    """A table; the first column is text, the others are figures."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def publish(name, text):
    """Prints the text, and keeps it."""
    keep(name, text)
    print(text, flush=True)


def keep(name, text):
    """Keeps the text as NAME.md and puts it between the page's marks."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    page = PAGE.read_text()
    marked = re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- /bench {name} -->)", re.DOTALL)
    if not marked.search(page):
        raise SystemExit(f"{PAGE}: has no marks for the table {name}")
    PAGE.write_text(marked.sub(lambda match: f"{match[1]}{text}{match[2]}", page))


def write_csv(name, head, rows):
    """NAME.csv: every figure as it was measured."""
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{name}.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head)
        out.writerows(rows)
