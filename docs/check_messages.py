# SPDX-License-Identifier: BSD-2-Clause
"""Holds docs/messages.md to the code: each message that asks somebody to do something stands there, and no other.

A message is told by what it says before the first semicolon. What is filled in when it is printed is written … there.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = "docs/messages.md"
LITERALS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
# What scrimctl says by these words has been said whole, or names the help that says it.
SAID = re.compile(r"--help|^[…\W]*$|^in state … …$")
# Of Scrim: why it steps aside or stops, and what it says of itself and of IOMMUs.
SOURCES = ("boot/*.c", "hw/acpi_dmar.c", "hw/acpi_ivrs.c", "hw/descriptors.c", "hw/console.h", "iommu/*.c", "svm/svm_probe.c", "svm/svm_exit.c",
           "vmx/vmx_controls.c", "vmx/vmx_exit.c", "vmx/vmx_probe.c", "vmx/vmx_vmcs.c", "main/main.c", "virt/dma.c")
WORDS_LEAST = 3


def check_messages():
    said = messages_of_scrimctl() | messages_of_scrim()
    listed = {shape(line) for line in re.findall(r"^- ``? ?(.*?) ?``?$", (ROOT / NAME).read_text(), re.MULTILINE)}
    if len(said) < 150:
        return ["docs/check_messages.py: finds no messages in the code any more: mend the check"]
    return [f"{NAME}: the message is missing: {one}" for one in sorted(said - listed)] + [
        f"{NAME}: nobody says: {one}" for one in sorted(listed - said)]


def messages_of_scrimctl():
    found = set()
    for path in (ROOT / "tools" / "scrimctl").glob("*.c"):
        code = prepared(path)
        places = LITERALS if path.name == "explain.c" else r"(?:complain\(\s*[\w>-]+|snprintf\([\w>-]*why, [^;]*?),\s*" + LITERALS
        found |= {joined(one) for one in re.findall(places, code)}
    return {shape(one) for one in found if " " in one and not SAID.search(one)}


def messages_of_scrim():
    texts = {joined(one) for pattern in SOURCES for path in (ROOT / "src").glob(pattern) for one in re.findall(LITERALS, prepared(path))}
    return {shape(one) for one in texts if one.count(" ") >= WORDS_LEAST and not SAID.search(shape(one))}


def prepared(path):
    """The code without comments, assertions and assembly, its macros of text written out."""
    code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    code = re.sub(r"_Static_assert\(.*?\);|__asm__.*?;$", "", code, flags=re.DOTALL | re.MULTILINE)
    code = re.sub(r'\bPRI[a-z]\w+\b', '"u"', code)
    macros = re.findall(rf"^#define (\w+)[ \t]+{LITERALS}$", code, re.MULTILINE)
    code = re.sub(r"^#(?:include|define) .*$", "", code, flags=re.MULTILINE)
    for name, text in macros:
        code = re.sub(rf"\b{name}\b", lambda _, text=text: text, code)
    return code


def joined(literals):
    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))
    return re.sub(r"%(?!%)[-\d.*]*(?:ll|l|z)?[a-zA-Z]", "…", text).replace("%%", "%")


def shape(text):
    return " ".join(text.split(";")[0].replace("`", "").split())
