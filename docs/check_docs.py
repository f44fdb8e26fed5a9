#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the documents to the code: what they name exists, and what must be in them is. A complaint is one line, FILE: what.

    check_docs.py            checks
    check_docs.py --embed    puts the end of docs/demo.txt into README.md (make demo-record)

The exit status is 1 when there was a complaint.
"""

import functools
import pathlib
import re
import subprocess
import sys

from check_messages import check_messages

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/decisions/*.md")
PLACES = r"(?:src|abi|tools|tests|docs|mk|demo|bench)/"
CLAIMS = 67
ABI_PREFIXES = r"SCRIM_(?!BACKEND_|VENDOR_|EXIT_|IOMMU_|REMAP_)\w+"
FLAT = r"\b(?:INTERCEPT|MSR|VMEXIT|EVENT|VECTOR|EFER|CR[034]|PAGE|MEM_ACCESS|MEMVIRT|GUARD|KICK)_[A-Z0-9_]+\b"


def main():
    if sys.argv[1:] == ["--embed"]:
        (ROOT / "README.md").write_text(readme_with_demo())
        return 0
    complaints = check_intercepts() + check_abi() + check_claims() + check_invariants() + check_decisions() + check_demo()
    complaints += check_messages() + check_version()
    for path in documents():
        complaints += check_paths(path) + check_links(path) + check_targets(path) + check_names(path)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def documents():
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def text_of(name):
    path = ROOT / name
    return path.read_text() if path.exists() else ""


def shown(path):
    return path.relative_to(ROOT)


def section(text, title):
    """What stands under a heading, up to the next of its own level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    return match[2] if match else ""


