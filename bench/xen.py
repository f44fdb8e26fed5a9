# SPDX-License-Identifier: BSD-2-Clause
"""The fixed loads in dom0 of Debian's Xen, on the same emulated machine: as a PV guest, and as a PVH guest under nested paging.

dom0 is Debian's full kernel, with the same initramfs and as much memory as the bare machine has; the machine has as much again,
for Xen. So it is to be compared with the bare machine under the full kernel. The first serial port is Xen's, dom0's console
with it; the second is dom0's.
"""

import fixed_loads
import switch_cost
from machine import IMAGES, KERNEL_ARGS, MachineError

IMAGE = IMAGES / "xen"
KERNEL = "full"  # the cloud kernel is not built to be dom0 (CONFIG_XEN_DOM0)
MEMORY = "1G"
# QEMU refuses MWAIT with the extension that Xen asks for (#GP), and Xen's PV guests misbehave there with SMAP.
OPTIONS = f"console=com1 com1=115200,8n1 dom0_mem={fixed_loads.MEMORY},max:{fixed_loads.MEMORY} cpuidle=0 mwait-idle=0 smap=0"
# Xen intercepts RDTSC for a PVH dom0 here, and QEMU reports RDTSCP as if it were RDTSC, which Xen refuses to step over.
DOM0 = {"xen-pv": ("", ()), "xen-pvh": ("dom0=pvh cpuid=no-rdtscp", ("-device", "amd-iommu"))}  # Xen's options; QEMU's: a PVH dom0 wants an IOMMU


def loads(machine_of, phase, suite=fixed_loads.Suite()):
    """{phase: {load: Seen}}; `phase` is one of DOM0."""
    if not IMAGE.exists():
        raise MachineError(f"{IMAGE} is missing: `make bench` fetches it")
    options, extra = DOM0[phase]
    script = fixed_loads.warm_up(suite) + fixed_loads.measure(phase, suite)
    return fixed_loads.parsed(switch_cost.counted(
        machine_of, fixed_loads.SEED, script, scrim=IMAGE, options=f"{OPTIONS} {options}".strip(), memory=MEMORY, kernel=KERNEL, extra=extra, initrd=suite.initrd,
        kernel_args=KERNEL_ARGS.replace("console=ttyS0", "console=hvc0"), timeout=fixed_loads.TIMEOUT))


def version():
    """Of Debian's package."""
    return (IMAGES / "xen-version").read_text().strip()
