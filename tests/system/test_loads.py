# SPDX-License-Identifier: BSD-2-Clause
"""What the fixed loads cost on Scrim, each back-end of it, against the bare machine and against KVM, in instructions that QEMU counts."""

import fixed_loads
import kvm_host
from registry import SOAK, TEST, check, check_equal, test

SHORT = fixed_loads.Suite(percent=40)
TOTAL_MAX = 1.001  # native and nested paging: of all loads, against the bare machine
LOAD_MAX = 1.003   # of one load, which one tick of the clock more or less lengthens by as much as 0.0015
SAME = 1.002       # where neither VMM is entered the loads differ by such ticks


def print_ratios(phase, loads, bare):
    parts = ", ".join(f"{load} {ratio:.4f}" for load, ratio in fixed_loads.ratios(loads, bare).items())
    print(f"figure: {phase}: {fixed_loads.total(loads) / fixed_loads.total(bare):.5f} of the bare machine's instructions ({parts})")


def check_close(phase, loads, bare):
    """As many instructions as on the bare machine, and no exit."""
    total = fixed_loads.total(loads) / fixed_loads.total(bare)
    check(abs(total - 1) <= TOTAL_MAX - 1, f"{phase}: ratio {total:.5f} in all")
    for load, ratio in fixed_loads.ratios(loads, bare).items():
        check(abs(ratio - 1) <= LOAD_MAX - 1, f"{phase}: {load}: ratio {ratio:.5f}")
        check_equal(loads[load].counters["exits"], 0, f"{phase}: exits during {load}")


def check_phase(phase, loads):
    """The loads have run in the state that the phase is named after."""
    backend, _, scattered = phase.partition("-")
    for load, seen in loads.items():
        displaced, managed = (seen.status["pages"][name] for name in ("displaced", "managed"))
        check_equal(seen.status["backend"], backend, f"{phase}: the back-end of {load}")
        check(displaced == 0 if not scattered else displaced > 0.99 * managed > 0, f"{phase}: {load}: {displaced} of {managed} pages displaced")


@test("loads-nested", cost=30, when=TEST)
def loads_nested(t):
    """Native and under nested paging, with all pages at home and with all scattered, the loads cost what they cost on the bare machine."""
    bare = fixed_loads.bare(t.machine, SHORT)["bare"]
    phases = fixed_loads.scrim(t.machine, SHORT, ("nested",))
    check_equal(list(phases), ["native", "nested", "nested-scattered"], "phases")
    fixed_loads.check_same_work({"bare": bare, **phases})
    for phase, loads in phases.items():
        check_phase(phase, loads)
        print_ratios(phase, loads, bare)
        check_close(phase, loads, bare)


@test("loads-kvm", cost=150, when=SOAK, timeout=7200)
def loads_kvm(t):
    """Every back-end of Scrim's against KVM in the same machine: with nested paging, and with its shadow page tables."""
    bare = fixed_loads.bare(t.machine)["bare"]
    phases = fixed_loads.scrim(t.machine)
    kvm = {}
    for npt in (True, False):
        kvm |= kvm_host.loads_by_some_seed(t.machine, t.work / f"kvm-{npt}", npt, fixed_loads.Suite(), list(kvm_host.SEEDS))
    fixed_loads.check_same_work({"bare": bare, **phases, **kvm})
    for phase, loads in phases.items():
        check_phase(phase, loads)
    for phase, loads in {**phases, **kvm}.items():
        print_ratios(phase, loads, bare)
    # That it was shadow page tables that KVM was measured with: every new page is a fault of its own that exits.
    check(kvm["kvm-npt"]["fault"].counters["exits"] < 1000, "KVM with nested paging exits:", kvm["kvm-npt"]["fault"].counters)
    check(kvm["kvm-shadow"]["fault"].counters["exits"] > kvm["kvm-shadow"]["fault"].operations, "KVM without it:", kvm["kvm-shadow"]["fault"].counters)
    for phase, loads in phases.items():
        for load, ratio in fixed_loads.ratios(loads, kvm["kvm-shadow"]).items():
            check(ratio <= SAME, f"{phase}: {load} takes {ratio:.4f} times the instructions of KVM's shadow page tables")