def rows(text):
    """The cells of each row of the tables in a text, heads left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\s:-]+", line)]


def first_names(text):
    """The names in backquotes in the first cell of each row."""
    return {name for row in rows(text) for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row[0])}


def compare(where, what, seen, expected):
    return [f"{where}: {what} {name} is missing" for name in sorted(expected - seen)] + [
        f"{where}: {what} {name} is not in the code" for name in sorted(seen - expected)]


# --- the table of intercepts ------------------------------------------------------------------------------------------


def intercepts_of_code():
    """What src/svm sets in a control block or a permission map, and the page that src/virt/guard.c makes read-only."""
    svm = {path.name: without_comments(path.read_text()) for path in (ROOT / "src" / "svm").glob("*.c")}
    found = {name for text in svm.values() for name in re.findall(r"\bINTERCEPT_\w+", text)}
    maps = svm.get("svm_vmcb.c", "")
    found |= set(re.findall(r"msrpm_intercept(?:_read)?\(\w+, (MSR_\w+)", maps))
    found |= set(re.findall(r"iopm\[(\w+) / 8\]", maps))
    if "APIC_GFN, gfn_home(APIC_GFN), trap ?" in text_of("src/virt/guard.c"):
        found.add("APIC_PAGE")
    return found


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def check_intercepts():
    table = first_names(section(text_of("ARCHITECTURE.md"), "Every intercept"))
    found = intercepts_of_code()
    if len(found) < 10:
        return ["docs/check_docs.py: finds no intercepts in src/svm any more: mend the check"]
    return compare("ARCHITECTURE.md, Every intercept", "intercept", table, found) + check_exits_of_vmx()


def exits_of_vmx():
    """What src/vmx asks to exit."""
    vmx = {path.name: without_comments(path.read_text()) for path in (ROOT / "src" / "vmx").glob("*.c")}
    vmcs = vmx["vmx_vmcs.c"]
    found = set(re.findall(r"\b(?:PRIMARY|SECONDARY)_[A-Z0-9_]+", vmcs + vmx["vmx_nmi.c"])) - {"SECONDARY_XSAVES"}
    found |= set(re.findall(r"\b(?:PIN_NMI|SECONDARY_WBINVD)\b", vmx["vmx_controls.c"]))
    bitmaps = vmx["vmx_bitmaps.c"]
    found |= set(re.findall(r"trap_msr(?:_all)?\([^,]+, (MSR_\w+)", bitmaps)) | set(re.findall(r"io\[(\w+) / 8\]", bitmaps))
    found |= {"VMX_MSR"} if "msr <= MSR_VMX_LAST" in bitmaps else set()
    return found | set(re.findall(r"1u << (VECTOR_\w+) : 0\)", vmcs))


def check_exits_of_vmx():
    table = first_names(section(text_of("ARCHITECTURE.md"), "VMX beside SVM"))
    return compare("ARCHITECTURE.md, VMX beside SVM", "control", table, exits_of_vmx())


# --- the control interface --------------------------------------------------------------------------------------------


def check_abi():
    header = without_comments(text_of("abi/scrim_abi.h"))
    enums = ";".join(re.findall(r"^enum \w+ \{(.*?)\};", header, re.MULTILINE | re.DOTALL))
    defined = set(re.findall(rf"(?:^|[\s,;])({ABI_PREFIXES})(?=\s*(?:=|,|;|$))", enums))
    defined |= set(re.findall(r"^#define (SCRIM_\w+?)(?:\(| )", header, re.MULTILINE))
    defined = {name for name in defined if re.fullmatch(ABI_PREFIXES, name) and not name.endswith("_COUNT")}
    described = first_names(text_of("docs/hypercalls.md"))
    if len(defined) < 40:
        return ["docs/check_docs.py: finds no names in abi/scrim_abi.h any more: mend the check"]
    return compare("docs/hypercalls.md", "name of the interface", described, defined) + check_exits()


def check_exits():
    match = re.search(r"SCRIM_EXIT_NAMES\s*\\\s*\{(.*?)\}", text_of("abi/scrim_abi.h"), re.DOTALL)
    names = set(re.findall(r'"([\w-]+)"', match[1]))
    table = section(text_of("docs/hypercalls.md"), "Causes of exits")
    described = {name for row in rows(table) for name in re.findall(r"`([a-z0-9-]+)`", row[0])}
    return compare("docs/hypercalls.md, Causes of exits", "cause", described, names)


# --- claims, invariants, decisions ------------------------------------------------------------------------------------


def check_claims():
    """Each claim once, its state one word; the numbers in the summary are those of the table; tests named exist."""
    name = "docs/claims.md"
    table = [row for row in rows(text_of(name)) if row and re.fullmatch(r"\d+", row[0])]
    numbers = [int(row[0]) for row in table]
    complaints = [] if numbers == list(range(1, CLAIMS + 1)) else [f"{name}: the claims are not 1 to {CLAIMS}, each once"]
    states = {row[0]: row[-1].split(":")[0].split(" ")[0] for row in table}
    complaints += [f"{name}: claim {number}: {state!r} is none of true, begun, open" for number, state in states.items()
                   if state not in ("true", "begun", "open")]
    counted = " ".join(f"{list(states.values()).count(state)} {state}" for state in ("true", "begun", "open"))
    said = " ".join(re.findall(r"\*\*(\d+ (?:true|begun|open))\*\*", text_of(name)))
    complaints += [] if said == counted else [f"{name}: says {said!r} where its table has {counted!r}"]
    missing = set(re.findall(r"`((?:unit|system)/[\w-]+)`", text_of(name))) - tests()
    return complaints + [f"{name}: there is no test {test}" for test in sorted(missing)]


@functools.lru_cache(maxsize=None)
def tests():
    command = [sys.executable, str(ROOT / "tests" / "run.py"), "--list"]
    found = {line.split()[0] for flags in ([], ["--soak"])
             for line in subprocess.run(command + flags, check=True, capture_output=True, text=True).stdout.splitlines() if line}
    return found


def check_invariants():
    """docs/glossary.md numbers the invariants as enum scrim_violation does."""
    numbers = set(re.findall(r"SCRIM_V(\d)_", text_of("abi/scrim_abi.h")))
    stated = set(re.findall(r"^(\d)\. ", section(text_of("docs/glossary.md"), "Invariants"), re.MULTILINE))
    return [f"docs/glossary.md: invariant {number} is missing" for number in sorted(numbers - stated)]


def check_decisions():
    """Numbered without a gap, each with the parts that make it one."""
    paths = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    complaints = []
    for number, path in enumerate(paths, 1):
        if not path.name.startswith(f"{number:04d}-"):
            complaints.append(f"{shown(path)}: not number {number:04d}")
        for part in ("## Question", "## Decision", "## Price"):
            if part not in path.read_text():
                complaints.append(f"{shown(path)}: has no {part}")
    return complaints


def check_version():
    """The package's version is Scrim's."""
    version = ".".join(re.findall(r"SCRIM_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)u", text_of("src/base/version.h")))
    said = re.match(r"scrim \((.*?)\)", text_of("debian/changelog"))
    return [] if said and said[1] == version else [f"debian/changelog: begins with another version than src/base/version.h has ({version})"]


# --- the demonstration ------------------------------------------------------------------------------------------------


def readme_with_demo():
    """README.md with the demonstration's last two chapters between the marks."""
    chapters = re.split(r"^(?=\d+\. )", text_of("docs/demo.txt"), flags=re.MULTILINE)
    end = "".join(chapters[-2:]).rstrip()
    block = "<!-- demo -->\n" + re.sub(r"^(?=.)", "    ", end, flags=re.MULTILINE) + "\n\n<!-- /demo -->"
    return re.sub(r"<!-- demo -->.*?<!-- /demo -->", lambda match: block, text_of("README.md"), flags=re.DOTALL)


