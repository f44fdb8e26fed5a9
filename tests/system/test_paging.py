# SPDX-License-Identifier: BSD-2-Clause
"""Every combination of page-table flags, kind of access and control bits, in every paging mode, by a kernel that knows what the manual
says (tests/guest/paging_guest): its log is the same on the bare machine and on Scrim, native and with memory scattered and shared."""

import re

from machine import BUILD, CPU_MODEL
from registry import check, check_equal, test

PAGING_GUEST = BUILD / "guest-image" / "paging_guest.elf"
# What the model holds against the manual, seen to be met: see enum model_quirk.
EXCEPTIONS = {"reserved-without-p", "top-global-ignored", "gib-accessed", "pdpte-accessed", "pdpte-low-ignored", "pdpte-late"}
MODES = ("two-level", "two-level-pse", "pae", "four-level")
CASES_AT_LEAST = 500_000
MAY_DIFFER = r"scrim: |drive: "
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
EXIT_OK, EXIT_BAD = 33, 35


def paging_log(t, levels, scrim, words="", cpus=1):
    """Boots the guest with these words on its command line. Returns QEMU's exit status and the log, line by line."""
    check(PAGING_GUEST.exists(), f"{PAGING_GUEST} is not built: run `make guest-build`")
    # QEMU gives a multiboot kernel the file's name as its first word, and Scrim hands on what follows that word.
    words = f"thin={t.pick(short=levels - 3, long=1)} {words}"
    args = f"{PAGING_GUEST} {words}" if scrim else words
    with t.machine(scrim=scrim, kernel=PAGING_GUEST, kernel_args=args, initrd=None, memory="128M", agent=False, cpus=cpus, threads="multi" if cpus > 1 else "single",
                   options="dma-free=all reserve=8M", cpu=CPU_MODEL + (",+la57" if levels == 5 else ""), extra=DEBUG_EXIT) as machine:
        status = machine.wait_exit()
        return status, machine.console.splitlines()


def check_log(levels, status, log):
    """It ran to its end, made all that it has to make, and nothing differs from the model."""
    text = "\n".join(log)
    differing = [line for line in log if line.startswith(("DIFFERS", "UNEXPECTED")) or line.endswith("FAILURE")]
    check(status == EXIT_OK and not differing, f"the guest ended with {status} (expected {EXIT_OK}) and said\n" + "\n".join(differing or log[-20:]))
    cases = re.search(r"^(\d+) cases, hash [0-9a-f]+, 0 differ$", text, re.MULTILINE)
    check(cases and int(cases[1]) >= CASES_AT_LEAST, f"fewer cases than {CASES_AT_LEAST}:", log[-20:])
    for mode in MODES + (("five-level",) if levels == 5 else ()):
        for group in ("rights", "flags", "bits", "random"):
            check_equal(len(re.findall(rf"^{mode} {group}: [1-9]\d* cases", text, re.MULTILINE)), 3, f"passes of {mode} {group}")
    met = set(re.findall(r"^exception (\S+): [1-9]\d* cases$", text, re.MULTILINE))
    check_equal(met, EXCEPTIONS, "exceptions of this emulator that were met")
    return int(cases[1])


def same_log(t, levels, words=""):
    """The log on Scrim is the bare machine's. Returns the lines of the guest's own about what it asked of Scrim."""
    bare_status, bare = paging_log(t, levels, False)
    cases = check_log(levels, bare_status, bare)
    status, log = paging_log(t, levels, True, words)
    check_log(levels, status, log)
    on_bare, on_scrim = ([line for line in lines if not re.match(MAY_DIFFER, line)] for lines in (bare, log))
    unlike = [f"bare:  {a}\nScrim: {b}" for a, b in zip(on_bare, on_scrim) if a != b]
    check(on_bare == on_scrim, f"{len(unlike)} lines differ ({len(on_bare)} on the bare machine, {len(on_scrim)} on Scrim):\n" + "\n".join(unlike[:20]))
    print(f"figure: {cases} cases, none differs from the model, one log")
    return [line for line in log if line.startswith("drive: ")]


def driven(t, levels, backend):
    lines = same_log(t, levels, f"backend={backend}")
    counted = re.search(r"drive: (\d+) disturbances; at most (\d+) pages displaced, (\d+) shared", "\n".join(lines))
    check(counted and f"drive: virtualized, back-end {backend}" in lines, "the guest did not drive Scrim:", lines)
    print(f"figure: {counted[1]} times scattered or shared meanwhile, at most {counted[2]} pages displaced, {counted[3]} shared")


@test("paging-native-4", cost=15)
def paging_native_4(t):
    same_log(t, 4)


@test("paging-native-5", cost=20)
def paging_native_5(t):
    same_log(t, 5)


def paging_driven(levels, backend):
    return lambda t: driven(t, levels, backend)


for _backend, _cost in (("nested", 20), ("shadow", 40), ("vtlb", 40)):
    for _levels in (4, 5):
        test(f"paging-{_backend}-{_levels}", cost=_cost + 10 * (_levels - 4))(paging_driven(_levels, _backend))


def atomic(t, backend):
    """Two CPUs at one entry: one has its marks set, the other changes it by itself. Each in a thread of its own: this guest loads no FPU
    state (docs/decisions/0011)."""
    logs = []
    for scrim in (False, True):
        status, log = paging_log(t, 4, scrim, f"second=only backend={backend if scrim else 'none'}", cpus=2)
        text = "\n".join(log)
        check(status == EXIT_OK and re.search(r"^\d+ cases, hash [0-9a-f]+, 0 differ$", text, re.MULTILINE), f"the guest ended with {status}:\n{text}")
        for mode in MODES:
            check_equal(len(re.findall(rf"^{mode} atomic-marks: [1-9]\d* cases", text, re.MULTILINE)), 3, f"passes of {mode}")
        logs.append([line for line in log if not re.match(MAY_DIFFER, line)])
    check(logs[0] == logs[1], "bare:\n" + "\n".join(logs[0]) + "\non Scrim:\n" + "\n".join(logs[1]))


def paging_atomic(backend):
    return lambda t: atomic(t, backend)


for _name, _backend in (("native", "none"), ("nested", "nested"), ("shadow", "shadow"), ("vtlb", "vtlb")):
    test(f"paging-atomic-{_name}", cost=20)(paging_atomic(_backend))


@test("paging-model-notices", cost=8)
def paging_model_notices(t):
    """Held to the manual alone the emulator differs, and the guest says so: the model does judge."""
    status, log = paging_log(t, 4, False, "quirks=none")
    check_equal(status, EXIT_BAD, "exit status")
    differ = re.search(r"^\d+ cases, hash [0-9a-f]+, ([1-9]\d*) differ$", "\n".join(log), re.MULTILINE)
    check(differ and any(line.startswith("DIFFERS: pae ") for line in log), "nothing differs without the exceptions:", log[-20:])