def check_demo():
    if "Everything that was checked holds." not in text_of("docs/demo.txt"):
        return ["docs/demo.txt: is not the record of a demonstration that held; run `make demo-record`"]
    return [] if readme_with_demo() == text_of("README.md") else ["README.md: shows another demonstration than docs/demo.txt; run `make demo-record`"]


# --- every document ---------------------------------------------------------------------------------------------------


def check_paths(path):
    """A path in backquotes exists; `src/mem/{p2m,move}.c` and `src/svm/*.c` name several."""
    complaints = []
    for name in re.findall(rf"`({PLACES}[^`\s]*)`", path.read_text()):
        for one in expanded(name.split(":")[0].replace("NAME", "*")):
            if not list(ROOT.glob(one.rstrip("/"))):
                complaints.append(f"{shown(path)}: there is no {one}")
    return complaints


def expanded(name):
    match = re.search(r"\{([^}]*)\}", name)
    return [name.replace(match[0], part) for part in match[1].split(",")] if match else [name]


def check_links(path):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    return [f"{shown(path)}: the link {link} leads nowhere" for link in links
            if "://" not in link and not (path.parent / link).exists()]


def check_targets(path):
    """`make TARGET` is a target that `make help` lists."""
    targets = {name for name in re.findall(r"`make ([a-z][\w-]*)[^`]*`", path.read_text())}
    return [f"{shown(path)}: make help does not list {name}" for name in sorted(targets - listed_targets())]


@functools.lru_cache(maxsize=None)
def listed_targets():
    output = subprocess.run(["make", "-s", "--no-print-directory", "-C", str(ROOT), "help"], check=True, capture_output=True, text=True)
    return set(re.findall(r"^  ([a-z][\w-]*) ", output.stdout, re.MULTILINE))


def check_names(path):
    """A name of the code's in backquotes (a constant, a function) occurs in the code."""
    text = path.read_text()
    names = {name for quoted in re.findall(r"`([^`\n]+)`", text) for name in re.findall(FLAT, quoted)}
    names |= {name for name in re.findall(r"`([a-z][a-z0-9_]+)\(\)`", text)}
    return [f"{shown(path)}: {name} is nowhere in the code" for name in sorted(names) if not re.search(rf"\b{name}\b", code())]


@functools.lru_cache(maxsize=None)
def code():
    parts = [path for place in ("src", "abi", "tools/scrimctl") for path in (ROOT / place).rglob("*") if path.suffix in (".c", ".h", ".S")]
    return "\n".join(path.read_text() for path in parts)


if __name__ == "__main__":
    sys.exit(main())
